-- case: a row counts from when it arrived; what a backfill loaded counts from its event and a delay
-- request: {"views": {"late": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "loaded_at", "delay": "1 hour", "backfilled_until": "2024-01-02 00:00:00"}}, "features": ["late:v"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.late AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 1),
  (1, TIMESTAMP '2024-01-03 00:00:00', TIMESTAMP '2024-01-05 00:00:00', 3),
  (1, TIMESTAMP '2024-01-02 00:00:00', TIMESTAMP '2024-01-06 00:00:00', 2),
  (1, TIMESTAMP '2024-01-04 00:00:00', NULL, 4)
) AS rows(k, t, loaded_at, v);
CREATE TEMP VIEW entity_df AS
SELECT 1 AS k, unnest(generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-07', INTERVAL 1 HOUR)) AS event_timestamp;

-- compiled:
WITH "spine" AS (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "late_rows" AS (
  SELECT
    "k",
    "v",
    "event_time",
    "arrival",
    "recorded",
    GREATEST("event_time", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (
      PARTITION BY "k"
      ORDER BY "event_time" NULLS FIRST, "recorded" NULLS FIRST, "v" NULLS FIRST
    ) AS "recency"
  FROM (
    SELECT
      *,
      CASE
        WHEN "recorded" <= CAST('2024-01-02 00:00:00.000000' AS TIMESTAMP)
        THEN COALESCE(TRY("event_time" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
        ELSE "recorded"
      END AS "arrival"
    FROM (
      SELECT
        *,
        "t" AS "event_time",
        "loaded_at" AS "recorded"
      FROM "wh"."main"."late"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "k" IS NULL AND NOT "arrival" IS NULL
), "late_winners" AS (
  SELECT
    *
  FROM "late_rows"
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
  "late"."v" AS "v"
FROM "spine" AS "spine"
ASOF LEFT JOIN "late_winners" AS "late"
  ON "spine"."k" = "late"."k" AND "spine"."as_of" >= "late"."visible_from"
ORDER BY
  "spine"."spine_row";
