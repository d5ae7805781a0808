-- case: conditions on events, a hop and a delay
-- request: {"views": {"clicks": {"entities": {"user": "k"}, "event_timestamp": "t", "delay": "1 hour", "aggregations": [{"column": "x", "functions": ["sum"], "windows": ["1 day"], "where": "status = 'ok' AND x > 0"}, {"windows": ["1 day"], "hop": "1 hour"}]}}, "features": ["clicks"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.clicks AS
SELECT * FROM (VALUES
  (1, 1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', 10, 'ok'),
  (1, 2, TIMESTAMP '2024-01-01 12:00:00', TIMESTAMP '2024-01-02 06:00:00', 20, 'ok'),
  (1, 1, TIMESTAMP '2024-01-01 06:00:00', TIMESTAMP '2024-01-02 06:00:00', 30, 'bad'),
  (1, NULL, TIMESTAMP '2024-01-01 18:00:00', NULL, 40, 'ok'),
  (2, 1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', 20, NULL)
) AS rows(k, id, t, c, x, status);
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
    LEAST(
      COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)),
      COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)),
      COALESCE(
        TRY(
          TIME_BUCKET(
            INTERVAL '1' HOUR,
            COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)),
            CAST('1970-01-01 00:00:00' AS TIMESTAMP)
          )
        ),
        CAST('-infinity' AS TIMESTAMP)
      )
    ) AS "since",
    COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since_1",
    COALESCE(
      TRY(
        TIME_BUCKET(
          INTERVAL '1' HOUR,
          COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)),
          CAST('1970-01-01 00:00:00' AS TIMESTAMP)
        )
      ),
      CAST('-infinity' AS TIMESTAMP)
    ) AS "since_2",
    CASE
      WHEN NOT "spine"."as_of" IS NULL
      THEN COALESCE(TRY("spine"."as_of" - INTERVAL '1' HOUR), CAST('-infinity' AS TIMESTAMP))
    END AS "known_by"
  FROM "spine" AS "spine"
), "clicks_events" AS (
  SELECT
    "k",
    "event_time",
    "x",
    (
      "status" = 'ok' AND "x" > 0
    ) AS "where_1"
  FROM (
    SELECT
      "k",
      "x",
      "status",
      "t" AS "event_time"
    FROM "wh"."main"."clicks"
  ) AS "stamped"
  WHERE
    ISFINITE("event_time")
), "clicks_bands" AS (
  SELECT
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2 AS "held_by",
    SUM("row"."x") FILTER(WHERE
      "row"."where_1") AS "sum_1",
    COUNT(*) AS "events_2"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_events" AS "row"
    ON "asked"."k" = "row"."k"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
    AND "row"."event_time" <= "asked"."known_by"
  GROUP BY
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2
), "clicks_windows" AS (
  SELECT
    "band"."spine_row",
    CASE
      WHEN TRY_CAST(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."sum_1" END) AS BIGINT) IS NULL
      AND NOT SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."sum_1" END) IS NULL
      THEN ERROR(
        'clicks:x_sum_1d is a sum of x that leaves the 64 bits of BIGINT: cast x to DOUBLE in models/clicks.sql'
      )
      ELSE TRY_CAST(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."sum_1" END) AS BIGINT)
    END AS "x_sum_1d",
    CAST(SUM(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."events_2" END) AS BIGINT) AS "count_1d"
  FROM "clicks_bands" AS "band"
  GROUP BY
    "band"."spine_row"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "clicks_windows"."x_sum_1d" AS "x_sum_1d",
  CASE
    WHEN NOT "spine"."k" IS NULL AND NOT "spine"."as_of" IS NULL
    THEN COALESCE("clicks_windows"."count_1d", 0)
  END AS "count_1d"
FROM "spine" AS "spine"
LEFT JOIN "clicks_windows" AS "clicks_windows"
  ON "spine"."spine_row" = "clicks_windows"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
