-- case: the events of keys with many cut into tiles, which may be unsettled: they have an arrival
-- request: {"views": {"clicks": {"entities": {"user": "k"}, "event_timestamp": "t", "aggregations": [{"column": "x", "functions": ["avg", "max", "count"], "windows": ["1 day", "7 days"]}], "created_timestamp": "c"}}, "features": ["clicks"], "windows": "mixed"}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.clicks AS
SELECT * FROM (VALUES
  (1, 1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', 10, 'ok'),
  (1, 2, TIMESTAMP '2024-01-01 12:00:00', TIMESTAMP '2024-01-02 06:00:00', 20, 'ok'),
  (1, 1, TIMESTAMP '2024-01-01 06:00:00', TIMESTAMP '2024-01-02 06:00:00', 30, 'bad'),
  (1, NULL, TIMESTAMP '2024-01-01 18:00:00', NULL, 40, 'ok'),
  (2, 1, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00', 20, NULL)
) AS rows(k, id, t, c, x, status);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-02 00:00:00'),
  (1, TIMESTAMP '2024-01-02 12:00:00'),
  (1, TIMESTAMP '2024-02-02 00:00:00'),
  (2, TIMESTAMP '2024-01-02 00:00:00'),
  (3, TIMESTAMP '2024-01-02 00:00:00'),
  (NULL, TIMESTAMP '2024-01-02 00:00:00'),
  (1, NULL)
) AS rows(k, event_timestamp);

-- compiled:
WITH "spine" AS MATERIALIZED (
  SELECT
    *,
    ROW_NUMBER() OVER () AS "spine_row",
    "event_timestamp" AS "as_of"
  FROM "temp"."main"."entity_df"
), "clicks_bounds" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    "spine"."as_of",
    "spine"."k" AS "k",
    COALESCE(TRY("spine"."as_of" - INTERVAL '7' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since",
    COALESCE(TRY("spine"."as_of" - INTERVAL '1' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since_1",
    COALESCE(TRY("spine"."as_of" - INTERVAL '7' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since_2"
  FROM "spine" AS "spine"
), "clicks_events" AS (
  SELECT
    "k",
    "event_time",
    "arrival",
    "x"
  FROM (
    SELECT
      "k",
      "x",
      "t" AS "event_time",
      "c" AS "recorded",
      "c" AS "arrival"
    FROM "wh"."main"."clicks"
  ) AS "stamped"
  WHERE
    ISFINITE("event_time") AND NOT "arrival" IS NULL
), "clicks_hot" AS MATERIALIZED (
  SELECT
    "row"."k"
  FROM "clicks_events" AS "row"
  SEMI JOIN (
    SELECT
      "asked"."k"
    FROM "clicks_bounds" AS "asked"
    GROUP BY
      "asked"."k"
    HAVING
      COUNT(*) >= 8
  ) AS "asked"
    ON "asked"."k" = "row"."k"
  GROUP BY
    "row"."k"
  HAVING
    COUNT(*) >= 256
), "clicks_cold" AS (
  SELECT
    *
  FROM "clicks_bounds" AS "asked"
  ANTI JOIN "clicks_hot" AS "hot"
    ON "asked"."k" = "hot"."k"
), "clicks_cut" AS MATERIALIZED (
  SELECT
    "row".*,
    ROW_NUMBER() OVER (PARTITION BY "row"."k" ORDER BY "row"."event_time" ASC NULLS FIRST) // (
      CAST(SQRT(COUNT(*) OVER (PARTITION BY "row"."k") / 3) AS BIGINT) + 1
    ) AS "tile"
  FROM "clicks_events" AS "row"
  SEMI JOIN "clicks_hot" AS "hot"
    ON "hot"."k" = "row"."k"
), "clicks_tiles" AS MATERIALIZED (
  SELECT
    "row"."k",
    "row"."tile",
    MIN("row"."event_time") AS "tile_first",
    MAX("row"."event_time") AS "tile_last",
    MAX("row"."arrival") AS "tile_settled",
    SUM("row"."x") AS "sum_1",
    COUNT("row"."x") AS "events_1",
    MAX("row"."x") AS "max_1"
  FROM "clicks_cut" AS "row"
  GROUP BY
    "row"."k",
    "row"."tile"
), "clicks_edges" AS MATERIALIZED (
  SELECT
    "asked".*,
    "tile"."tile"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_tiles" AS "tile"
    ON "asked"."k" = "tile"."k"
    AND "tile"."tile_first" < "asked"."as_of"
    AND "tile"."tile_last" >= "asked"."since"
    AND NOT (
      "tile"."tile_last" < "asked"."as_of"
      AND CAST("tile"."tile_first" >= "asked"."since_1" AS BIGINT) * 1 + CAST("tile"."tile_first" >= "asked"."since_2" AS BIGINT) * 2 = CAST("tile"."tile_last" >= "asked"."since_1" AS BIGINT) * 1 + CAST("tile"."tile_last" >= "asked"."since_2" AS BIGINT) * 2
      AND "tile"."tile_settled" <= "asked"."as_of"
    )
), "clicks_bands" AS (
  SELECT
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2 AS "held_by",
    SUM("row"."x") AS "sum_1",
    COUNT("row"."x") AS "events_1",
    MAX("row"."x") AS "max_1"
  FROM "clicks_cold" AS "asked"
  JOIN "clicks_events" AS "row"
    ON "asked"."k" = "row"."k"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
    AND "row"."arrival" <= "asked"."as_of"
  GROUP BY
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2
  UNION ALL
  SELECT
    "asked"."spine_row",
    CAST("tile"."tile_first" >= "asked"."since_1" AS BIGINT) * 1 + CAST("tile"."tile_first" >= "asked"."since_2" AS BIGINT) * 2 AS "held_by",
    SUM("tile"."sum_1") AS "sum_1",
    SUM("tile"."events_1") AS "events_1",
    MAX("tile"."max_1") AS "max_1"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_tiles" AS "tile"
    ON "asked"."k" = "tile"."k"
    AND "tile"."tile_first" < "asked"."as_of"
    AND "tile"."tile_last" >= "asked"."since"
    AND (
      "tile"."tile_last" < "asked"."as_of"
      AND CAST("tile"."tile_first" >= "asked"."since_1" AS BIGINT) * 1 + CAST("tile"."tile_first" >= "asked"."since_2" AS BIGINT) * 2 = CAST("tile"."tile_last" >= "asked"."since_1" AS BIGINT) * 1 + CAST("tile"."tile_last" >= "asked"."since_2" AS BIGINT) * 2
      AND "tile"."tile_settled" <= "asked"."as_of"
    )
  GROUP BY
    "asked"."spine_row",
    CAST("tile"."tile_first" >= "asked"."since_1" AS BIGINT) * 1 + CAST("tile"."tile_first" >= "asked"."since_2" AS BIGINT) * 2
  UNION ALL
  SELECT
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2 AS "held_by",
    SUM("row"."x") AS "sum_1",
    COUNT("row"."x") AS "events_1",
    MAX("row"."x") AS "max_1"
  FROM "clicks_edges" AS "asked"
  JOIN "clicks_cut" AS "row"
    ON "asked"."k" = "row"."k"
    AND "asked"."tile" = "row"."tile"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
    AND "row"."arrival" <= "asked"."as_of"
  GROUP BY
    "asked"."spine_row",
    CAST("row"."event_time" >= "asked"."since_1" AS BIGINT) * 1 + CAST("row"."event_time" >= "asked"."since_2" AS BIGINT) * 2
), "clicks_windows" AS (
  SELECT
    "band"."spine_row",
    CAST(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."sum_1" END) AS DOUBLE) / NULLIF(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."events_1" END), 0) AS "x_avg_1d",
    MAX(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."max_1" END) AS "x_max_1d",
    CAST(SUM(CASE WHEN "band"."held_by" & 1 > 0 THEN "band"."events_1" END) AS BIGINT) AS "x_count_1d",
    CAST(SUM(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."sum_1" END) AS DOUBLE) / NULLIF(SUM(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."events_1" END), 0) AS "x_avg_7d",
    MAX(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."max_1" END) AS "x_max_7d",
    CAST(SUM(CASE WHEN "band"."held_by" & 2 > 0 THEN "band"."events_1" END) AS BIGINT) AS "x_count_7d"
  FROM "clicks_bands" AS "band"
  GROUP BY
    "band"."spine_row"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "clicks_windows"."x_avg_1d" AS "x_avg_1d",
  "clicks_windows"."x_max_1d" AS "x_max_1d",
  CASE
    WHEN NOT "spine"."k" IS NULL AND NOT "spine"."as_of" IS NULL
    THEN COALESCE("clicks_windows"."x_count_1d", 0)
  END AS "x_count_1d",
  "clicks_windows"."x_avg_7d" AS "x_avg_7d",
  "clicks_windows"."x_max_7d" AS "x_max_7d",
  CASE
    WHEN NOT "spine"."k" IS NULL AND NOT "spine"."as_of" IS NULL
    THEN COALESCE("clicks_windows"."x_count_7d", 0)
  END AS "x_count_7d"
FROM "spine" AS "spine"
LEFT JOIN "clicks_windows" AS "clicks_windows"
  ON "spine"."spine_row" = "clicks_windows"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
