"""What the right rows are, by a query of its own, and whether a peer's rows are these.

The query shares nothing with fstore: of each key, feature rows and spine rows are put in order of
time, a running maximum tells each spine row the newest time before it, and the row of that time is
joined if it is within the ttl.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.data import spine_path, table_path
from benchmarks.shapes import Case, Table


def make_truth(folder: Path, data: Path, case: Case) -> Path:
    """Write the right rows of a case, in order of row_id, unless they are there and newer."""
    path = folder / f"truth-{case.data}.parquet"
    spine = spine_path(data, case.spine)
    sources = [spine, *(table_path(data, table, "parquet") for table in case.tables)]
    if path.exists() and all(path.stat().st_mtime > each.stat().st_mtime for each in sources):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW spine AS SELECT * FROM '{spine}'")
        query = "SELECT * FROM (SELECT row_id FROM spine)"
        for table in case.tables:
            rows = table_path(data, table, "parquet")
            connection.execute(f"CREATE TABLE {table.name} AS {_right_rows(table, rows)}")
            query += f" JOIN {table.name} USING (row_id)"
        partial = path.with_suffix(".partial")
        connection.execute(f"COPY ({query} ORDER BY row_id) TO '{partial}' (FORMAT parquet)")
        (rows_out,) = connection.execute(
            f"SELECT count(*) FROM read_parquet('{partial}')"
        ).fetchall()[0]
    if rows_out != case.spine.rows:
        raise SystemExit(f"{case.name}: rows of one key tie in time, so that peers may differ")
    partial.replace(path)
    return path


def _right_rows(table: Table, rows: Path) -> str:
    key, features = table.key, ", ".join(table.features)
    within = (
        "" if table.ttl_days is None else f"AND moment - found <= INTERVAL {table.ttl_days} DAY"
    )
    return f"""
        WITH features AS (
            SELECT {key} AS key, event_timestamp AS found, {features} FROM '{rows}'
            WHERE {key} IN (SELECT {key} FROM spine)
        ), events AS (
            SELECT key, found AS moment, NULL AS row_id, 0 AS asks FROM features
            UNION ALL
            SELECT {key}, event_timestamp, row_id, 1 FROM spine
        ), answered AS (
            SELECT row_id, key, moment, max(CASE WHEN asks = 0 THEN moment END) OVER (
                PARTITION BY key ORDER BY moment, asks
            ) AS found
            FROM events QUALIFY asks = 1
        ), in_time AS (
            SELECT row_id, key, found FROM answered WHERE found IS NOT NULL {within}
        )
        SELECT row_id, {features} FROM (SELECT row_id FROM spine)
        LEFT JOIN in_time USING (row_id) LEFT JOIN features USING (key, found)
    """


def check(case: Case, truth: Path, answer: Path) -> str:
    """Return "right", or what is wrong with a peer's rows. NaN counts as NULL, order as nothing."""
    names = [name for table in case.tables for name in table.features]
    differs = " OR ".join(f"{_number('a', n)} IS DISTINCT FROM {_number('t', n)}" for n in names)
    with duckdb.connect() as connection:
        rows, distinct = connection.execute(
            f"SELECT count(*), count(DISTINCT row_id) FROM '{answer}'"
        ).fetchall()[0]
        missing, wrong = connection.execute(
            f"SELECT count(*) FILTER (a.row_id IS NULL), "
            f"count(*) FILTER (a.row_id IS NOT NULL AND ({differs})) "
            f"FROM '{truth}' AS t LEFT JOIN '{answer}' AS a USING (row_id)"
        ).fetchall()[0]
    if missing:
        return f"wrong: {missing:,} of {case.spine.rows:,} rows missing, {wrong:,} differ"
    if wrong:
        return f"wrong: {wrong:,} of {case.spine.rows:,} rows differ"
    if rows != distinct or rows != case.spine.rows:
        return f"wrong: {rows:,} rows for {case.spine.rows:,}"
    return "right"


def _number(table: str, column: str) -> str:
    return f"nullif({table}.{column}::DOUBLE, 'nan'::DOUBLE)"
