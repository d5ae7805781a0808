-- case: one window, and the event's own columns beside it
-- request: {"views": {"clicks": {"entities": {"user": "k"}, "event_timestamp": "t", "aggregations": [{"windows": ["1 day"]}]}}, "features": ["clicks:count_1d", "clicks:x"]}

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
), "clicks_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE("spine"."k") AS "k",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "k",
      "t" AS "event_time"
    FROM "wh"."main"."clicks"
  ) AS "row"
    ON "spine"."k" = "row"."k" AND "row"."event_time" <= "spine"."as_of"
  GROUP BY
    "spine"."spine_row"
), "clicks_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."x",
    "found"."event_time"
  FROM "clicks_found" AS "found"
  JOIN (
    SELECT
      "k",
      "x",
      "t" AS "event_time"
    FROM "wh"."main"."clicks"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
), "clicks_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "clicks_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "clicks_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "clicks_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "clicks_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "clicks_settled" AS (
  SELECT
    "row".*
  FROM "clicks_fetched" AS "row"
  SEMI JOIN "clicks_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."x" ASC NULLS FIRST
    ) IS NULL
), "clicks_rows" AS (
  SELECT
    *
  FROM "clicks_fetched" AS "fetched"
  ANTI JOIN "clicks_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "clicks_settled"
), "clicks_bounds" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    "spine"."as_of",
    "spine"."k" AS "k",
    COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since"
  FROM "spine" AS "spine"
), "clicks_events" AS (
  SELECT
    "k",
    "event_time"
  FROM (
    SELECT
      "k",
      "t" AS "event_time"
    FROM "wh"."main"."clicks"
  ) AS "stamped"
  WHERE
    ISFINITE("event_time")
), "clicks_bands" AS (
  SELECT
    "asked"."spine_row",
    COUNT(*) AS "events_1"
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
    CAST(SUM("band"."events_1") AS BIGINT) AS "count_1d"
  FROM "clicks_bands" AS "band"
  GROUP BY
    "band"."spine_row"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  CASE
    WHEN NOT "spine"."k" IS NULL AND NOT "spine"."as_of" IS NULL
    THEN COALESCE("clicks_windows"."count_1d", 0)
  END AS "count_1d",
  "clicks"."x" AS "x"
FROM "spine" AS "spine"
LEFT JOIN "clicks_rows" AS "clicks"
  ON "spine"."spine_row" = "clicks"."spine_row"
LEFT JOIN "clicks_windows" AS "clicks_windows"
  ON "spine"."spine_row" = "clicks_windows"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
