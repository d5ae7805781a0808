-- case: an ASOF join on when rows became visible, each with the newest event known by then
-- request: {"views": {"late": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "loaded_at", "delay": "1 hour", "backfilled_until": "2024-01-02 00:00:00"}}, "features": ["late:v"], "plan": "asof"}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.late AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 1),
  (1, TIMESTAMP '2024-01-03 00:00:00', TIMESTAMP '2024-01-05 00:00:00', 3),
  (1, TIMESTAMP '2024-01-02 00:00:00', TIMESTAMP '2024-01-06 00:00:00', 2),
  (1, TIMESTAMP '2024-01-04 00:00:00', NULL, 4)
) AS rows(k, t, loaded_at, v);
CREATE TEMP VIEW entity_df AS
SELECT 1 AS k, unnest(generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-07', INTERVAL 1 HOUR)) AS event_timestamp;

-- compiled:
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "late_asked" AS (
  SELECT
    "row"."k",
    "row"."t",
    "row"."loaded_at"
  FROM "wh"."main"."late" AS "row"
  SEMI JOIN "spine" AS "spine"
    ON "spine"."k" = "row"."k"
), "late_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    "spine"."as_of",
    "spine"."k" AS "k",
    "row"."event_time"
  FROM "spine" AS "spine"
  ASOF JOIN (
    SELECT
      "k",
      "visible_from",
      MAX("event_time") OVER (
        PARTITION BY "k"
        ORDER BY "visible_from" ASC NULLS FIRST
        RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      ) AS "event_time"
    FROM (
      SELECT
        "k",
        "event_time",
        GREATEST("event_time", "arrival") AS "visible_from"
      FROM (
        SELECT
          "k",
          "t" AS "event_time",
          "loaded_at" AS "recorded",
          CASE
            WHEN "loaded_at" <= CAST('2024-01-02 00:00:00.000000' AS TIMESTAMP)
            THEN COALESCE(TRY("t" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
            ELSE "loaded_at"
          END AS "arrival"
        FROM "late_asked"
      ) AS "stamped"
      WHERE
        NOT "event_time" IS NULL AND NOT "arrival" IS NULL
    ) AS "seen"
  ) AS "row"
    ON "spine"."k" = "row"."k" AND "spine"."as_of" >= "row"."visible_from"
), "late_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."v",
    "found"."event_time",
    "row"."recorded"
  FROM "late_found" AS "found"
  JOIN (
    SELECT
      "k",
      "v",
      "t" AS "event_time",
      "loaded_at" AS "recorded",
      CASE
        WHEN "loaded_at" <= CAST('2024-01-02 00:00:00.000000' AS TIMESTAMP)
        THEN COALESCE(TRY("t" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
        ELSE "loaded_at"
      END AS "arrival"
    FROM "wh"."main"."late"
  ) AS "row"
    ON "found"."k" = "row"."k"
    AND "row"."event_time" = "found"."event_time"
    AND "row"."arrival" <= "found"."as_of"
), "late_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "late_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "late_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "late_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "late_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "late_settled" AS (
  SELECT
    "row".*
  FROM "late_fetched" AS "row"
  SEMI JOIN "late_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."recorded" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
    ) IS NULL
), "late_rows" AS (
  SELECT
    *
  FROM "late_fetched" AS "fetched"
  ANTI JOIN "late_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "late_settled"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "late"."v" AS "v"
FROM "spine" AS "spine"
LEFT JOIN "late_rows" AS "late"
  ON "spine"."spine_row" = "late"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
