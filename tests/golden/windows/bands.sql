-- case: windows of which each event is looked at once, in the shortest that holds it
-- request: {"views": {"clicks": {"entities": {"user": "k"}, "event_timestamp": "t", "aggregations": [{"column": "x", "functions": ["avg", "max", "count"], "windows": ["1 day", "7 days"]}]}}, "features": ["clicks"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.clicks AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', 10),
  (1, TIMESTAMP '2024-01-01 12:00:00', 20),
  (1, TIMESTAMP '2024-01-02 00:00:00', 30),
  (1, TIMESTAMP '2024-01-02 06:00:00', NULL),
  (2, TIMESTAMP '2024-01-01 00:00:00', 20),
  (NULL, TIMESTAMP '2024-01-01 00:00:00', 99)
) AS rows(k, t, x);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-02 00:00:00'),
  (1, TIMESTAMP '2024-01-02 12:00:00'),
  (1, TIMESTAMP '2024-02-02 00:00:00'),
  (2, TIMESTAMP '2024-01-02 00:00:00'),
  (3, TIMESTAMP '2024-01-02 00:00:00'),
  (NULL, TIMESTAMP '2024-01-02 00:00:00'),
  (1, NULL)
) AS rows(k, event_timestamp);

-- compiled:
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "clicks_bounds" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    "spine"."as_of",
    "spine"."k" AS "k",
    COALESCE(TRY("spine"."as_of" - INTERVAL '7' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since",
    COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since_1",
    COALESCE(TRY("spine"."as_of" - INTERVAL '7' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since_2"
  FROM "spine" AS "spine"
), "clicks_events" AS (
  SELECT
    "k",
    "event_time",
    "x"
  FROM (
    SELECT
      "k",
      "x",
      "t" AS "event_time"
    FROM "wh"."main"."clicks"
  ) AS "stamped"
  WHERE
    ISFINITE("event_time")
), "clicks_bands" AS (
  SELECT
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2 AS "held_by",
    SUM("row"."x") AS "sum_1",
    COUNT("row"."x") AS "events_1",
    MAX("row"."x") AS "max_1"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_events" AS "row"
    ON "asked"."k" = "row"."k"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
  GROUP BY
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2
), "clicks_windows" AS (
  SELECT
    "band"."spine_row",
    CAST(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."sum_1" END) AS DOUBLE) / NULLIF(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."events_1" END), 0) AS "x_avg_1d",
    MAX(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."max_1" END) AS "x_max_1d",
    CAST(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."events_1" END) AS BIGINT) AS "x_count_1d",
    CAST(SUM(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."sum_1" END) AS DOUBLE) / NULLIF(SUM(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."events_1" END), 0) AS "x_avg_7d",
    MAX(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."max_1" END) AS "x_max_7d",
    CAST(SUM(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."events_1" END) AS BIGINT) AS "x_count_7d"
  FROM "clicks_bands" AS "band"
  GROUP BY
    "band"."spine_row"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "clicks_windows"."x_avg_1d" AS "x_avg_1d",
  "clicks_windows"."x_max_1d" AS "x_max_1d",
  CASE
    WHEN NOT "spine"."k" IS NULL AND NOT "spine"."as_of" IS NULL
    THEN COALESCE("clicks_windows"."x_count_1d", 0)
  END AS "x_count_1d",
  "clicks_windows"."x_avg_7d" AS "x_avg_7d",
  "clicks_windows"."x_max_7d" AS "x_max_7d",
  CASE
    WHEN NOT "spine"."k" IS NULL AND NOT "spine"."as_of" IS NULL
    THEN COALESCE("clicks_windows"."x_count_7d", 0)
  END AS "x_count_7d"
FROM "spine" AS "spine"
LEFT JOIN "clicks_windows" AS "clicks_windows"
  ON "spine"."spine_row" = "clicks_windows"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
