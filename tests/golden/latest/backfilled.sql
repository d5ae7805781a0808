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
WITH "stats_rows" AS (
  SELECT
    "a",
    "b",
    "v",
    "event_time",
    "arrival",
    "recorded",
    GREATEST("event_time", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (
      PARTITION BY "a", "b"
      ORDER BY "event_time" NULLS FIRST, "recorded" NULLS FIRST, "v" NULLS FIRST
    ) AS "recency"
  FROM (
    SELECT
      *,
      CASE
        WHEN "recorded" <= CAST('2024-02-01 00:00:00.000000' AS TIMESTAMP)
        THEN COALESCE(TRY("event_time" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
        ELSE "recorded"
      END AS "arrival"
    FROM (
      SELECT
        *,
        "t" AS "event_time",
        "loaded_at" AS "recorded"
      FROM "wh"."main"."stats"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL
    AND NOT "a" IS NULL
    AND NOT "b" IS NULL
    AND NOT "arrival" IS NULL
)
SELECT
  "a",
  "b",
  "v",
  "event_time",
  "recorded"
FROM "stats_rows"
WHERE
  "arrival" <= CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP)
QUALIFY
  "recency" = MAX("recency") OVER (
    PARTITION BY "a", "b", GREATEST("event_time", CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP))
  );
