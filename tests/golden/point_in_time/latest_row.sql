-- case: the newest row of the key at or before the spine row, ties settled by the columns
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t"}}, "features": ["stats:v"]}

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
  (2, TIMESTAMP '2024-01-09 00:00:00'),
  (NULL, TIMESTAMP '2024-01-09 00:00:00'),
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
  "stats"."v" AS "v"
FROM "spine" AS "spine"
ASOF LEFT JOIN "stats_winners" AS "stats"
  ON "spine"."k" = "stats"."k" AND "spine"."as_of" >= "stats"."visible_from"
ORDER BY
  "spine"."spine_row";
