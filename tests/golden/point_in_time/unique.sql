-- case: where no two rows share key and event time there are no ties to settle
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t", "ttl": "2 weeks"}}, "features": ["stats:*"], "include_event_timestamps": true, "unique": true}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.stats AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', 10),
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
    ON "spine"."k" = "row"."k"
    AND "row"."event_time" <= "spine"."as_of"
    AND "row"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '14' DAY), CAST('-infinity' AS TIMESTAMP))
  GROUP BY
    "spine"."spine_row"
), "stats_rows" AS (
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
