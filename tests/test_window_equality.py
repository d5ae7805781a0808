"""Online equals offline for windows: random streams of events, published and pushed, read anywhere.

Events come late, twice, out of order, tied, with NULLs, corrected in place and in time. After each
step window features are read online at random instants; each equals what training gives at that
instant over the rows that the store knows, and what the oracle says. Integers, counts, extremes,
firsts and lasts are exact; a sum of floats is within 1e-9 of the sum of absolute values, a variance
within 1e-9 of that of squares. FSTORE_EXAMPLES as in test_properties.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import fstore
from tests import harness, oracle
from tests.online import NOW, Online
from tests.test_properties import ASKED

EXAMPLES = (ASKED or 45) // 5  # of each shape, of some thousand comparisons
AT_LEAST = 5000  # comparisons of windows that hold events, all shapes together, on files
MINUTE = timedelta(minutes=1)
NAIVE = NOW.replace(tzinfo=None)
KEYS = (1, 2, None, 3)
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "id": "VARCHAR", "n": "BIGINT", "f": "DOUBLE"}
COLUMNS |= {"d": "DECIMAL(9,2)", "w": "VARCHAR", "b": "BOOLEAN"}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "unkeyed": {"event_key": None},  # to which nothing can be pushed
    "tiled": {"event_key": None},
    "delay": {"delay": "20 minutes"},
    "arrival": {"created_timestamp": "c"},
    "backfilled": {"created_timestamp": "c", "backfilled_until": NAIVE.isoformat(" ")},
    "forgetful": {"created_timestamp": "c", "known_at": False},
}
NUMBERS = ["count", "sum", "avg", "min", "max", "stddev", "last", "first", "approx_count_distinct"]
OTHERS = ["count", "min", "max", "last", "first", "approx_count_distinct"]
AGGREGATIONS: list[dict[str, Any]] = [
    {"column": "n", "functions": NUMBERS, "windows": ["7 minutes", "1 hour"]},
    {"column": "f", "functions": NUMBERS, "windows": ["90 minutes"]},
    {"column": "d", "functions": NUMBERS, "windows": ["2 hours"], "where": "n > 0"},
    {"column": "w", "functions": OTHERS, "windows": ["1 hour"]},
    {"column": "b", "functions": [*OTHERS, "sum"], "windows": ["1 hour"], "hop": "15 minutes"},
    {"windows": ["30 seconds", "3 hours"]},
    {"windows": ["2 hours"], "where": "w = 'a' or b", "name": "few", "hop": "30 minutes"},
]
MERGED = ["count", "sum", "avg", "min", "max"]
TILED: list[dict[str, Any]] = [
    {"column": "n", "functions": MERGED, "windows": ["45 minutes", "2 hours"], "hop": "15 minutes"},
    {"column": "f", "functions": MERGED, "windows": ["90 minutes"], "hop": "10 minutes"},
    {"column": "d", "functions": MERGED, "windows": ["2 hours"], "where": "n > 0", "hop": "1 hour"},
    {"windows": ["5 minutes", "3 hours"], "hop": "5 minutes"},
    {"windows": ["2 hours"], "where": "w = 'a' or b", "name": "few", "hop": "25 minutes"},
]
WHERES = {
    "n > 0": lambda row: row["n"] is not None and row["n"] > 0,
    "w = 'a' or b": lambda row: row["w"] == "a" or bool(row["b"]),
}


def aggregations_of(shape: str) -> list[dict[str, Any]]:
    return TILED if shape == "tiled" else AGGREGATIONS


def windows(aggregations: list[dict[str, Any]]) -> dict[str, oracle.Window]:
    """The features, as the oracle takes them."""
    found = {}
    for entry in aggregations:
        for window in entry["windows"]:
            count, unit = window.split()
            length = length_of(window)
            hop = entry.get("hop")
            for function in entry.get("functions", ["count"]):
                parts = (entry.get("name") or entry.get("column"), function, f"{count}{unit[0]}")
                found["_".join(part for part in parts if part)] = oracle.Window(
                    function,
                    entry.get("column"),
                    length,
                    WHERES.get(entry.get("where", "")),
                    None if hop is None else length_of(hop),
                )
    return found


def length_of(text: str) -> timedelta:
    count, unit = text.split()
    return timedelta(**{unit if unit.endswith("s") else f"{unit}s": int(count)})


RawRow = dict[str, Any]


@dataclass
class Known:
    """The rows that the online store knows: what was published at K, and accepted since."""

    shape: str
    published: list[RawRow] = field(default_factory=list)
    pushed: list[RawRow] = field(default_factory=list)

    def view(self, rows: list[RawRow]) -> oracle.View:
        meta = SHAPES[self.shape]
        delay = timedelta(minutes=20) if "delay" in meta else None
        return oracle.View(
            columns=list(columns_of(self.shape)),
            keys=["k"],
            event_timestamp="t",
            rows=rows,
            created_timestamp=meta.get("created_timestamp"),
            known_at=meta.get("known_at", True),
            delay=delay,
            backfilled_until=meta.get("backfilled_until"),
            event_key=() if "event_key" in meta else ["id"],
            windows=windows(aggregations_of(self.shape)),
        )

    @property
    def rows(self) -> list[RawRow]:
        return [*self.published, *self.pushed]

    def publish(self, source: list[RawRow], k: datetime) -> None:
        view = self.view(source)
        instant = oracle.instant(k)
        self.published = [
            row for row in source if view.event(row) is not None and view.known(row, instant)
        ]

        def newest(row: RawRow) -> bool:
            """Whether the source has the row's event in a version as new."""
            mine = oracle.rank(view.recorded(row))
            return any(
                other["k"] == row["k"]
                and other["id"] == row["id"]
                and oracle.rank(view.recorded(other)) >= mine
                for other in self.published
            )

        self.pushed = [row for row in self.pushed if not newest(row)]


