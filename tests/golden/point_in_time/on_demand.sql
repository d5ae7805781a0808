-- case: features computed on demand, of a request field, a view that is asked for and one that is not
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t"}, "limits": {"entities": {"user": "k"}, "event_timestamp": "t", "ttl": "2 days"}}, "on_demand": {"risk": {"sql": "select x * amount as cost, coalesce(most, 0) < x as is_over, date_diff('hour', stats__event_timestamp, event_timestamp) as hours from inputs", "inputs": ["stats:x", "limits:most"], "request": {"amount": "double"}}}, "features": ["risk:cost", "stats:x", "risk:is_over"], "include_event_timestamps": true, "by_hand": {"cost": [20.0, null], "is_over": [false, true]}}

ATTACH ':memory:' AS wh;
SET TimeZone = 'UTC';
CREATE TABLE wh.main.stats AS
SELECT * FROM (VALUES
  (1, TIMESTAMP '2024-01-01 00:00:00', 10),
  (1, TIMESTAMP '2024-01-03 00:00:00', 20)
) AS rows(k, t, x);
CREATE TABLE wh.main.limits AS
SELECT * FROM (VALUES (1, TIMESTAMP '2024-01-01 12:00:00', 15)) AS rows(k, t, most);
CREATE TEMP VIEW entity_df AS
SELECT * FROM (VALUES
  (1, 2, TIMESTAMP '2024-01-02 00:00:00'),
  (1, NULL, TIMESTAMP '2024-01-04 00:00:00')
) AS rows(k, amount, event_timestamp);

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
    "row"."x",
    "found"."event_time"
  FROM "stats_found" AS "found"
  JOIN (
    SELECT
      "k",
      "x",
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
    "row".*
  FROM "stats_fetched" AS "row"
  SEMI JOIN "stats_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."x" ASC NULLS FIRST
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
), "limits_found" AS MATERIALIZED (
  SELECT
    "spine"."spine_row",
    ANY_VALUE("spine"."k") AS "k",
    MAX("row"."event_time") AS "event_time"
  FROM "spine" AS "spine"
  JOIN (
    SELECT
      "k",
      "t" AS "event_time"
    FROM "wh"."main"."limits"
  ) AS "row"
    ON "spine"."k" = "row"."k"
    AND "row"."event_time" <= "spine"."as_of"
    AND "row"."event_time" >= COALESCE(TRY("spine"."as_of" - INTERVAL '2' DAY), CAST('-infinity' AS TIMESTAMP))
  GROUP BY
    "spine"."spine_row"
), "limits_fetched" AS MATERIALIZED (
  SELECT
    "found"."spine_row",
    "row"."most",
    "found"."event_time"
  FROM "limits_found" AS "found"
  JOIN (
    SELECT
      "k",
      "most",
      "t" AS "event_time"
    FROM "wh"."main"."limits"
  ) AS "row"
    ON "found"."k" = "row"."k" AND "row"."event_time" = "found"."event_time"
), "limits_tied" AS MATERIALIZED (
  SELECT
    *
  FROM "limits_found" AS "found"
  WHERE
    "found"."spine_row" IN (
      SELECT
        "spine_row"
      FROM "limits_fetched"
      WHERE
        (
          SELECT
            COUNT(*)
          FROM "limits_fetched"
        ) > (
          SELECT
            COUNT(*)
          FROM "limits_found"
        )
      GROUP BY
        "spine_row"
      HAVING
        COUNT(*) > 1
    )
), "limits_settled" AS (
  SELECT
    "row".*
  FROM "limits_fetched" AS "row"
  SEMI JOIN "limits_tied" AS "found"
    ON "row"."spine_row" = "found"."spine_row"
  QUALIFY
    LEAD(TRUE) OVER (
      PARTITION BY "row"."spine_row"
      ORDER BY "row"."event_time" ASC NULLS FIRST, "row"."most" ASC NULLS FIRST
    ) IS NULL
), "limits_rows" AS (
  SELECT
    *
  FROM "limits_fetched" AS "fetched"
  ANTI JOIN "limits_tied" AS "tied"
    ON "fetched"."spine_row" = "tied"."spine_row"
  UNION ALL
  SELECT
    *
  FROM "limits_settled"
), "risk_inputs" AS (
  SELECT
    "spine"."spine_row" AS "spine_row",
    CAST("spine"."amount" AS DOUBLE) AS "amount",
    "stats"."x" AS "x",
    "limits"."most" AS "most",
    CAST("spine"."as_of" AS TIMESTAMPTZ) AS "event_timestamp",
    CAST("stats"."event_time" AS TIMESTAMPTZ) AS "stats__event_timestamp",
    CAST("limits"."event_time" AS TIMESTAMPTZ) AS "limits__event_timestamp"
  FROM "spine" AS "spine"
  LEFT JOIN "stats_rows" AS "stats"
    ON "spine"."spine_row" = "stats"."spine_row"
  LEFT JOIN "limits_rows" AS "limits"
    ON "spine"."spine_row" = "limits"."spine_row"
), "risk_values" AS (
  SELECT
    "inputs"."spine_row",
    x * amount AS cost,
    COALESCE(most, 0) < x AS is_over,
    DATE_DIFF('HOUR', stats__event_timestamp, event_timestamp) AS hours,
    GREATEST("inputs"."stats__event_timestamp", "inputs"."limits__event_timestamp") AS "newest_input"
  FROM "risk_inputs" AS "inputs"
)
SELECT
  "spine"."k",
  "spine"."amount",
  "spine"."event_timestamp",
  "risk"."cost" AS "cost",
  "stats"."x" AS "x",
  "risk"."is_over" AS "is_over",
  "risk"."newest_input" AS "risk__event_timestamp",
  CAST("stats"."event_time" AS TIMESTAMPTZ) AS "stats__event_timestamp"
FROM "spine" AS "spine"
LEFT JOIN "stats_rows" AS "stats"
  ON "spine"."spine_row" = "stats"."spine_row"
LEFT JOIN "risk_values" AS "risk"
  ON "spine"."spine_row" = "risk"."spine_row"
ORDER BY
  "spine"."spine_row" ASC;
