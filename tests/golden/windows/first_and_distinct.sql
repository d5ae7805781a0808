-- case: the first and the last event, and what looks at each event for want of parts that merge
-- request: {"views": {"clicks": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "c", "aggregations": [{"column": "x", "functions": ["first", "last", "approx_count_distinct"], "windows": ["7 days"]}]}}, "features": ["clicks"]}

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
), "clicks_ends" AS MATERIALIZED (
  SELECT
    MIN("since") AS "since",
    MAX("as_of") AS "as_of"
  FROM "clicks_bounds"
), "clicks_tied" AS MATERIALIZED (
  SELECT
    "row"."k",
    "row"."event_time"
  FROM (
    SELECT
      "k",
      "t" AS "event_time",
      "c" AS "recorded",
      "c" AS "arrival"
    FROM "wh"."main"."clicks"
  ) AS "row"
  JOIN "clicks_ends" AS "ends"
    ON "row"."event_time" < "ends"."as_of" AND "row"."event_time" >= "ends"."since"
  SEMI JOIN "spine" AS "spine"
    ON "spine"."k" = "row"."k"
  GROUP BY
    "row"."k",
    "row"."event_time"
  HAVING
    COUNT(*) > 1
), "clicks_events" AS (
  SELECT
    "k",
    "event_time",
    "arrival",
    "x",
    CAST(EPOCH_US("event_time") AS INT128) * 1099511627776 AS "place_in_time"
  FROM (
    SELECT
      "row".*
      REPLACE (CASE WHEN "tied"."event_time" IS NULL THEN "row"."event_time" END AS "event_time")
    FROM (
      SELECT
        "row".*
        REPLACE (CASE
          WHEN "row"."event_time" < "ends"."as_of" AND "row"."event_time" >= "ends"."since"
          THEN "row"."event_time"
        END AS "event_time")
      FROM (
        SELECT
          "k",
          "x",
          "t" AS "event_time",
          "c" AS "recorded",
          "c" AS "arrival"
        FROM "wh"."main"."clicks"
      ) AS "row"
      CROSS JOIN "clicks_ends" AS "ends"
    ) AS "row"
    LEFT JOIN "clicks_tied" AS "tied"
      ON "row"."k" = "tied"."k" AND "row"."event_time" = "tied"."event_time"
  ) AS "row"
  WHERE
    ISFINITE("event_time") AND NOT "arrival" IS NULL
  UNION ALL
  SELECT
    "k",
    "event_time",
    "arrival",
    "x",
    CAST(EPOCH_US("event_time") AS INT128) * 1099511627776 + RANK() OVER (
      PARTITION BY "k", "event_time"
      ORDER BY ROW(
        NOT "recorded" IS NULL,
        "recorded",
        NOT "id" IS NULL,
        "id",
        NOT "x" IS NULL,
        "x",
        NOT "status" IS NULL,
        "status"
      ) ASC
    ) AS "place_in_time"
  FROM (
    SELECT
      "row".*
    FROM (
      SELECT
        "k",
        "x",
        "id",
        "status",
        "t" AS "event_time",
        "c" AS "recorded",
        "c" AS "arrival"
      FROM "wh"."main"."clicks"
    ) AS "row"
    SEMI JOIN "clicks_tied" AS "tied"
      ON "row"."k" = "tied"."k" AND "row"."event_time" = "tied"."event_time"
  ) AS "row"
  WHERE
    ISFINITE("event_time") AND NOT "arrival" IS NULL
), "clicks_bands" AS (
  SELECT
    "asked"."spine_row",
    ARG_MIN_NULL("row"."x", "row"."place_in_time") AS "first_1",
    MIN("row"."place_in_time") AS "first_at_2",
    ARG_MAX_NULL("row"."x", "row"."place_in_time") AS "last_1",
    MAX("row"."place_in_time") AS "last_at_2"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_events" AS "row"
    ON "asked"."k" = "row"."k"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
    AND "row"."arrival" <= "asked"."as_of"
  GROUP BY
    "asked"."spine_row"
), "clicks_windows" AS (
  SELECT
    "band"."spine_row",
    ARG_MIN_NULL("band"."first_1", "band"."first_at_2") AS "x_first_7d",
    ARG_MAX_NULL("band"."last_1", "band"."last_at_2") AS "x_last_7d"
  FROM "clicks_bands" AS "band"
  GROUP BY
    "band"."spine_row"
), "clicks_distinct" AS (
  SELECT
    "asked"."spine_row",
    APPROX_COUNT_DISTINCT("row"."x") AS "x_approx_count_distinct_7d"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_events" AS "row"
    ON "asked"."k" = "row"."k"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
    AND "row"."arrival" <= "asked"."as_of"
  GROUP BY
    "asked"."spine_row"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "clicks_windows"."x_first_7d" AS "x_first_7d",
  "clicks_windows"."x_last_7d" AS "x_last_7d",
  CASE
    WHEN NOT "spine"."k" IS NULL AND NOT "spine"."as_of" IS NULL
    THEN COALESCE("clicks_distinct"."x_approx_count_distinct_7d", 0)
  END AS "x_approx_count_distinct_7d"
FROM "spine" AS "spine"
LEFT JOIN "clicks_windows" AS "clicks_windows"
  ON "spine"."spine_row" = "clicks_windows"."spine_row"
LEFT JOIN "clicks_distinct" AS "clicks_distinct"
  ON "spine"."spine_row" = "clicks_distinct"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
