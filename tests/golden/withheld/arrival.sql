-- case: how many spine rows missed a row that had happened but not arrived
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "loaded_at"}}, "view": "stats"}

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
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES (1, TIMESTAMP '2024-01-01 12:00:00'), (1, TIMESTAMP '2024-01-06 00:00:00'), (2, TIMESTAMP '2024-01-08 00:00:00'), (2, TIMESTAMP '2024-01-09 00:00:00')) AS rows(k, event_timestamp);

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
    "event_time",
    "arrival",
    "recorded",
    "event_time" AS "visible_from",
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
    NOT "event_time" IS NULL AND NOT "k" IS NULL
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
  COUNT(*) FILTER(WHERE
    NOT "stats"."event_time" IS NULL
    AND (
      "stats"."arrival" IS NULL OR "stats"."arrival" > "spine"."as_of"
    )) AS "withheld",
  COUNT(*) AS "spine_rows"
FROM "spine" AS "spine"
ASOF LEFT JOIN "stats_winners" AS "stats"
  ON "spine"."k" = "stats"."k" AND "spine"."as_of" >= "stats"."visible_from";
