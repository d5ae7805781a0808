-- case: keys of two columns, a view without keys, and names that SQL could trip over
-- request: {"views": {"spine": {"entities": {"route": ["a b", "select"]}, "event_timestamp": "event_time"}, "\u00fc_y": {"entities": {}, "event_timestamp": "t", "delay": "1 day"}}, "features": ["spine", "\u00fc_y:recency"], "full_feature_names": true}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.spine AS
SELECT * FROM (VALUES (1, 23, TIMESTAMP '2024-01-01 00:00:00', 100), (12, 3, TIMESTAMP '2024-01-01 00:00:00', 200)) AS rows("a b", "select", event_time, as_of);
CREATE TABLE wh.main."ü_y" AS
SELECT * FROM (VALUES (DATE '2024-01-01', 'first'), (DATE '2024-01-02', 'second')) AS rows(t, recency);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES (1, 23, TIMESTAMP '2024-01-02 00:00:00'), (12, 3, TIMESTAMP '2024-01-03 00:00:00'), (1, 3, TIMESTAMP '2024-01-01 23:59:59')) AS rows("a b", "select", event_timestamp);

-- compiled:
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of_"
  FROM "temp"."main"."entity_df"
), "spine_found" AS MATERIALIZED (
  SELECT
    "spine_"."spine_row",
    ANY_VALUE("spine_"."a b") AS "a b",
    ANY_VALUE("spine_"."select") AS "select",
    MAX("row"."event_time_") AS "event_time_"
  FROM "spine" AS "spine_"
  JOIN (
    SELECT
      "a b",
      "select",
      "event_time" AS "event_time_"
    FROM "wh"."main"."spine"
  ) AS "row"
    ON "spine_"."a b" = "row"."a b"
    AND "spine_"."select" = "row"."select"
    AND "row"."event_time_" <= "spine_"."as_of_"
  GROUP BY
    "spine_"."spine_row"
), "spine_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."as_of",
    "found"."event_time_"
  FROM "spine_found" AS "found"
  JOIN (
    SELECT
      "a b",
      "select",
      "as_of",
      "event_time" AS "event_time_"
    FROM "wh"."main"."spine"
  ) AS "row"
    ON "found"."a b" = "row"."a b"
    AND "found"."select" = "row"."select"
    AND "row"."event_time_" = "found"."event_time_"
), "spine_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "spine_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "spine_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "spine_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "spine_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "spine_settled" AS (
  SELECT
    "row".*
  FROM "spine_fetched" AS "row"
  SEMI JOIN "spine_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time_" ASC NULLS FIRST, "row"."as_of" ASC NULLS FIRST
    ) IS NULL
), "spine_rows" AS (
  SELECT
    *
  FROM "spine_fetched" AS "fetched"
  ANTI JOIN "spine_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "spine_settled"
), "ü_y_found" AS MATERIALIZED (
  SELECT
    "spine_"."spine_row",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine_"
  JOIN (
    SELECT
      TRY_CAST("t" AS TIMESTAMP) AS "event_time"
    FROM "wh"."main"."ü_y"
  ) AS "row"
    ON "row"."event_time" <= CASE
      WHEN NOT "spine_"."as_of_" IS NULL
      THEN COALESCE(TRY("spine_"."as_of_" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP))
    END
  GROUP BY
    "spine_"."spine_row"
), "ü_y_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."recency",
    "found"."event_time"
  FROM "ü_y_found" AS "found"
  JOIN (
    SELECT
      "recency",
      TRY_CAST("t" AS TIMESTAMP) AS "event_time"
    FROM "wh"."main"."ü_y"
  ) AS "row"
    ON "row"."event_time" = "found"."event_time"
), "ü_y_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "ü_y_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "ü_y_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "ü_y_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "ü_y_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "ü_y_settled" AS (
  SELECT
    "row".*
  FROM "ü_y_fetched" AS "row"
  SEMI JOIN "ü_y_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."recency" ASC NULLS FIRST
    ) IS NULL
), "ü_y_rows" AS (
  SELECT
    *
  FROM "ü_y_fetched" AS "fetched"
  ANTI JOIN "ü_y_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "ü_y_settled"
)
SELECT
  "spine_"."a b",
  "spine_"."select",
  "spine_"."event_timestamp",
  "spine"."as_of" AS "spine__as_of",
  "ü_y"."recency" AS "ü_y__recency"
FROM "spine" AS "spine_"
LEFT JOIN "spine_rows" AS "spine"
  ON "spine_"."spine_row" = "spine"."spine_row"
LEFT JOIN "ü_y_rows" AS "ü_y"
  ON "spine_"."spine_row" = "ü_y"."spine_row"
ORDER BY
  "spine_"."spine_row" ASC;
