-- case: rows loaded in one go are known from their own time on, the rest from their loading
-- request: {"views": {"stats": {"entities": {"route": ["a", "b"]}, "event_timestamp": "t", "created_timestamp": "loaded_at", "delay": "1 hour", "backfilled_until": "2024-02-01 00:00:00"}}, "view": "stats", "as_of": "2024-01-03 00:00:00"}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.stats AS
SELECT * FROM (VALUES
  (1, 'x', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-02-01 00:00:00', 10),
  (1, 'x', TIMESTAMP '2024-01-02 23:00:00', TIMESTAMP '2024-02-01 00:00:00', 11),
  (1, 'x', TIMESTAMP '2024-01-02 23:00:01', TIMESTAMP '2024-02-01 00:00:00', 12),
  (1, 'y', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-02-01 00:00:01', 13),
  (2, 'x', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', NULL)
) AS rows(a, b, t, loaded_at, v);

-- compiled:
WITH "stats_times" AS MATERIALIZED (
  SELECT
    "row"."a",
    "row"."b",
    MAX("row"."event_time") AS "event_time"
  FROM (
    SELECT
      "a",
      "b",
      "t" AS "event_time",
      "loaded_at" AS "recorded",
      CASE
        WHEN "loaded_at" <= CAST('2024-02-01 00:00:00.000000' AS TIMESTAMP)
        THEN COALESCE(TRY("t" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
        ELSE "loaded_at"
      END AS "arrival"
    FROM "wh"."main"."stats"
  ) AS "row"
  WHERE
    NOT "row"."a" IS NULL
    AND NOT "row"."b" IS NULL
    AND NOT "row"."event_time" IS NULL
    AND "row"."arrival" <= CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP)
  GROUP BY
    "row"."a",
    "row"."b",
    GREATEST("row"."event_time", CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP))
), "stats_found" AS MATERIALIZED (
  SELECT
    "found"."a",
    "found"."b",
    "found"."event_time",
    MAX("row"."recorded") AS "recorded"
  FROM "stats_times" AS "found"
  JOIN (
    SELECT
      "a",
      "b",
      "t" AS "event_time",
      "loaded_at" AS "recorded",
      CASE
        WHEN "loaded_at" <= CAST('2024-02-01 00:00:00.000000' AS TIMESTAMP)
        THEN COALESCE(TRY("t" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
        ELSE "loaded_at"
      END AS "arrival"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "found"."a" = "row"."a"
    AND "found"."b" = "row"."b"
    AND "row"."event_time" = "found"."event_time"
    AND "row"."arrival" <= CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP)
  GROUP BY
    "found"."a",
    "found"."b",
    "found"."event_time"
), "stats_fetched" AS MATERIALIZED (
  SELECT
    "row"."a",
    "row"."b",
    "row"."v",
    "found"."event_time",
    "found"."recorded"
  FROM "stats_found" AS "found"
  JOIN (
    SELECT
      "a",
      "b",
      "v",
      "t" AS "event_time",
      "loaded_at" AS "recorded",
      CASE
        WHEN "loaded_at" <= CAST('2024-02-01 00:00:00.000000' AS TIMESTAMP)
        THEN COALESCE(TRY("t" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
        ELSE "loaded_at"
      END AS "arrival"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "found"."a" = "row"."a"
    AND "found"."b" = "row"."b"
    AND "row"."event_time" = "found"."event_time"
    AND "row"."recorded" IS NOT DISTINCT FROM "found"."recorded"
), "stats_tied" AS MATERIALIZED (
  SELECT
    "a",
    "b",
    "event_time",
    "recorded"
  FROM "stats_fetched"
  WHERE
    (
      SELECT
        COUNT(*)
      FROM "stats_fetched"
    ) > (
      SELECT
        COUNT(*)
      FROM "stats_found"
    )
  GROUP BY
    "a",
    "b",
    "event_time",
    "recorded"
  HAVING
    COUNT(*) > 1
), "stats_settled" AS (
  SELECT
    "row".*
  FROM "stats_fetched" AS "row"
  SEMI JOIN "stats_tied" AS "found"
    ON "row"."a" = "found"."a"
    AND "row"."b" = "found"."b"
    AND "row"."event_time" = "found"."event_time"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."a", "row"."b", "row"."event_time"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."recorded" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
    ) IS NULL
), "stats_rows" AS (
  SELECT
    *
  FROM "stats_fetched" AS "fetched"
  ANTI JOIN "stats_tied" AS "tied"
    ON "fetched"."a" = "tied"."a"
    AND "fetched"."b" = "tied"."b"
    AND "fetched"."event_time" = "tied"."event_time"
  UNION ALL
  SELECT
    *
  FROM "stats_settled"
)
SELECT
  "a",
  "b",
  "v",
  "event_time",
  "recorded"
FROM "stats_rows";
