-- case: a clock in nanoseconds is floored, a zoned spine converted, a float key compared exactly
-- request: {"views": {"ticks": {"entities": {"user": "k"}, "event_timestamp": "t"}}, "features": ["ticks:v"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.ticks AS
SELECT * FROM (VALUES (9007199254740993, TIMESTAMP_NS '2024-01-01 00:00:00.000000999', 1), (7, TIMESTAMP_NS '2024-01-01 00:00:00', 2)) AS rows(k, t, v);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES (7.0::DOUBLE, TIMESTAMPTZ '2024-01-01 02:00:00+02:00'), (9007199254740992.0::DOUBLE, TIMESTAMPTZ '2024-01-02 00:00:00Z'), (7.5::DOUBLE, TIMESTAMPTZ '2024-01-02 00:00:00Z')) AS rows(k, event_timestamp);

-- compiled:
WITH "spine" AS (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    CAST("event_timestamp" AS TIMESTAMP) AS "as_of"
  FROM "temp"."main"."entity_df"
), "ticks_rows" AS (
  SELECT
    "k",
    "v",
    "event_time",
    "arrival",
    GREATEST("event_time", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (PARTITION BY "k" ORDER BY "event_time" NULLS FIRST, "v" NULLS FIRST) AS "recency"
  FROM (
    SELECT
      *,
      "event_time" AS "arrival"
    FROM (
      SELECT
        *,
        CASE
          WHEN CAST(CAST("t" AS TIMESTAMP) AS TIMESTAMP_NS) > "t"
          THEN CAST("t" AS TIMESTAMP) - INTERVAL '1' MICROSECOND
          ELSE CAST("t" AS TIMESTAMP)
        END AS "event_time"
      FROM "wh"."main"."ticks"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "k" IS NULL AND NOT "arrival" IS NULL
), "ticks_winners" AS (
  SELECT
    *
  FROM "ticks_rows"
  QUALIFY
    "recency" = MAX("recency") OVER (
      PARTITION BY "k"
      ORDER BY "visible_from" NULLS FIRST
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "ticks"."v" AS "v"
FROM "spine" AS "spine"
ASOF LEFT JOIN "ticks_winners" AS "ticks"
  ON CASE WHEN "spine"."k" = FLOOR("spine"."k") THEN TRY_CAST("spine"."k" AS INT128) END = "ticks"."k"
  AND "spine"."as_of" >= "ticks"."visible_from"
ORDER BY
  "spine"."spine_row";