def columns_of(shape: str) -> dict[str, str]:
    created = {"c": "TIMESTAMP"} if "created_timestamp" in SHAPES[shape] else {}
    return COLUMNS | created


minutes = st.integers(-150, 50).map(lambda count: NAIVE + count * MINUTE)
events = st.fixed_dictionaries(
    {
        "k": st.sampled_from([1, 1, 1, 2]),
        "t": minutes,
        "c": minutes | st.sampled_from([NAIVE + 5 * MINUTE, NAIVE + 20 * MINUTE]),  # of loads
        "id": st.sampled_from("abcdefghijklmnopqrst"),
        "n": st.none() | st.integers(-5, 5) | st.sampled_from([2**40, -(2**40)]),
        "f": st.none() | st.sampled_from([0.5, -0.25, 3.0, 1e15, 1e-3, -1e15, 7.0]),
        "d": st.none() | st.integers(-999, 999).map(lambda n: n / 100).map(lambda x: f"{x:.2f}"),
        "w": st.sampled_from([None, "a", "b", "é", ""]),
        "b": st.sampled_from([None, True, False]),
    }
)
steps = st.lists(
    st.tuples(st.just("push"), st.lists(events, min_size=2, max_size=10))
    | st.tuples(st.just("source"), st.lists(events, max_size=20))
    | st.tuples(st.sampled_from(["publish", "incremental"]), st.none()),
    min_size=2,
    max_size=5,
)


def unique(rows: list[RawRow], taken: list[RawRow], shape: str) -> list[RawRow]:
    """The rows whose (key, E, A) no other has: where they are unique, answers are equal."""
    names = ("k", "t", "c") if "created_timestamp" in SHAPES[shape] else ("k", "t")
    times = {tuple(row[name] for name in names) for row in taken}
    found = []
    for row in rows:
        time = tuple(row[name] for name in names)
        if time not in times:
            times.add(time)
            found.append({name: row[name] for name in columns_of(shape)})
    return found


def can_come(row: RawRow) -> bool:
    """Whether a row is pushed: not one from before it happened, nor from before the history's load.

    Of such a row the store cannot tell that its event was moved to before every window since.
    """
    return bool(row["c"] >= row["t"] and row["c"] > NAIVE)


def as_oracle(rows: list[RawRow]) -> list[RawRow]:
    """Cells as they compare: decimals are Decimal."""
    return [row | {"d": None if row["d"] is None else Decimal(row["d"])} for row in rows]


