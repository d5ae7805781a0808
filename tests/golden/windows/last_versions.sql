-- case: of the versions of an event the last, for arrival does not count
-- request: {"views": {"clicks": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "c", "known_at": false, "event_key": ["id"], "aggregations": [{"column": "x", "functions": ["sum"], "windows": ["7 days"]}]}}, "features": ["clicks"]}

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
    COALESCE(TRY("spine"."as_of" - INTERVAL '7' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since"
  FROM "spine" AS "spine"
), "clicks_events" AS MATERIALIZED (
  SELECT
    "k",
    "event_time",
    "x"
  FROM (
    SELECT
      *
    FROM (
      SELECT
        "k",
        "x",
        "id",
        "status",
        "t" AS "event_time",
        "c" AS "recorded"
      FROM (
        SELECT
          "row"."k",
          "row"."x",
          "row"."id",
          "row"."status",
          "row"."t",
          "row"."c"
        FROM "wh"."main"."clicks" AS "row"
        SEMI JOIN "spine" AS "spine"
          ON "spine"."k" = "row"."k"
      ) AS "row"
    ) AS "stamped"
    WHERE
      NOT "event_time" IS NULL
    QUALIFY
      LEAD(TRUE) OVER (
        PARTITION BY "k", "id"
        ORDER BY "recorded" ASC NULLS FIRST, "event_time" ASC NULLS FIRST, "id" ASC NULLS FIRST, "x" ASC NULLS FIRST, "status" ASC NULLS FIRST
      ) IS NULL
  ) AS "version"
  WHERE
    ISFINITE("event_time")
), "clicks_bands" AS (
  SELECT
    "asked"."spine_row",
    SUM("row"."x") AS "sum_1"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_events" AS "row"
    ON "asked"."k" = "row"."k"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
  GROUP BY
    "asked"."spine_row"
), "clicks_windows" AS (
  SELECT
    "band"."spine_row",
    CASE
      WHEN TRY_CAST(SUM("band"."sum_1") AS BIGINT) IS NULL
      AND NOT SUM("band"."sum_1") IS NULL
      THEN ERROR(
        'clicks:x_sum_7d is a sum of x that leaves the 64 bits of BIGINT: cast x to DOUBLE in models/clicks.sql'
      )
      ELSE TRY_CAST(SUM("band"."sum_1") AS BIGINT)
    END AS "x_sum_7d"
  FROM "clicks_bands" AS "band"
  GROUP BY
    "band"."spine_row"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "clicks_windows"."x_sum_7d" AS "x_sum_7d"
FROM "spine" AS "spine"
LEFT JOIN "clicks_windows" AS "clicks_windows"
  ON "spine"."spine_row" = "clicks_windows"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
