"""Random views of events against the oracle: window features equal it, by every plan.

Events are late, repeated, tied, corrected, out of order, without times, keys or values; windows
begin and end on their very instants. Counts, extremes, firsts and lasts are exact. A sum of floats
is within 1e-9 of the sum of absolute values in its window, and a variance within 1e-9 of that of
squares, also where a huge value is in a longer window. FSTORE_EXAMPLES as in test_properties.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fstore
from fstore.compile import window_tiles
from fstore.compile.plans import WindowPlan
from tests import cases, harness, oracle
from tests.test_properties import (
    ASKED,
    CLOCKS,
    ENTITIES,
    KEY_TYPES,
    KEY_VALUES,
    Spine,
    clock,
    key_cell,
    retrieved,
    same,
    shaped,
    spines,
)

PLANS = [None, *WindowPlan]
EXAMPLES = (ASKED or 160) // len(PLANS)
COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "x y": ("BIGINT", [0, 1, 2, -5, 2**40]),
    "größe": ("DOUBLE", [0.5, -0.25, 3.0, 1e15, 1e-3]),
    "edge": ("DOUBLE", [math.inf, -math.inf, math.nan, 1.0]),
    "order": ("BOOLEAN", [True, False]),
    'say "hi"': ("DECIMAL(6,2)", [Decimal("1.25"), Decimal("-0.01")]),
    "word": ("VARCHAR", ["", "a", "Z", "é"]),
}
OF_ALL = ["count", "min", "max", "approx_count_distinct", "last", "first"]
OF_NUMBERS = [*OF_ALL, "sum", "avg", "stddev"]
FUNCTIONS = {"order": [*OF_ALL, "sum"], "word": OF_ALL}
WINDOWS = ["1 second", "30 minutes", "1 hour", "2 hours", "2 hours", "1 day", "5000 weeks"]
HOPS = {"1 hour": ["30 minutes", "1 hour"], "2 hours": ["1 hour"], "1 day": ["7 hours"]}


def is_over(limit: float) -> Callable[[oracle.Row], bool | None]:
    return lambda row: None if row["x y"] is None else row["x y"] > limit


WHERES: dict[str, Callable[[oracle.Row], bool | None]] = {
    '"x y" > 0': is_over(0),
    "\"X Y\" IS NULL OR word = 'a'": lambda row: row["x y"] is None or row["word"] == "a",
}


@st.composite
def event_views(draw: st.DrawFn) -> tuple[harness.View, oracle.View]:
    """A view of events, for the project on disk and for the oracle alike."""
    entities = draw(st.sampled_from([["user"], ["user"], ["shop"], ["route"], []]))
    keys = [key for name in entities for key in ENTITIES[name]]
    cells = {key: key_cell(KEY_VALUES[key]) for key in keys}
    columns = {key: KEY_TYPES[key] for key in keys}
    meta: dict[str, Any] = {"entities": {name: ENTITIES[name] for name in entities}}
    columns["happened at"] = draw(CLOCKS)
    cells["happened at"] = clock(columns["happened at"])
    meta["event_timestamp"] = "happened at"
    if draw(st.booleans()):
        meta["created_timestamp"] = "loaded"
        columns["loaded"] = draw(CLOCKS)
        cells["loaded"] = clock(columns["loaded"])
        if draw(st.booleans()):
            meta["backfilled_until"] = draw(clock("TIMESTAMPTZ", null=False, infinite=False))
    if ("created_timestamp" not in meta or "backfilled_until" in meta) and draw(st.booleans()):
        meta["delay"] = draw(st.sampled_from(["1 hour", "2 hours", "1 second"]))
    if draw(st.integers(0, 3)) == 0:
        meta["known_at"] = False
    if draw(st.booleans()):
        meta["event_key"] = draw(st.sampled_from([["id"], ["id", "part"]]))
        for name in meta["event_key"]:
            columns[name] = "BIGINT"
            cells[name] = st.sampled_from([None, 1, 2])
    for name, (kind, values) in COLUMNS.items():
        columns[name] = kind
        cells[name] = st.sampled_from([None, *values])
    columns = {name: columns[name] for name in draw(st.permutations(list(columns)))}
    rows = draw(st.lists(st.fixed_dictionaries(cells), min_size=8, max_size=22))
    meta["aggregations"], windows = draw(aggregations())

    naive = oracle.View(
        columns=list(columns),
        keys=keys,
        event_timestamp="happened at",
        rows=rows,
        created_timestamp=meta.get("created_timestamp"),
        known_at=meta.get("known_at", True),
        delay=cases.duration(meta.get("delay")),
        backfilled_until=meta.get("backfilled_until"),
        event_key=meta.get("event_key", ()),
        windows=windows,
    )
    return harness.View("clicks", columns, rows, meta), naive


@st.composite
def aggregations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, oracle.Window]]:
    """Some entries of ``aggregations``, and the features that they are."""
    entries: list[dict[str, Any]] = []
    features: dict[str, oracle.Window] = {}
    for place in range(draw(st.integers(1, 3))):
        column = draw(st.sampled_from([None, *COLUMNS]))
        known = ["count"] if column is None else FUNCTIONS.get(column, OF_NUMBERS)
        functions = draw(st.lists(st.sampled_from(known), min_size=1, max_size=5, unique=True))
        windows = draw(st.lists(st.sampled_from(WINDOWS), min_size=1, max_size=3, unique=True))
        where = draw(st.sampled_from([None, None, *WHERES]))
        hop = draw(st.sampled_from([None, None, *HOPS.get(windows[0], [])]))
        windows = windows if hop is None else windows[:1]
        entry = {"column": column, "functions": functions, "windows": windows, "where": where}
        entry |= {"hop": hop, "name": f"n {place}"}
        entries.append({key: value for key, value in entry.items() if value is not None})
        for window in windows:
            for function in functions:
                count, unit = window.split()
                features[f"n {place}_{function}_{count}{unit[0]}"] = oracle.Window(
                    function,
                    column,
                    cases.duration(window),
                    None if where is None else WHERES[where],
                    cases.duration(hop),
                )
    return entries, features


@pytest.mark.parametrize("plan", PLANS)
def test_windows_equal_the_oracle(plan: WindowPlan | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_tiles, "HOT_ROWS", 3)  # so that mixed has keys of both kinds
    monkeypatch.setattr(window_tiles, "HOT_SPINE_ROWS", 2)
    count = {"values": 0, "not empty": 0}

    @shaped(EXAMPLES, PLANS.index(plan))
    @given(event_views(), spines())
    def check(view: tuple[harness.View, oracle.View], spine: Spine) -> None:
        built, naive = view
        service = harness.Service("all", [built.name])
        with tempfile.TemporaryDirectory() as folder:
            project = harness.make_project(Path(folder) / "project", [built], [service])
            answer = retrieved(project, spine, "all", plan, False, False)
        assert answer.num_rows == len(spine.rows)
        assert answer.column_names == [*spine.columns, *naive.windows]
        for name in naive.windows:
            for row, got in zip(spine.rows, answer[name].to_pylist(), strict=True):
                key, q = [row[it] for it in naive.keys], oracle.instant(row[spine.time])
                wanted = naive.aggregate(name, key, q)
                assert close(naive, name, key, q, got, wanted), (name, key, q, got, wanted)
                count["values"] += 1
                count["not empty"] += wanted not in (0, None)

    check()
    assert ASKED or count["not empty"] >= count["values"] / 25


def close(view: oracle.View, name: str, key: list[Any], q: Any, got: Any, wanted: Any) -> bool:
    """Whether a value is the wanted one; floats that were added up, but for their rounding."""
    window = view.windows[name]
    if window.function not in ("sum", "avg", "stddev") or not isinstance(wanted, float):
        return same(got, wanted)
    if not (isinstance(got, float) and math.isfinite(wanted) and math.isfinite(got)):
        return same(got, wanted)
    cells = [row[window.column] for row in view.in_window(window, key, q)]
    sizes = [abs(float(value)) for value in cells if value is not None]
    if window.function == "stddev":
        squares = math.fsum(size * size for size in sizes) / (len(sizes) - 1)
        return abs(got**2 - wanted**2) <= 1e-9 * squares
    whole = math.fsum(sizes) / (len(sizes) if window.function == "avg" else 1)
    return abs(got - wanted) <= 1e-9 * whole


def test_a_sum_that_leaves_its_type_says_which(tmp_path: Path) -> None:
    columns = {"uid": "BIGINT", "t": "TIMESTAMP", "n": "BIGINT"}
    rows = [(1, "2024-01-01 00:00:00", 2**62), (1, "2024-01-01 00:00:01", 2**62)]
    entry = {"column": "n", "functions": ["sum"], "windows": ["1 second", "1 day"]}
    meta = {"entities": {"user": "uid"}, "event_timestamp": "t", "aggregations": [entry]}
    project = harness.make_project(tmp_path / "p", [harness.View("v", columns, rows, meta)])
    store = fstore.FeatureStore(project)
    asked = {"uid": "BIGINT", "event_timestamp": "TIMESTAMP"}
    spine = harness.typed_table(asked, [(1, "2024-01-01 00:00:02")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = store.get_historical_features(spine, ["v:n_sum_1s"]).to_arrow()
        assert fits["n_sum_1s"].to_pylist() == [2**62]
        with pytest.raises(fstore.QueryError) as caught:
            store.get_historical_features(spine, ["v:n_sum_1d"]).to_arrow()
    for word in ("v:n_sum_1d", "sum of n", "BIGINT", "models/v.sql"):
        assert word in str(caught.value)
