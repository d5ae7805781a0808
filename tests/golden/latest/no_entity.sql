-- case: a view without entities is one group up to K
-- request: {"views": {"world": {"entities": {}, "event_timestamp": "t", "delay": "1 day"}}, "view": "world", "as_of": "2024-01-03 00:00:00"}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.world AS
SELECT * FROM (VALUES
  (TIMESTAMP '2024-01-01 00:00:00', 10),
  (TIMESTAMP '2024-01-02 00:00:00', 11),
  (TIMESTAMP '2024-01-02 00:00:00.000001', 12)
) AS rows(t, v);

-- compiled:
WITH "world_rows" AS (
  SELECT
    "v",
    "event_time",
    "arrival",
    GREATEST("event_time", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (ORDER BY "event_time" NULLS FIRST, "v" NULLS FIRST) AS "recency"
  FROM (
    SELECT
      *,
      COALESCE(TRY("event_time" + INTERVAL '1' DAY), CAST('infinity' AS TIMESTAMP)) AS "arrival"
    FROM (
      SELECT
        *,
        "t" AS "event_time"
      FROM "wh"."main"."world"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "arrival" IS NULL
)
SELECT
  "v",
  "event_time"
FROM "world_rows"
WHERE
  "arrival" <= CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP)
QUALIFY
  "recency" = MAX("recency") OVER (
    PARTITION BY GREATEST("event_time", CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP))
  );
