"""The events, the projects and the right answers of the benchmark of windows online.

Every value is a hash of its row, as in :mod:`benchmarks.data`; times lie in the year before K. The
truth is one query written by hand over the same events, which shares nothing with fstore.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tests.harness import View, make_project

WINDOWS = ("1 hour", "1 day", "7 days", "30 days", "365 days")
LABELS = dict(zip(WINDOWS, ("1h", "1d", "7d", "30d", "365d"), strict=True))
ASKED = ("avg", "max")  # with five windows, ten features
FUNCTIONS = (
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "last",
    "first",
    "approx_count_distinct",
)
LONGEST = WINDOWS[-1]
YEAR = 365 * 86_400_000_000  # microseconds
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "c": "TIMESTAMP", "id": "BIGINT", "x": "DOUBLE"}
PLAIN = tuple(f"f{place}" for place in range(10))
EVENTS_PER_KEY = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Source:
    """So many events of so many keys, each the same number; a view of fstore over them."""

    name: str
    keys: int
    per_key: int
    functions: tuple[str, ...] = ASKED
    has_event_key: bool = True

    @property
    def events(self) -> int:
        return self.keys * self.per_key

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(feature_name(each, window) for window in WINDOWS for each in self.functions)

    def view(self, folder: Path) -> View:
        """Return the view, over the Parquet file of its events."""
        meta: dict[str, Any] = {
            "entities": {"user": "k"},
            "event_timestamp": "t",
            "created_timestamp": "c",
            "aggregations": [{"functions": list(self.functions), "windows": list(WINDOWS)}],
        }
        if self.functions != ("count",):
            meta["aggregations"][0]["column"] = "x"
        if self.has_event_key:
            meta["event_key"] = ["id"]
        return View(self.name, COLUMNS, meta=meta, select=f"SELECT * FROM '{self.path(folder)}'")

    def plain(self) -> View:
        """Return a view of ten columns, a row for each of the same keys."""
        meta = {"entities": {"user": "k"}, "event_timestamp": "t"}
        cells = ", ".join(
            f"{_unit(200 + n)} * 2000 - 1000 AS {name}" for n, name in enumerate(PLAIN)
        )
        query = f"SELECT i::BIGINT AS k, TIMESTAMP '2020-01-01' AS t, {cells}"
        columns = {"k": "BIGINT", "t": "TIMESTAMP"} | dict.fromkeys(PLAIN, "DOUBLE")
        rows = f"{query} FROM range({self.keys}) AS rows (i)"
        return View(f"plain_{self.name}", columns, meta=meta, select=rows)

    def path(self, folder: Path) -> Path:
        return folder / f"{self.keys}-{self.per_key}.parquet"


def feature_name(function: str, window: str) -> str:
    return f"x_{function}_{LABELS[window]}"


def sources(scale: float, functions: tuple[str, ...] = ASKED, word: str = "events") -> list[Source]:
    """Return a million events three times: of many keys with few, of few keys with many."""
    return [
        Source(f"{word}_{count}", max(10, round(1e6 * scale / count)), count, functions)
        for count in EVENTS_PER_KEY
    ]


def make(
    folder: Path,
    data: Path,
    sources: Iterable[Source],
    as_of: datetime,
    more: Iterable[View] = (),
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write the events and a project over them, as dbt leaves one behind; return its folder.

    Nothing is published in it: what an earlier run pushed would still be there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    data.mkdir(parents=True, exist_ok=True)
    given = list(sources)
    for source in given:
        write_events(source, data, as_of)
    return make_project(folder, [*(each.view(data) for each in given), *more], (), settings)


def write_events(source: Source, data: Path, as_of: datetime) -> None:
    """Write the events of the year before ``as_of``; a twentieth of the values are NULL."""
    bits = "hash(i * 1024 + 3)"
    query = f"""
        SELECT i % {source.keys} AS k, t,
            t + to_microseconds((hash(i * 1024 + 2) % 60000000)::BIGINT) AS c, i AS id,
            CASE WHEN {bits} % 20 > 0 THEN ({bits} % 2000000)::DOUBLE / 1000 - 1000 END AS x
        FROM (SELECT i, TIMESTAMP '{as_of.replace(tzinfo=None)}'
            - to_microseconds((hash(i * 1024 + 1) % {YEAR})::BIGINT) AS t
            FROM range({source.events}) AS rows (i))"""
    duckdb.sql(f"COPY ({query}) TO '{source.path(data)}' (FORMAT parquet)")


def _unit(seed: int) -> str:
    return f"((hash(i * 1024 + {seed}) >> 11)::DOUBLE / {2**53})"


@dataclass(frozen=True)
class Truth:
    """What is known: the events of a source as of K, and what was pushed since."""

    path: Path
    as_of: datetime
    pushed: pa.Table | None = None

    def rows(
        self, functions: Sequence[str], keys: Sequence[int], at: datetime
    ) -> dict[str, list[Any]]:
        """Return the features of some keys at an instant, by a query written by hand."""
        cells = ", ".join(
            f"{_aggregate(function)} FILTER (t >= $at - INTERVAL '{window}')"
            f" AS {feature_name(function, window)}"
            for window in WINDOWS
            for function in functions
        )
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            known = f"SELECT k, t, c, id, x FROM '{self.path}' WHERE c <= $as_of"
            if self.pushed is not None and self.pushed.num_rows:
                connection.register("pushes", self.pushed)
                known += " UNION ALL SELECT k, t, c, id, x FROM pushes WHERE c <= $at"
            connection.register("wanted", pa.table({"k": list(keys), "n": range(len(keys))}))
            query = f"""
                WITH newest AS (
                    SELECT * FROM ({known}) WHERE k IN (SELECT k FROM wanted)
                    QUALIFY row_number() OVER (PARTITION BY k, id ORDER BY c DESC) = 1
                ), windows AS (SELECT k, {cells} FROM newest WHERE t < $at GROUP BY k)
                SELECT windows.* EXCLUDE (k) FROM wanted LEFT JOIN windows USING (k) ORDER BY n"""
            words = {"at": at.replace(tzinfo=None), "as_of": self.as_of.replace(tzinfo=None)}
            if "$as_of" not in query:
                del words["as_of"]
            answer = connection.sql(query, params=words).to_arrow_table()
            found: dict[str, list[Any]] = answer.to_pydict()
            return found


def _aggregate(function: str) -> str:
    if function in ("first", "last"):
        return f"{function}(x ORDER BY t, c)"
    if function == "stddev":
        return "stddev_samp(x)"
    return "count(*)" if function == "rows" else f"{function}(x)"


def differences(found: Mapping[str, Sequence[Any]], *right: Mapping[str, Sequence[Any]]) -> str:
    """Return "right" where each cell is as one of the truths has it, else how many are not.

    There are two truths where the instant was the server's: one from before and one from after.
    """
    wrong = sum(
        not any(_same(cell, truth[name][place]) for truth in right)
        for name in right[0]
        for place, cell in enumerate(found[name])
    )
    cells = sum(len(found[name]) for name in right[0])
    return "right" if not wrong else f"{wrong} of {cells} cells wrong"


def _same(found: Any, right: Any) -> bool:
    if found is None or right is None:
        return found is right
    return math.isclose(found, right, rel_tol=1e-9, abs_tol=1e-6)


@dataclass
class Clock:
    """A clock that stands until it is told to go on."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, **step: float) -> None:
        self.now += timedelta(**step)
