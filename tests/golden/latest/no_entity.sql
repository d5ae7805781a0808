-- case: a view without entities is one group up to K; a view that is more than a scan is computed once
-- request: {"views": {"world": {"entities": {}, "event_timestamp": "t", "delay": "1 day"}}, "view": "world", "as_of": "2024-01-03 00:00:00", "computed": true}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.world AS
SELECT * FROM (VALUES
  (TIMESTAMP '2024-01-01 00:00:00', 10),
  (TIMESTAMP '2024-01-02 00:00:00', 11),
  (TIMESTAMP '2024-01-02 00:00:00.000001', 12)
) AS rows(t, v);

-- compiled:
WITH "world_computed" AS MATERIALIZED (
  SELECT
    *
  FROM "wh"."main"."world"
), "world_found" AS MATERIALIZED (
  SELECT
    MAX("row"."event_time") AS "event_time"
  FROM (
    SELECT
      "t" AS "event_time"
    FROM "world_computed"
  ) AS "row"
  WHERE
    NOT "row"."event_time" IS NULL
    AND "row"."event_time" <= COALESCE(
      TRY(CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP) - INTERVAL '1' DAY),
      CAST('-infinity' AS TIMESTAMP)
    )
  GROUP BY
    GREATEST("row"."event_time", CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP))
), "world_fetched" AS MATERIALIZED (
  SELECT
    "row"."v",
    "found"."event_time"
  FROM "world_found" AS "found"
  JOIN (
    SELECT
      "v",
      "t" AS "event_time"
    FROM "world_computed"
  ) AS "row"
    ON "row"."event_time" = "found"."event_time"
), "world_tied" AS MATERIALIZED (
  SELECT
    "event_time"
  FROM "world_fetched"
  WHERE
    (
      SELECT
        COUNT(*)
      FROM "world_fetched"
    ) > (
      SELECT
        COUNT(*)
      FROM "world_found"
    )
  GROUP BY
    "event_time"
  HAVING
    COUNT(*) > 1
), "world_settled" AS (
  SELECT
    "row".*
  FROM "world_fetched" AS "row"
  SEMI JOIN "world_tied" AS "found"
    ON "row"."event_time" = "found"."event_time"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."event_time"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
    ) IS NULL
), "world_rows" AS (
  SELECT
    *
  FROM "world_fetched" AS "fetched"
  ANTI JOIN "world_tied" AS "tied"
    ON "fetched"."event_time" = "tied"."event_time"
  UNION ALL
  SELECT
    *
  FROM "world_settled"
)
SELECT
  "v",
  "event_time"
FROM "world_rows";
