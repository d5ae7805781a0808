-- case: found by an ASOF join, which knows no ttl: it is asked of what was found
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t", "ttl": "2 weeks"}}, "features": ["stats:*"], "include_event_timestamps": true, "plan": "asof"}

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
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "stats_asked" AS (
  SELECT
    "row"."k",
    "row"."t"
  FROM "wh"."main"."stats" AS "row"
  SEMI JOIN "spine" AS "spine"
    ON "spine"."k" = "row"."k"
), "stats_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    "spine"."as_of",
    "spine"."k" AS "k",
    "row"."event_time"
  FROM "spine" AS "spine"
  ASOF JOIN (
    SELECT
      "k",
      "t" AS "event_time"
    FROM "stats_asked"
  ) AS "row"
    ON "spine"."k" = "row"."k" AND "spine"."as_of" >= "row"."event_time"
  WHERE
    "row"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '14' DAY), CAST('-infinity' AS TIMESTAMP))
), "stats_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."v",
    "found"."event_time"
  FROM "stats_found" AS "found"
  JOIN (
    SELECT
      "k",
      "v",
      "t" AS "event_time"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
), "stats_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "stats_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
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
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "stats_settled" AS (
  SELECT
    "row".*
  FROM "stats_fetched" AS "row"
  SEMI JOIN "stats_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
    ) IS NULL
), "stats_rows" AS (
  SELECT
    *
  FROM "stats_fetched" AS "fetched"
  ANTI JOIN "stats_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "stats_settled"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "stats"."v" AS "v",
  CAST("stats"."event_time" AS TIMESTAMPTZ) AS "stats__event_timestamp"
FROM "spine" AS "spine"
LEFT JOIN "stats_rows" AS "stats"
  ON "spine"."spine_row" = "stats"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
