-- case: with known_at: false every row is known
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "loaded_at", "known_at": false}}, "view": "stats", "as_of": "2024-01-03 00:00:00"}

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
WITH "stats_times" AS MATERIALIZED (
  SELECT
    "row"."k",
    MAX("row"."event_time") AS "event_time"
  FROM (
    SELECT
      "k",
      "t" AS "event_time",
      "loaded_at" AS "recorded"
    FROM "wh"."main"."stats"
  ) AS "row"
  WHERE
    NOT "row"."k" IS NULL AND NOT "row"."event_time" IS NULL
  GROUP BY
    "row"."k",
    GREATEST("row"."event_time", CAST('2024-01-03 00:00:00.000000' AS TIMESTAMP))
), "stats_found" AS MATERIALIZED (
  SELECT
    "found"."k",
    "found"."event_time",
    MAX("row"."recorded") AS "recorded"
  FROM "stats_times" AS "found"
  JOIN (
    SELECT
      "k",
      "t" AS "event_time",
      "loaded_at" AS "recorded"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
  GROUP BY
    "found"."k",
    "found"."event_time"
), "stats_fetched" AS MATERIALIZED (
  SELECT
    "row"."k",
    "row"."v",
    "found"."event_time",
    "found"."recorded"
  FROM "stats_found" AS "found"
  JOIN (
    SELECT
      "k",
      "v",
      "t" AS "event_time",
      "loaded_at" AS "recorded"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "found"."k" = "row"."k"
    AND "row"."event_time" = "found"."event_time"
    AND "row"."recorded" IS NOT DISTINCT FROM "found"."recorded"
), "stats_tied" AS MATERIALIZED (
  SELECT
    "k",
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
    "k",
    "event_time",
    "recorded"
  HAVING
    COUNT(*) > 1
), "stats_settled" AS (
  SELECT
    "row".*
  FROM "stats_fetched" AS "row"
  SEMI JOIN "stats_tied" AS "found"
    ON "row"."k" = "found"."k" AND "row"."event_time" = "found"."event_time"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."k", "row"."event_time"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."recorded" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
    ) IS NULL
), "stats_rows" AS (
  SELECT
    *
  FROM "stats_fetched" AS "fetched"
  ANTI JOIN "stats_tied" AS "tied"
    ON "fetched"."k" = "tied"."k" AND "fetched"."event_time" = "tied"."event_time"
  UNION ALL
  SELECT
    *
  FROM "stats_settled"
)
SELECT
  "k",
  "v",
  "event_time",
  "recorded"
FROM "stats_rows";
