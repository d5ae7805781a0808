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
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "plan_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE("spine"."k") AS "k",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "k",
      "dbt_valid_from" AS "event_time"
    FROM "wh"."main"."plan"
  ) AS "row"
    ON "spine"."k" = "row"."k" AND "row"."event_time" <= "spine"."as_of"
  GROUP BY
    "spine"."spine_row"
), "plan_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."name",
    "row"."dbt_valid_to",
    "row"."dbt_is_deleted",
    "found"."event_time"
  FROM "plan_found" AS "found"
  JOIN (
    SELECT
      "k",
      "name",
      "dbt_valid_to",
      "dbt_is_deleted",
      "dbt_valid_from" AS "event_time"
    FROM "wh"."main"."plan"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
), "plan_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "plan_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "plan_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "plan_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "plan_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "plan_settled" AS (
  SELECT
    "row".*
  FROM "plan_fetched" AS "row"
  SEMI JOIN "plan_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."name" ASC NULLS FIRST, "row"."dbt_valid_to" ASC NULLS FIRST, "row"."dbt_is_deleted" ASC NULLS FIRST
    ) IS NULL
), "plan_rows" AS (
  SELECT
    *
  FROM "plan_fetched" AS "fetched"
  ANTI JOIN "plan_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "plan_settled"
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
LEFT JOIN "plan_rows" AS "plan"
  ON "spine"."spine_row" = "plan"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
