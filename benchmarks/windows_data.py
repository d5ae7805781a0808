"""The events, spines and dbt project of the benchmark of windows, and the right rows.

Every value is a hash of its row, as in :mod:`benchmarks.data`. A skewed key is the cube of an even
number: the hottest of 100,000 keys holds 2% of the events and of the spine rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.project import PROFILE, WAREHOUSE, run_dbt, write_yaml

WINDOWS = ("1 hour", "1 day", "7 days", "30 days", "90 days", "365 days")
FUNCTIONS = ("avg", "max", "count")
YEAR = 365 * 86_400_000_000  # microseconds
TOLERANCE = 1e-9  # of sums of floats, relative to the sum of absolute values
LARGEST = 1000.0  # no value is larger

# A spine of a thousand is what a person tries first, one of a million what trains a model.
GROWTH_EVENTS = (1.25e6, 2.5e6, 5e6, 10e6, 20e6)
GROWTH_SPINES = (5e4, 1e5, 2e5, 4e5, 8e5)


@dataclass(frozen=True)
class Case:
    """One question: the windows of so many spine rows over so many events."""

    events: int
    spine_rows: int
    keys: int
    skewed: bool = False
    storage: str = "parquet"  # or "sorted", a dbt table by key and time
    daily: bool = False  # the spine's times are midnights

    @property
    def shape(self) -> str:
        return "daily" if self.daily else "skewed" if self.skewed else "even"

    @property
    def name(self) -> str:
        return f"{self.shape}/{self.storage}/{self.events}/{self.spine_rows}"

    @property
    def view(self) -> str:
        """The name of the dbt model."""
        return f"{self.shape}_{self.events}_{self.storage}"

    def events_path(self, folder: Path) -> Path:
        return folder / f"events-{self.shape}-{self.events}.parquet"

    def spine_path(self, folder: Path) -> Path:
        return folder / f"spine-{self.shape}-{self.keys}-{self.spine_rows}.parquet"


def label(window: str) -> str:
    count, unit = window.split()
    return f"{count}{unit[0]}"


def outputs() -> Iterator[tuple[str, str, str]]:
    """Yield (name, function, window) of every feature."""
    for window in WINDOWS:
        for function in FUNCTIONS:
            yield f"x_{function}_{label(window)}", function, window


def make_data(folder: Path, cases: list[Case]) -> None:
    """Write the Parquet files of the cases, but for those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        for case in cases:
            queries = {
                case.events_path(folder): _rows(case, case.events, "event_timestamp", 1),
                case.spine_path(folder): _rows(case, case.spine_rows, "event_timestamp", 101),
            }
            for path, query in queries.items():
                if not path.exists():
                    partial = path.with_suffix(".partial")
                    connection.execute(f"COPY ({query}) TO '{partial}' (FORMAT parquet)")
                    partial.replace(path)


def _rows(case: Case, count: int, time: str, seed: int) -> str:
    unit = f"((hash(i * 1024 + {seed}) >> 11)::DOUBLE / {2**53})"
    key = f"floor({case.keys} * {unit}" + (f" * {unit} * {unit})" if case.skewed else ")")
    at = f"hash(i * 1024 + {seed + 1}) % {YEAR}"
    bits = f"hash(i * 1024 + {seed + 2})"
    value = f"CASE WHEN {bits} % 20 > 0 THEN ({bits} % 2000000)::DOUBLE / 1000 - 1000 END"
    when = f"TIMESTAMP '2024-01-01' + to_microseconds(({at})::BIGINT)"
    if case.daily and seed != 1:
        when = f"date_trunc('day', {when})"
    columns = f"{key}::BIGINT AS user_id, {when} AS {time}" + (
        f", {value} AS x" if seed == 1 else ", i AS row_id"
    )
    return f"SELECT {columns} FROM range({count}) AS rows (i)"


def make_project(folder: Path, data: Path, cases: list[Case]) -> None:
    """Write the dbt project and let dbt build its models."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / "dbt_project.yml", {"name": "bench", "profile": "bench"})
    write_yaml(folder / "profiles.yml", {"bench": {"outputs": {"default": PROFILE}}})
    entry = {"column": "x", "functions": list(FUNCTIONS), "windows": list(WINDOWS)}
    for case in cases:
        order = "\norder by user_id, event_timestamp" if case.storage == "sorted" else ""
        kind = "table" if case.storage == "sorted" else "view"
        (models / f"{case.view}.sql").write_text(
            f"{{{{ config(materialized='{kind}') }}}}\n"
            f"select * from read_parquet('{case.events_path(data)}'){order}\n",
            encoding="utf-8",
        )
        meta = {
            "entities": {"user": "user_id"},
            "event_timestamp": "event_timestamp",
            "aggregations": [entry],
        }
        model = {"name": case.view, "config": {"meta": {"fstore": meta}}}
        write_yaml(models / f"{case.view}.yml", {"models": [model]})
    run_dbt(folder, "run")


def relation(case: Case, data: Path) -> str:
    """Return the events as the baselines read them."""
    if case.storage == "parquet":
        return f"'{case.events_path(data)}'"
    return f"{Path(WAREHOUSE).stem}.main.{case.view}"


def check(answer: Path, truth: Path, windows: tuple[str, ...] = WINDOWS) -> str:
    """Return "right" where two files have the same rows, else how many cells differ."""
    wrong = []
    for name, function, window in outputs():
        if window not in windows:
            continue
        mine, theirs = f"a.{name}", f"b.{name}"
        same = f"{mine} IS NOT DISTINCT FROM {theirs}"
        if function == "avg":  # of values up to LARGEST
            same += f" OR abs({mine} - {theirs}) <= {TOLERANCE * LARGEST}"
        wrong.append(f"count(*) FILTER (NOT coalesce({same}, false))")
    counts = duckdb.sql(
        f"SELECT (SELECT count(*) FROM '{answer}') - (SELECT count(*) FROM '{truth}'), "
        f"count(*) - (SELECT count(*) FROM '{truth}'), {', '.join(wrong)} "
        f"FROM '{answer}' AS a JOIN '{truth}' AS b USING (row_id)"
    ).fetchall()[0]
    bad = sum(abs(count) for count in counts)
    return "right" if bad == 0 else f"{bad} cells wrong"


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of a straight line through the points' logarithms, by least squares."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    middle_x = sum(x for x, _ in logs) / len(logs)
    middle_y = sum(y for _, y in logs) / len(logs)
    across = sum((x - middle_x) ** 2 for x, _ in logs)
    return sum((x - middle_x) * (y - middle_y) for x, y in logs) / across
