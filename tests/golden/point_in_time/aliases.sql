-- case: one view joined twice under two names, on other columns of the spine
-- request: {"views": {"weather": {"entities": {"airport": "airport"}, "event_timestamp": "t", "ttl": "6 hours"}}, "service": [{"view": "weather", "alias": "origin_weather", "join_keys": {"airport": "origin"}, "features": ["temp"]}, {"view": "weather", "alias": "dest_weather", "join_keys": {"airport": "dest"}}]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.weather AS
SELECT * FROM (VALUES
  ('JFK', TIMESTAMP '2024-01-01 00:00:00', 1.5, 'fog'),
  ('EWR', TIMESTAMP '2024-01-01 06:00:00', 2.5, NULL)
) AS rows(airport, t, temp, sky);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES ('JFK', 'EWR', TIMESTAMP '2024-01-01 06:00:00'), ('EWR', 'JFK', TIMESTAMP '2024-01-01 07:00:00')) AS rows(origin, dest, event_timestamp);

-- compiled:
WITH "spine" AS (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "weather_rows" AS (
  SELECT
    "airport",
    "temp",
    "sky",
    "event_time",
    "arrival",
    GREATEST("event_time", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (
      PARTITION BY "airport"
      ORDER BY "event_time" NULLS FIRST, "temp" NULLS FIRST, "sky" NULLS FIRST
    ) AS "recency"
  FROM (
    SELECT
      *,
      "event_time" AS "arrival"
    FROM (
      SELECT
        *,
        "t" AS "event_time"
      FROM "wh"."main"."weather"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "airport" IS NULL AND NOT "arrival" IS NULL
), "weather_winners" AS (
  SELECT
    *
  FROM "weather_rows"
  QUALIFY
    "recency" = MAX("recency") OVER (
      PARTITION BY "airport"
      ORDER BY "visible_from" NULLS FIRST
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
SELECT
  "spine"."origin",
  "spine"."dest",
  "spine"."event_timestamp",
  CASE
    WHEN "origin_weather"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '6' HOUR), CAST('-infinity' AS TIMESTAMP))
    THEN "origin_weather"."temp"
  END AS "origin_weather__temp",
  CASE
    WHEN "dest_weather"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '6' HOUR), CAST('-infinity' AS TIMESTAMP))
    THEN "dest_weather"."temp"
  END AS "dest_weather__temp",
  CASE
    WHEN "dest_weather"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '6' HOUR), CAST('-infinity' AS TIMESTAMP))
    THEN "dest_weather"."sky"
  END AS "dest_weather__sky"
FROM "spine" AS "spine"
ASOF LEFT JOIN "weather_winners" AS "origin_weather"
  ON "spine"."origin" = "origin_weather"."airport"
  AND "spine"."as_of" >= "origin_weather"."visible_from"
ASOF LEFT JOIN "weather_winners" AS "dest_weather"
  ON "spine"."dest" = "dest_weather"."airport"
  AND "spine"."as_of" >= "dest_weather"."visible_from"
ORDER BY
  "spine"."spine_row";
