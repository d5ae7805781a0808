-- case: without a spine: when a row of either view became visible, each instant once
-- request: {"views": {"stats": {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "loaded_at"}, "other": {"entities": {"user": "k"}, "event_timestamp": "t", "delay": "1 day"}}, "start": "2024-01-02 00:00:00", "end": "2024-01-05 00:00:00"}

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
CREATE TABLE wh.main.other AS
SELECT * FROM (VALUES (1, TIMESTAMP '2024-01-01 00:00:00', 'a'), (3, TIMESTAMP '2024-01-04 00:00:00', 'b'), (3, TIMESTAMP '2024-01-04 00:00:01', 'c')) AS rows(k, t, w);

-- compiled:
SELECT
  *
FROM (
  SELECT DISTINCT
    "k",
    CAST("visible_from" AS TIMESTAMPTZ) AS "event_timestamp"
  FROM (
    SELECT
      "k",
      "event_time",
      "arrival",
      "recorded",
      GREATEST("event_time", "arrival") AS "visible_from"
    FROM (
      SELECT
        *,
        "recorded" AS "arrival"
      FROM (
        SELECT
          *,
          "t" AS "event_time",
          "loaded_at" AS "recorded"
        FROM "wh"."main"."stats"
      ) AS "stamped"
    ) AS "known"
    WHERE
      NOT "event_time" IS NULL AND NOT "k" IS NULL AND NOT "arrival" IS NULL
  ) AS "seen"
  WHERE
    "visible_from" >= CAST('2024-01-02 00:00:00.000000' AS TIMESTAMP)
    AND "visible_from" <= CAST('2024-01-05 00:00:00.000000' AS TIMESTAMP)
  UNION
  SELECT DISTINCT
    "k",
    CAST("visible_from" AS TIMESTAMPTZ) AS "event_timestamp"
  FROM (
    SELECT
      "k",
      "event_time",
      "arrival",
      GREATEST("event_time", "arrival") AS "visible_from"
    FROM (
      SELECT
        *,
        COALESCE(TRY("event_time" + INTERVAL '1' DAY), CAST('infinity' AS TIMESTAMP)) AS "arrival"
      FROM (
        SELECT
          *,
          "t" AS "event_time"
        FROM "wh"."main"."other"
      ) AS "stamped"
    ) AS "known"
    WHERE
      NOT "event_time" IS NULL AND NOT "k" IS NULL AND NOT "arrival" IS NULL
  ) AS "seen"
  WHERE
    "visible_from" >= CAST('2024-01-02 00:00:00.000000' AS TIMESTAMP)
    AND "visible_from" <= CAST('2024-01-05 00:00:00.000000' AS TIMESTAMP)
) AS "instants"
ORDER BY
  "event_timestamp" ASC,
  "k" ASC;