def offline(directory: Path, shape: str, rows: list[RawRow], asked: list[datetime]) -> Any:
    """What training gives over these rows, at these instants, for each key."""
    meta = {"entities": {"u": "k"}, "event_timestamp": "t", "event_key": ["id"]} | SHAPES[shape]
    view = harness.View(
        "ev", columns_of(shape), rows, meta | {"aggregations": aggregations_of(shape)}
    )
    project = harness.make_project(directory, [view])
    spine = [{"k": key, "event_timestamp": at} for at in asked for key in KEYS]
    table = harness.typed_table({"k": "BIGINT", "event_timestamp": "TIMESTAMP"}, spine)
    with fstore.FeatureStore(project) as store, warnings.catch_warnings():
        warnings.simplefilter("ignore", fstore.FstoreWarning)  # of rows withheld
        return store.get_historical_features(table, ["ev:*"]).to_arrow().to_pylist()


def close(name: str, found: Any, wanted: Any, view: oracle.View, key: Any, at: Any) -> bool:
    """Whether two values are equal, floats within what rounding may do."""
    if found == wanted or found is None or wanted is None:
        return found is None and wanted is None if None in (found, wanted) else True
    window = view.windows[name]
    if window.function not in ("sum", "avg", "stddev"):
        return False
    values = [row[window.column] for row in view.in_window(window, [key], oracle.instant(at))]
    sizes = [abs(float(value)) for value in values if value is not None]
    if window.function == "stddev":
        return abs(found**2 - wanted**2) <= 1e-9 * math.fsum(size**2 for size in sizes)
    if isinstance(wanted, int) and window.function == "sum":
        return False
    return abs(float(found) - float(wanted)) <= 1e-9 * math.fsum(sizes)


@pytest.mark.usefixtures("store_kind")
@pytest.mark.parametrize("shape", SHAPES)
def test_online_equals_offline_and_the_oracle(
    shape: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    on_files = request.getfixturevalue("store_kind") == "duckdb"
    examples = EXAMPLES if on_files else max(EXAMPLES // 5, 1)
    compared = {"values": 0, "not empty": 0}

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a case takes a second: shrinking one takes many minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(
        first=st.lists(events, min_size=10, max_size=40),
        history=steps,
        instants=st.lists(st.integers(0, 60 * 60), min_size=2, max_size=2),
    )
    def check(first: list[RawRow], history: list[Any], instants: list[int]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            replay(Path(directory), shape, first, history, instants, compared)

    check()
    if on_files:
        assert compared["not empty"] >= AT_LEAST / len(SHAPES)


def replay(
    directory: Path,
    shape: str,
    first: list[RawRow],
    history: list[Any],
    instants: list[int],
    compared: dict[str, int],
) -> None:
    source = unique(first, [], shape)
    meta = {"entities": {"u": "k"}, "event_timestamp": "t", "event_key": ["id"]} | SHAPES[shape]
    meta |= {"aggregations": aggregations_of(shape)}

    def built(rows: list[RawRow]) -> harness.View:
        return harness.View("ev", columns_of(shape), rows, meta)

    online = Online(directory / "online", [built(source)])
    known = Known(shape)
    online.materialize()
    known.publish(source, online.now)
    for number, (verb, rows) in enumerate(history, start=1):
        online.now = NOW + number * 11 * MINUTE
        if verb == "source":
            source = unique(rows, known.rows, shape)
            online.change([built(source)])
            continue
        if verb == "push" and "event_key" not in SHAPES[shape]:
            new = unique([row for row in rows if can_come(row)], [*known.rows, *source], shape)
            online.push(new, "ev")
            known.pushed += new
        else:
            online.materialize(incremental=False)
            known.publish(source, online.now)
        asked = [online.now + timedelta(seconds=second) for second in (0, *instants)]
        view = known.view(as_oracle(known.rows))
        trained = iter(offline(directory / f"offline{number}", shape, known.rows, asked))
        for at in asked:
            answer = online.get(["ev:*"], [{"k": key} for key in KEYS], at=at).to_dict()
            for place, key in enumerate(KEYS):
                row = next(trained)
                for name in view.windows:
                    here, there = answer[name][place], row[name]
                    truth = view.aggregate(name, [key], oracle.instant(at))
                    where = f"{name} of {key} at {at}: {here!r}, trained {there!r}, {truth!r}"
                    assert close(name, here, truth, view, key, at), where
                    assert close(name, there, truth, view, key, at), where
                    assert close(name, here, there, view, key, at), where
                    compared["values"] += 1
                    compared["not empty"] += truth not in (None, 0)
