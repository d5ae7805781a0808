-- case: a snapshot's row ends, and a deletion is no match
-- request: {"views": {"plan": {"entities": {"user": "k"}}}, "snapshots": ["plan"], "features": ["plan:*"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.plan AS
SELECT * FROM (VALUES
  (1, 'free', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-03 00:00:00', 'False'),
  (1, 'paid', TIMESTAMP '2024-01-03 00:00:00', NULL, 'False'),
  (2, 'free', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 'False'),
  (2, 'free', TIMESTAMP '2024-01-02 00:00:00', NULL, 'True'),
  (3, 'free', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 'False')
) AS rows(k, name, dbt_valid_from, dbt_valid_to, dbt_is_deleted);
CREATE TEMP VIEW entity_df AS
SELECT k, event_timestamp
FROM range(1, 4) AS keys(k), (VALUES (TIMESTAMP '2024-01-01 12:00:00'), (TIMESTAMP '2024-01-02 00:00:00'), (TIMESTAMP '2024-01-03 00:00:00')) AS times(event_timestamp);

-- compiled:
WITH "spine" AS (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "plan_rows" AS (
  SELECT
    "k",
    "name",
    "dbt_valid_to",
    "dbt_is_deleted",
    "event_time",
    "arrival",
    GREATEST("event_time", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (
      PARTITION BY "k"
      ORDER BY "event_time" NULLS FIRST, "name" NULLS FIRST, "dbt_valid_to" NULLS FIRST, "dbt_is_deleted" NULLS FIRST
    ) AS "recency"
  FROM (
    SELECT
      *,
      "event_time" AS "arrival"
    FROM (
      SELECT
        *,
        "dbt_valid_from" AS "event_time"
      FROM "wh"."main"."plan"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "k" IS NULL AND NOT "arrival" IS NULL
), "plan_winners" AS (
  SELECT
    *
  FROM "plan_rows"
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
  CASE
    WHEN (
      "plan"."dbt_valid_to" IS NULL OR "plan"."dbt_valid_to" > "spine"."as_of"
    )
    AND "plan"."dbt_is_deleted" IS DISTINCT FROM 'True'
    THEN "plan"."name"
  END AS "name"
FROM "spine" AS "spine"
ASOF LEFT JOIN "plan_winners" AS "plan"
  ON "spine"."k" = "plan"."k" AND "spine"."as_of" >= "plan"."visible_from"
ORDER BY
  "spine"."spine_row";
