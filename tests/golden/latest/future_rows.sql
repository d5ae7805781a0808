-- case: a generation holds the winner at K and every known row of the future
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "loaded_at"}}, "view": "stats", "as_of": "2024-01-03 00:00:00"}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.stats AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', 10),
  (1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 11),
  (1, TIMESTAMP '2024-01-05 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 12),
  (1, TIMESTAMP '2024-01-05 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 13),
  (2, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-09 00:00:00', 20)
) AS rows(k, t, loaded_at, v);

-- compiled:
WITH "stats_rows" AS (
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
      "recorded" AS "arrival"
    FROM (
      SELECT
        *,
        "t" AS "event_time",
        "loaded_at" AS "recorded"
      FROM "wh"."main"."stats"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "k" IS NULL AND NOT "arrival" IS NULL
)
SELECT
  "k",
  "v",
  "event_time",
  "recorded"
FROM "stats_rows"
WHERE
  "arrival" <= CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP)
QUALIFY
  "recency" = MAX("recency") OVER (
    PARTITION BY "k", GREATEST("event_time", CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP))
  );
