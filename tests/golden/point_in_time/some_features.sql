-- case: columns that nobody asked for settle ties too, and are read for the tied rows alone
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t"}}, "features": ["stats:v"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.stats AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', 2, 10),
  (1, TIMESTAMP '2024-01-01 00:00:00', 3, 9),
  (1, TIMESTAMP '2024-01-01 00:00:00', NULL, 11),
  (2, TIMESTAMP '2024-01-01 00:00:00', 1, 20)
) AS rows(k, t, w, v);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES
  (2, TIMESTAMP '2024-01-01 12:00:00'),
  (1, TIMESTAMP '2024-01-02 00:00:00')
) AS rows(k, event_timestamp);

-- compiled:
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "stats_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE("spine"."k") AS "k",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "k",
      "t" AS "event_time"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "spine"."k" = "row"."k" AND "row"."event_time" <= "spine"."as_of"
  GROUP BY
    "spine"."spine_row"
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
    "found"."spine_row",
    "row"."v",
    "found"."event_time"
  FROM "stats_tied" AS "found"
  JOIN (
    SELECT
      "k",
      "v",
      "w",
      "t" AS "event_time"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "found"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."w" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
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
  "stats"."v" AS "v"
FROM "spine" AS "spine"
LEFT JOIN "stats_rows" AS "stats"
  ON "spine"."spine_row" = "stats"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
