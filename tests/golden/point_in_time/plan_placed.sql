-- case: the numbers of the rows asked for are kept, so that only those of winners are fetched; ties come with them
-- request: {"views": {"late": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "loaded_at", "delay": "1 hour", "backfilled_until": "2024-01-02 00:00:00"}}, "features": ["late:v"], "plan": "placed", "places": ["rowid"]}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.late AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-02 00:00:00', 1),
  (1, TIMESTAMP '2024-01-03 00:00:00', TIMESTAMP '2024-01-05 00:00:00', 3),
  (1, TIMESTAMP '2024-01-02 00:00:00', TIMESTAMP '2024-01-06 00:00:00', 2),
  (1, TIMESTAMP '2024-01-03 00:00:00', TIMESTAMP '2024-01-05 00:00:00', 5),
  (1, TIMESTAMP '2024-01-03 00:00:00', TIMESTAMP '2024-01-05 12:00:00', 4),
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
), "late_asked" AS MATERIALIZED (
  SELECT
    "row"."k",
    "row"."t",
    "row"."loaded_at",
    "row"."rowid" AS "place"
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
), "late_places" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "found"."event_time",
    "row"."recorded",
    "row"."place"
  FROM "late_found" AS "found"
  JOIN (
    SELECT
      "k",
      "place",
      "t" AS "event_time",
      "loaded_at" AS "recorded",
      CASE
        WHEN "loaded_at" <= CAST('2024-01-02 00:00:00.000000' AS TIMESTAMP)
        THEN COALESCE(TRY("t" + INTERVAL '1' HOUR), CAST('infinity' AS TIMESTAMP))
        ELSE "loaded_at"
      END AS "arrival"
    FROM "late_asked"
  ) AS "row"
    ON "found"."k" = "row"."k"
    AND "row"."event_time" = "found"."event_time"
    AND "row"."arrival" <= "found"."as_of"
), "late_tied" AS MATERIALIZED (
  SELECT
    "spine_row"
  FROM "late_places"
  WHERE
    (
      SELECT
        COUNT(*)
      FROM "late_places"
    ) > (
      SELECT
        COUNT(*)
      FROM "late_found"
    )
  GROUP BY
    "spine_row"
  HAVING
    COUNT(*) > 1
), "late_rows" AS (
  SELECT
    "found"."spine_row",
    "row"."v",
    "found"."event_time",
    "found"."recorded"
  FROM "late_places" AS "found"
  ANTI JOIN "late_tied" AS "tied"
    ON "found"."spine_row" = "tied"."spine_row"
  JOIN "wh"."main"."late" AS "row"
    ON "found"."place" = "row"."rowid"
  UNION ALL
  SELECT
    "row"."spine_row",
    "row"."v",
    "row"."event_time",
    "row"."recorded"
  FROM (
    SELECT
      "found"."spine_row",
      "row"."v",
      "found"."event_time",
      "found"."recorded"
    FROM "late_places" AS "found"
    SEMI JOIN "late_tied" AS "tied"
      ON "found"."spine_row" = "tied"."spine_row"
    JOIN "wh"."main"."late" AS "row"
      ON "found"."place" = "row"."rowid"
  ) AS "row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."recorded" ASC NULLS FIRST, "row"."v" ASC NULLS FIRST
    ) IS NULL
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
