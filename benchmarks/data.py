"""Makes the rows, by DuckDB, the same on every run; keeps them as Parquet in a folder.

Every value is a hash of its row and column: no generator has a state, so threads do not matter.
Times are microseconds drawn evenly from a year, so that no two rows of a key tie (`truth` makes
sure): peers settle ties differently, or not at all.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.shapes import Case, Spine, Table

YEAR_BEGINS = 1_704_067_200_000_000  # 2024-01-01 in microseconds
YEAR = 365 * 86_400_000_000
COLUMNS = 4096  # more than any table has
TIME, KEY, HEAT = range(3)  # what the first hashes of a row decide; features follow
UNKNOWN = 1.01  # one spine row in a hundred has a key that the tables do not know


def make_data(folder: Path, cases: list[Case]) -> None:
    """Write the Parquet files of the cases into ``folder``, but for those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        for case in cases:
            _write(connection, spine_path(folder, case.spine), spine_query(case.spine))
            for table in case.tables:
                _write(connection, table_path(folder, table, "parquet"), table_query(table))
                if case.storage == "sorted-parquet":
                    raw = table_path(folder, table, "parquet")
                    query = f"SELECT * FROM '{raw}' ORDER BY {table.key}, event_timestamp"
                    _write(connection, table_path(folder, table, case.storage), query)


def spine_path(folder: Path, spine: Spine) -> Path:
    """Return where the spine is."""
    return folder / f"spine-{spine.name}.parquet"


def table_path(folder: Path, table: Table, storage: str) -> Path:
    """Return where the rows of a table are as Parquet: sorted ones, or raw ones for the rest."""
    order = "sorted" if storage == "sorted-parquet" else "raw"
    return folder / f"{table.name}-{order}.parquet"


def table_query(table: Table) -> str:
    """Return the SELECT that makes a table's rows, in random order of key and time."""
    seed = sum(table.name.encode())
    features = ", ".join(
        f"{_feature(seed, number)} AS {name}" for number, name in enumerate(table.features)
    )
    key = _key(seed, KEY, table.keys, table.skewed)
    return (
        f"SELECT {key} AS {table.key}, {_time(seed)} AS event_timestamp, {features} "
        f"FROM range({table.rows}) AS rows (i)"
    )


def spine_query(spine: Spine) -> str:
    """Return the SELECT that makes the rows to train on, in random order of key and time."""
    seed = 4000 + sum(spine.name.encode())
    keys = ", ".join(
        f"{_key(seed, 10 + number, _drawn(spine, count), spine.skewed)} AS {column}"
        for number, (column, count) in enumerate(spine.keys)
    )
    return (
        f"SELECT i AS row_id, {keys}, {_time(seed)} AS event_timestamp "
        f"FROM range({spine.rows}) AS rows (i)"
    )


def _drawn(spine: Spine, keys: int) -> int:
    return keys if spine.skewed else round(keys * UNKNOWN)


def _hash(seed: int, column: int) -> str:
    """Return 64 even bits for a column of row i."""
    return f"hash(i * {COLUMNS} + {(seed << 44) + column})"


def _time(seed: int) -> str:
    return f"make_timestamp({YEAR_BEGINS} + ({_hash(seed, TIME)} % {YEAR})::BIGINT)"


def _key(seed: int, column: int, keys: int, skewed: bool) -> str:
    """Return a key below ``keys``; skewed: every other row has one of the first hundredth."""
    even = f"({_hash(seed, column)} % {keys})::BIGINT"
    if not skewed:
        return even
    hot = f"({_hash(seed, column)} % {max(1, keys // 100)})::BIGINT"
    return f"CASE WHEN {_hash(seed, HEAT)} % 2 = 0 THEN {hot} ELSE {even} END"


def _feature(seed: int, number: int) -> str:
    """Return a feature: of four, two are numbers, one a count and one a number with NULLs."""
    bits = _hash(seed, 100 + number)
    fraction = f"({bits} >> 11)::DOUBLE / {2**53}"
    if number % 4 == 2:
        return f"({bits} % 1000)::BIGINT"
    if number % 4 == 3:
        return f"CASE WHEN {bits} % 20 > 0 THEN {fraction} END"
    return fraction


def _write(connection: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    """Write the query's rows, unless the very same query wrote the file before."""
    note = path.with_suffix(".sql")
    if path.exists() and note.exists() and note.read_text(encoding="utf-8") == query:
        return
    partial = path.with_suffix(".partial")
    connection.execute(f"COPY ({query}) TO '{partial}' (FORMAT parquet)")
    partial.replace(path)
    note.write_text(query, encoding="utf-8")
