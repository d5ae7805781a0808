-- case: of the versions of an event the one known at the asking instant
-- request: {"views": {"clicks": {"entities": {"user": "k"}, "event_timestamp": "t", "aggregations": [{"column": "x", "functions": ["avg", "max", "count"], "windows": ["1 day", "7 days"]}], "created_timestamp": "c", "event_key": ["id"]}}, "features": ["clicks:x_max_7d"], "windows": "tiles"}

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
    COALESCE(TRY("spine"."as_of" - INTERVAL '7' DAY), CAST('-infinity' AS TIMESTAMP)) AS "since"
  FROM "spine" AS "spine"
), "clicks_events" AS MATERIALIZED (
  SELECT
    "k",
    "event_time",
    "arrival",
    "superseded",
    "x"
  FROM (
    SELECT
      *,
      MIN("arrival") OVER (
        PARTITION BY "k", "id"
        ORDER BY "recorded" ASC NULLS FIRST, "event_time" ASC NULLS FIRST, "id" ASC NULLS FIRST, "x" ASC NULLS FIRST, "status" ASC NULLS FIRST
        ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
      ) AS "superseded"
    FROM (
      SELECT
        "k",
        "x",
        "id",
        "status",
        "t" AS "event_time",
        "c" AS "recorded",
        "c" AS "arrival"
      FROM (
        SELECT
          "row"."k",
          "row"."x",
          "row"."id",
          "row"."status",
          "row"."t",
          "row"."c"
        FROM "wh"."main"."clicks" AS "row"
        SEMI JOIN "spine" AS "spine"
          ON "spine"."k" = "row"."k"
      ) AS "row"
    ) AS "stamped"
    WHERE
      NOT "event_time" IS NULL AND NOT "arrival" IS NULL
  ) AS "version"
  WHERE
    ISFINITE("event_time") AND NOT "arrival" IS NULL
), "clicks_cut" AS MATERIALIZED (
  SELECT
    "row".*,
    ROW_NUMBER() OVER (PARTITION BY "row"."k" ORDER BY "row"."event_time" ASC NULLS FIRST) // (
      CAST(SQRT(COUNT(*) OVER (PARTITION BY "row"."k") / 2) AS BIGINT) + 1
    ) AS "tile"
  FROM "clicks_events" AS "row"
), "clicks_tiles" AS MATERIALIZED (
  SELECT
    "row"."k",
    "row"."tile",
    MIN("row"."event_time") AS "tile_first",
    MAX("row"."event_time") AS "tile_last",
    MAX(GREATEST("row"."arrival", "row"."superseded")) AS "tile_settled",
    MAX("row"."x") FILTER(WHERE
      "row"."superseded" IS NULL) AS "max_1"
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
      AND "tile"."tile_first" >= "asked"."since"
      AND "tile"."tile_settled" <= "asked"."as_of"
    )
), "clicks_bands" AS (
  SELECT
    "asked"."spine_row",
    MAX("tile"."max_1") AS "max_1"
  FROM "clicks_bounds" AS "asked"
  JOIN "clicks_tiles" AS "tile"
    ON "asked"."k" = "tile"."k"
    AND "tile"."tile_first" < "asked"."as_of"
    AND "tile"."tile_last" >= "asked"."since"
    AND (
      "tile"."tile_last" < "asked"."as_of"
      AND "tile"."tile_first" >= "asked"."since"
      AND "tile"."tile_settled" <= "asked"."as_of"
    )
  GROUP BY
    "asked"."spine_row"
  UNION ALL
  SELECT
    "asked"."spine_row",
    MAX("row"."x") AS "max_1"
  FROM "clicks_edges" AS "asked"
  JOIN "clicks_cut" AS "row"
    ON "asked"."k" = "row"."k"
    AND "asked"."tile" = "row"."tile"
    AND "row"."event_time" < "asked"."as_of"
    AND "row"."event_time" >= "asked"."since"
    AND "row"."arrival" <= "asked"."as_of"
    AND (
      "row"."superseded" IS NULL OR "row"."superseded" > "asked"."as_of"
    )
  GROUP BY
    "asked"."spine_row"
), "clicks_windows" AS (
  SELECT
    "band"."spine_row",
    MAX("band"."max_1") AS "x_max_7d"
  FROM "clicks_bands" AS "band"
  GROUP BY
    "band"."spine_row"
)
SELECT
  "spine"."k",
  "spine"."event_timestamp",
  "clicks_windows"."x_max_7d" AS "x_max_7d"
FROM "spine" AS "spine"
LEFT JOIN "clicks_windows" AS "clicks_windows"
  ON "spine"."spine_row" = "clicks_windows"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
