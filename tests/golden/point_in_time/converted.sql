-- case: a clock in nanoseconds is floored, a zoned spine converted, a float key compared exactly
-- request: {"views": {"ticks": {"entities": {"user": "k"}, "event_timestamp": "t"}}, "features": ["ticks:v"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.ticks AS
SELECT * FROM (VALUES (9007199254740993, TIMESTAMP_NS '2024-01-01 00:00:00.000000999', 1), (7, TIMESTAMP_NS '2024-01-01 00:00:00', 2)) AS rows(k, t, v);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES (7.0::DOUBLE, TIMESTAMPTZ '2024-01-01 02:00:00+02:00'), (9007199254740992.0::DOUBLE, TIMESTAMPTZ '2024-01-02 00:00:00Z'), (7.5::DOUBLE, TIMESTAMPTZ '2024-01-02 00:00:00Z')) AS rows(k, event_timestamp);

-- compiled:
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    CAST("event_timestamp" AS TIMESTAMP) AS "as_of"
  FROM "temp"."main"."entity_df"
), "ticks_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE(
      CASE WHEN "spine"."k" = FLOOR("spine"."k") THEN TRY_CAST("spine"."k" AS INT128) END
    ) AS "k",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "k",
      CASE
        WHEN CAST(CAST("t" AS TIMESTAMP) AS TIMESTAMP_NS) > "t"
        THEN CAST("t" AS TIMESTAMP) - INTERVAL '1' MICROSECOND
        ELSE CAST("t" AS TIMESTAMP)
      END AS "event_time"
    FROM "wh"."main"."ticks"
  ) AS "row"
    ON CASE WHEN "spine"."k" = FLOOR("spine"."k") THEN TRY_CAST("spine"."k" AS INT128) END = "row"."k"
    AND "row"."event_time" <= "spine"."as_of"
  GROUP BY
    "spine"."spine_row"
), "ticks_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."v",
    "found"."event_time"
  FROM "ticks_found" AS "found"
  JOIN (
    SELECT
      "k",
      "v",
      CASE
        WHEN CAST(CAST("t" AS TIMESTAMP) AS TIMESTAMP_NS) > "t"
        THEN CAST("t" AS TIMESTAMP) - INTERVAL '1' MICROSECOND
        ELSE CAST("t" AS TIMESTAMP)
      END AS "event_time"
    FROM "wh"."main"."ticks"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
), "ticks_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "ticks_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "ticks_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "ticks_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "ticks_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "ticks_settled" AS (
  SELECT
    "row".*
  FROM "ticks_fetched" AS "row"
  SEMI JOIN "ticks_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
    ) IS NULL
), "ticks_rows" AS (
  SELECT
    *
  FROM "ticks_fetched" AS "fetched"
  ANTI JOIN "ticks_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "ticks_settled"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "ticks"."v" AS "v"
FROM "spine" AS "spine"
LEFT JOIN "ticks_rows" AS "ticks"
  ON "spine"."spine_row" = "ticks"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
