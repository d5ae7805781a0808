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
WITH "spine" AS (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "spine_rows" AS (
  SELECT
    "a b",
    "select",
    "as_of",
    "event_time_",
    "arrival",
    GREATEST("event_time_", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (
      PARTITION BY "a b", "select"
      ORDER BY "event_time_" NULLS FIRST, "as_of" NULLS FIRST
    ) AS "recency"
  FROM (
    SELECT
      *,
      "event_time_" AS "arrival"
    FROM (
      SELECT
        *,
        "event_time" AS "event_time_"
      FROM "wh"."main"."spine"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time_" IS NULL
    AND NOT "a b" IS NULL
    AND NOT "select" IS NULL
    AND NOT "arrival" IS NULL
), "spine_winners" AS (
  SELECT
    *
  FROM "spine_rows"
  QUALIFY
    "recency" = MAX("recency") OVER (
      PARTITION BY "a b", "select"
      ORDER BY "visible_from" NULLS FIRST
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
), "ü_y_rows" AS (
  SELECT
    "recency",
    "event_time",
    "arrival",
    GREATEST("event_time", "arrival") AS "visible_from",
    ROW_NUMBER() OVER (ORDER BY "event_time" NULLS FIRST, "recency" NULLS FIRST) AS "recency_"
  FROM (
    SELECT
      *,
      COALESCE(TRY("event_time" + INTERVAL '1' DAY), CAST('infinity' AS TIMESTAMP)) AS "arrival"
    FROM (
      SELECT
        *,
        TRY_CAST("t" AS TIMESTAMP) AS "event_time"
      FROM "wh"."main"."ü_y"
    ) AS "stamped"
  ) AS "known"
  WHERE
    NOT "event_time" IS NULL AND NOT "arrival" IS NULL
), "ü_y_winners" AS (
  SELECT
    *
  FROM "ü_y_rows"
  QUALIFY
    "recency_" = MAX("recency_") OVER (
      ORDER BY "visible_from" NULLS FIRST
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
SELECT
  "spine_"."a b",
  "spine_"."select",
  "spine_"."event_timestamp",
  "spine"."as_of" AS "spine__as_of",
  "ü_y"."recency" AS "ü_y__recency"
FROM "spine" AS "spine_"
ASOF LEFT JOIN "spine_winners" AS "spine"
  ON "spine_"."a b" = "spine"."a b"
  AND "spine_"."select" = "spine"."select"
  AND "spine_"."as_of" >= "spine"."visible_from"
ASOF LEFT JOIN "ü_y_winners" AS "ü_y"
  ON "spine_"."as_of" >= "ü_y"."visible_from"
ORDER BY
  "spine_"."spine_row";
