-- case: a row older than the ttl is no match, at exactly the ttl it is
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t", "ttl": "2 weeks"}}, "features": ["stats:*"], "include_event_timestamps": true}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.stats AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', 10),
  (1, TIMESTAMP '2024-01-02 00:00:00', NULL),
  (1, TIMESTAMP '2024-01-02 00:00:00', 11),
  (2, TIMESTAMP '2024-01-01 00:00:00', 20),
  (NULL, TIMESTAMP '2024-01-01 00:00:00', 99)
) AS rows(k, t, v);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 12:00:00'),
  (1, TIMESTAMP '2024-01-02 00:00:00'),
  (2, TIMESTAMP '2024-01-15 00:00:00'),
  (NULL, TIMESTAMP '2024-01-15 00:00:00'),
  (2, NULL)
) AS rows(k, event_timestamp);

-- compiled:
WITH "spine" AS (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "stats_rows" AS (
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
        "t" AS "event_time"
      FROM "wh"."main"."stats"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "k" IS NULL AND NOT "arrival" IS NULL
), "stats_winners" AS (
  SELECT
    *
  FROM "stats_rows"
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
    WHEN "stats"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '14' DAY), CAST('-infinity' AS TIMESTAMP))
    THEN "stats"."v"
  END AS "v",
  CAST(CASE
    WHEN "stats"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '14' DAY), CAST('-infinity' AS TIMESTAMP))
    THEN "stats"."event_time"
  END AS TIMESTAMPTZ) AS "stats__event_timestamp"
FROM "spine" AS "spine"
ASOF LEFT JOIN "stats_winners" AS "stats"
  ON "spine"."k" = "stats"."k" AND "spine"."as_of" >= "stats"."visible_from"
ORDER BY
  "spine"."spine_row";
