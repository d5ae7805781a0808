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
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "stats_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE("spine"."as_of") AS "as_of",
    ANY_VALUE("spine"."k") AS "k",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "k",
      "t" AS "event_time",
      "loaded_at" AS "recorded"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "spine"."k" = "row"."k" AND "row"."event_time" <= "spine"."as_of"
  GROUP BY
    "spine"."spine_row"
), "newest" AS (
  SELECT
    NOT COALESCE("row"."arrival" <= "found"."as_of", FALSE) AS "late"
  FROM "stats_found" AS "found"
  JOIN (
    SELECT
      "k",
      "t" AS "event_time",
      "loaded_at" AS "recorded",
      "loaded_at" AS "arrival"
    FROM "wh"."main"."stats"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "found"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."recorded" ASC NULLS FIRST
    ) IS NULL
)
SELECT
  COUNT(*) FILTER(WHERE
    "late") AS "withheld",
  (
    SELECT
      COUNT(*)
    FROM "spine"
  ) AS "spine_rows"
FROM "newest";
