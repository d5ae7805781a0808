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
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "origin_weather_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE("spine"."origin") AS "airport",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "airport",
      "t" AS "event_time"
    FROM "wh"."main"."weather"
  ) AS "row"
    ON "spine"."origin" = "row"."airport"
    AND "row"."event_time" <= "spine"."as_of"
    AND "row"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '6' HOUR), CAST('-infinity' AS TIMESTAMP))
  GROUP BY
    "spine"."spine_row"
), "origin_weather_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."temp",
    "found"."event_time"
  FROM "origin_weather_found" AS "found"
  JOIN (
    SELECT
      "airport",
      "temp",
      "t" AS "event_time"
    FROM "wh"."main"."weather"
  ) AS "row"
    ON "found"."airport" = "row"."airport" AND "row"."event_time" = "found"."event_time"
), "origin_weather_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "origin_weather_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "origin_weather_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "origin_weather_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "origin_weather_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "origin_weather_settled" AS (
  SELECT
    "found"."spine_row",
    "row"."temp",
    "found"."event_time"
  FROM "origin_weather_tied" AS "found"
  JOIN (
    SELECT
      "airport",
      "temp",
      "sky",
      "t" AS "event_time"
    FROM "wh"."main"."weather"
  ) AS "row"
    ON "found"."airport" = "row"."airport" AND "row"."event_time" = "found"."event_time"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "found"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."temp" ASC NULLS FIRST, "row"."sky" ASC NULLS FIRST
    ) IS NULL
), "origin_weather_rows" AS (
  SELECT
    *
  FROM "origin_weather_fetched" AS "fetched"
  ANTI JOIN "origin_weather_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "origin_weather_settled"
), "dest_weather_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE("spine"."dest") AS "airport",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "airport",
      "t" AS "event_time"
    FROM "wh"."main"."weather"
  ) AS "row"
    ON "spine"."dest" = "row"."airport"
    AND "row"."event_time" <= "spine"."as_of"
    AND "row"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '6' HOUR), CAST('-infinity' AS TIMESTAMP))
  GROUP BY
    "spine"."spine_row"
), "dest_weather_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."temp",
    "row"."sky",
    "found"."event_time"
  FROM "dest_weather_found" AS "found"
  JOIN (
    SELECT
      "airport",
      "temp",
      "sky",
      "t" AS "event_time"
    FROM "wh"."main"."weather"
  ) AS "row"
    ON "found"."airport" = "row"."airport" AND "row"."event_time" = "found"."event_time"
), "dest_weather_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "dest_weather_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "dest_weather_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "dest_weather_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "dest_weather_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "dest_weather_settled" AS (
  SELECT
    "row".*
  FROM "dest_weather_fetched" AS "row"
  SEMI JOIN "dest_weather_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."temp" ASC NULLS FIRST, "row"."sky" ASC NULLS FIRST
    ) IS NULL
), "dest_weather_rows" AS (
  SELECT
    *
  FROM "dest_weather_fetched" AS "fetched"
  ANTI JOIN "dest_weather_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "dest_weather_settled"
)
SELECT
  "spine"."origin",
  "spine"."dest",
  "spine"."event_timestamp",
  "origin_weather"."temp" AS "origin_weather__temp",
  "dest_weather"."temp" AS "dest_weather__temp",
  "dest_weather"."sky" AS "dest_weather__sky"
FROM "spine" AS "spine"
LEFT JOIN "origin_weather_rows" AS "origin_weather"
  ON "spine"."spine_row" = "origin_weather"."spine_row"
LEFT JOIN "dest_weather_rows" AS "dest_weather"
  ON "spine"."spine_row" = "dest_weather"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
