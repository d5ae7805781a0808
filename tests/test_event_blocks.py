"""Blocks of events: what windows read from levels, heaps and single values equals a look at each.

The values are those that equality over whole stores meets too rarely: runs longer than a level,
sums beyond 64 bits, numbers that no array holds, NaN and infinities, text.
"""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fstore
from fstore.definitions import Column, Duration, Entity, FeatureView, Relation, WindowFeature
from fstore.errors import OnlineStoreError, QueryError, RequestError
from fstore.online.event_block import EventBlock, NotABlockError, packed, packed_apart
from fstore.online.event_ids import event_ids
from fstore.online.event_layout import CHUNK, FAN, LEVELS, EventLayout
from fstore.online.event_rows import events_of
from fstore.online.event_values import kind_of
from fstore.online.values import arrow_types
from fstore.online.windows import WindowPlan
from tests.harness import View, make_project
from tests.online import NOW, STATS_META, Online

FUNCTIONS = ("count", "sum", "avg", "min", "max", "stddev", "last", "first")
MEMBERS = ["low", "", "high", "Ärger", "a'b"]  # in an order that is not that of the texts
ENUM = "ENUM('low', '', 'high', 'Ärger', 'a''b')"
VALUES: dict[str, list[Any]] = {
    "BIGINT": [None, 0, 5, -7, 2**40],
    "INTEGER": [None, 1, -(2**31), 2**31 - 1],
    "HUGEINT": [None, 2**100, -(2**100), 3],
    "UBIGINT": [None, 2**64 - 1, 0, 9],
    "DOUBLE": [None, 0.5, -0.0, 1e15, -1e-3],
    "DECIMAL(9,2)": [None, Decimal("1.25"), Decimal("-999.99")],
    "DECIMAL(18,4)": [None, Decimal("12345678901234.5678"), Decimal("-0.0001")],
    "DECIMAL(38,3)": [None, Decimal("1e30"), Decimal("-0.125")],
    "BOOLEAN": [None, True, False],
    "VARCHAR": [None, "", "a", "Z", "é"],
    ENUM: [None, *MEMBERS],
    "DATE": [None, NOW.date()],
    "TIMESTAMP": [None, NOW.replace(tzinfo=None)],
}
NUMBERS = ("INT", "DOUBLE", "DECIMAL")


def view_of(kind: str, *, where: bool) -> FeatureView:
    features = tuple(
        WindowFeature(f"x_{name}", name, "x", Duration(10, "second"), "y" if where else None)
        for name in FUNCTIONS
        if name not in ("sum", "avg", "stddev") or any(each in kind for each in NUMBERS)
    )
    relation = Relation("wh", "main", "v")
    entity = (Entity("u", ("k",)),)
    return FeatureView("v", relation, "v.sql", entity, "t", event_key=("id",), windows=features)


def columns_of(kind: str) -> tuple[Column, ...]:
    names = {"k": "BIGINT", "t": "TIMESTAMP", "id": "BIGINT", "x": kind, "y": "BOOLEAN"}
    return tuple(Column(name, each) for name, each in names.items())


def block_of(view: FeatureView, kind: str, cells: list[Any], met: list[bool]) -> tuple[Any, Any]:
    """Events a tenth of a second apart, as a block and as what was packed."""
    layout = EventLayout.of(view, columns_of(kind))
    count = len(cells)
    given_cells = {"x": pa.array(cells, arrow_types((kind,))[0]), "id": pa.array(range(count))}
    given_cells |= {flag.name: pa.array(met) for flag in layout.flags}
    times = np.arange(count, dtype=np.int64) * 100_000
    events = events_of(layout, given_cells, times, times)
    return EventBlock(packed(layout, events), layout), events


def exact_sum(cells: list[Any]) -> Any:
    with localcontext(Context(prec=80)):
        return sum(cells)


def expected(function: str, kind: str, run: list[Any]) -> Any:
    there = [cell for cell in run if cell is not None]
    if function == "count":
        return len(there)
    if function in ("first", "last"):
        return (run[0] if function == "first" else run[-1]) if run else None
    if not there:
        return None
    if function in ("min", "max"):
        order = MEMBERS.index if kind == ENUM else None
        return min(there, key=order) if function == "min" else max(there, key=order)
    if function == "sum":
        return math.fsum(there) if kind == "DOUBLE" else exact_sum(there)
    total = float(exact_sum(there)) if kind != "DOUBLE" else math.fsum(there)
    mean = total / len(there)
    if function == "avg":
        return mean
    if len(there) < 2:
        return None
    return math.sqrt(math.fsum((float(x) - mean) ** 2 for x in there) / (len(there) - 1))


def is_close(found: Any, wanted: Any, run: list[Any]) -> bool:
    if isinstance(found, float) and isinstance(wanted, float):
        size = math.fsum(abs(float(cell)) for cell in run if cell is not None)
        return abs(found - wanted) <= 1e-9 * size
    return type(found) is type(wanted) and found == wanted


@pytest.mark.parametrize("where", [False, True])
@pytest.mark.parametrize("kind", VALUES)
def test_a_window_is_what_a_look_at_each_event_gives(kind: str, where: bool) -> None:
    view = view_of(kind, where=where)
    names = [feature.name for feature in view.windows]

    @settings(max_examples=15, deadline=None, derandomize=True, database=None)
    @given(
        cells=st.lists(st.sampled_from(VALUES[kind]), min_size=1, max_size=40),
        times=st.sampled_from([1, 1, 7, 60]),
        at=st.integers(0, 2500),
        period=st.integers(1, 5),
    )
    def check(cells: list[Any], times: int, at: int, period: int) -> None:
        cells = cells * times
        met = [place % period == 0 for place in range(len(cells))]
        block, _ = block_of(view, kind, cells, met)
        instant = at * 100_000
        found = WindowPlan(view, columns_of(kind), names).bound(block)
        first, end = max(0, at - 100), max(0, min(at, len(cells)))
        run = [cells[place] for place in range(first, end) if met[place] or not where]
        total = sum(each for each in run if each is not None) if "INT" in kind else 0
        if not -(2**63) <= total < 2**63:
            with pytest.raises(QueryError, match="v:x_sum is a sum of x that leaves the 64 bits"):
                found(0, len(cells), instant)
            return
        for name, cell in zip(names, found(0, len(cells), instant), strict=True):
            wanted = expected(name.removeprefix("x_"), kind, run)
            assert is_close(cell, wanted, run), (name, cell, wanted)

    check()


def test_sums_beyond_64_bits_of_part_of_a_window_are_exact() -> None:
    """Half of the window overflows, all of it does not."""
    view = view_of("BIGINT", where=False)
    cells = [2**62] * 40 + [-(2**62)] * 40
    block, _ = block_of(view, "BIGINT", cells, [True] * 80)
    (total,) = WindowPlan(view, columns_of("BIGINT"), ["x_sum"]).bound(block)(0, 80, 8_000_000)
    assert total == 0


def test_nan_is_the_greatest_and_infinities_add_up() -> None:
    view = view_of("DOUBLE", where=False)
    names = ["x_min", "x_max", "x_sum"]

    def read(cells: list[Any]) -> tuple[Any, ...]:
        block, _ = block_of(view, "DOUBLE", cells, [True] * len(cells))
        return WindowPlan(view, columns_of("DOUBLE"), names).bound(block)(0, len(cells), 10**6)

    least, greatest, total = read([1.0, math.nan, -math.inf])
    assert least == -math.inf
    assert math.isnan(greatest) and math.isnan(total)
    assert read([2.0, math.inf])[1:] == (math.inf, math.inf)
    assert math.isnan(read([math.nan])[0])


@pytest.mark.parametrize("kind", VALUES)
def test_blocks_made_together_are_those_made_one_by_one(kind: str) -> None:
    view = view_of(kind, where=True)
    cells = [VALUES[kind][place % len(VALUES[kind])] for place in range(150)]
    block, events = block_of(view, kind, cells, [place % 3 == 0 for place in range(150)])
    firsts = [0, 1, 20, 52, 90]
    together = list(packed_apart(block.layout, events, firsts))
    for first, end, content in zip(firsts, [*firsts[1:], 150], together, strict=True):
        assert content == packed(block.layout, block.part(first, end))


def test_ids_tell_events_apart_and_null_is_one() -> None:
    kinds = [kind_of("BIGINT"), kind_of("VARCHAR")]
    numbers, texts = np.array([1, 1, 0, 0]), [b"a", b"b", b"", b""]
    nulls = [np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])]
    found = event_ids(kinds, [numbers, texts], nulls).tolist()
    assert len(set(found)) == 4
    assert found == event_ids(kinds, [numbers, texts], nulls).tolist()
    alone = event_ids(kinds[:1], [numbers], nulls[:1]).tolist()
    assert alone[0] == alone[1] == 1
    assert alone[2] == alone[3] != 0


def test_what_is_no_block_is_not_read() -> None:
    view = view_of("BIGINT", where=False)
    block, _ = block_of(view, "BIGINT", [1, 2], [True, True])
    other = EventLayout.of(view_of("BIGINT", where=True), columns_of("BIGINT"))
    for content, layout in (
        (b"", block.layout),
        (block.content[:-1], block.layout),
        (b"x" + block.content[1:], block.layout),
        (block.content, other),
    ):
        with pytest.raises(NotABlockError):
            EventBlock(content, layout)


META = STATS_META | {
    "event_key": ["id"],
    "aggregations": [{"column": "x", "functions": ["sum", "max"], "windows": ["1 day"]}],
}
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "id": "BIGINT", "x": "BIGINT"}
ROWS = [(1, "2024-01-09 12:00:00", 1, 5), (1, "2024-01-09 13:00:00", 2, 7)]


def read(online: Online) -> Any:
    return online.get(["stats:*"], [{"k": 1}]).to_dict()


@pytest.mark.parametrize("damage", ["removed", "cut", "emptied", "of another format"])
def test_a_block_that_is_not_there_is_made_from_the_rows(tmp_path: Path, damage: str) -> None:
    online = Online(tmp_path, [View("stats", COLUMNS, ROWS, META)])
    online.materialize()
    for path in (online.folder / "stats.1.events", online.folder / "stats.1.keys"):
        if damage == "removed":
            path.unlink()
        elif damage in ("cut", "emptied"):
            path.write_bytes(path.read_bytes()[:-8] if damage == "cut" else b"")
        else:
            path.write_bytes(b"x" * 200)
    assert read(online) == {"k": [1], "x_sum_1d": [12], "x_max_1d": [7]}


def test_a_block_that_is_not_there_and_no_rows_either(tmp_path: Path) -> None:
    online = Online(tmp_path, [View("stats", COLUMNS, ROWS, META)])
    online.materialize()
    for path in online.folder.glob("stats.1.*"):
        path.unlink()
    with pytest.raises(OnlineStoreError, match="copy it again"):
        read(online)


HOPS = STATS_META | {
    "aggregations": [
        {"column": "x", "functions": ["sum", "max"], "windows": ["1 day"], "hop": "1 hour"}
    ]
}


def test_events_of_a_hop_that_is_over_are_one_entry(tmp_path: Path) -> None:
    """400 events of one hour, and 3 of the hour that K is in."""
    early = [(1, f"2024-01-09 12:{n % 60:02}:{n // 60:02}", n, n % 50) for n in range(400)]
    late = [(1, f"2024-01-10 00:0{n}:00", 400 + n, 1000) for n in range(1, 4)]
    online = Online(tmp_path, [View("stats", COLUMNS, early + late, HOPS)])
    online.now = NOW.replace(minute=30)
    online.materialize()
    state = online.get(["stats:*"], [{"k": 1}])
    assert state.to_dict() == {"k": [1], "x_sum_1d": [9800 + 3000], "x_max_1d": [1000]}
    assert (online.folder / "stats.1.events").stat().st_size < 1000
    at = NOW.replace(minute=2)
    with pytest.raises(RequestError, match="is before"):
        online.get(["stats:*"], [{"k": 1}], at=at)
    online.now = NOW.replace(hour=12, minute=59)
    assert read(online) == {"k": [1], "x_sum_1d": [9800 + 3000], "x_max_1d": [1000]}
    online.now = NOW.replace(hour=13)
    assert read(online) == {"k": [1], "x_sum_1d": [3000], "x_max_1d": [1000]}


def test_tiles_whose_sum_is_beyond_64_bits(tmp_path: Path) -> None:
    """Each hop fits, and half of all hops together do not."""
    start = NOW.replace(tzinfo=None) - timedelta(hours=23)
    rows = [
        [1, start + timedelta(minutes=15 * place), place, 10**18 * (1 if place < 48 else -1)]
        for place in range(92)
    ]
    online = Online(tmp_path, [View("stats", COLUMNS, rows, HOPS)])
    online.materialize()
    assert (online.folder / "stats.1.events").stat().st_size < 1200
    assert read(online) == {"k": [1], "x_sum_1d": [4 * 10**18], "x_max_1d": [10**18]}
    online.now = NOW + timedelta(hours=12)
    with pytest.raises(QueryError, match="stats:x_sum_1d is a sum of x that leaves the 64 bits"):
        read(online)


def test_more_events_than_are_written_at_once(tmp_path: Path) -> None:
    """Levels of chunks join, the highest too, across one key's events."""
    project = make_project(tmp_path, [View("stats", COLUMNS, [], META)])
    count = FAN ** (LEVELS - 1) + 100_000
    with duckdb.connect(str(project / "wh.duckdb")) as connection:
        connection.execute(
            "INSERT INTO stats SELECT i % 3, TIMESTAMP '2024-01-09' + to_microseconds(i * 1000), "
            f"i, i % 1000 FROM range({count}) AS r(i)"
        )
        start = "TIMESTAMP '2024-01-09 00:15:00'"
        truth = connection.execute(
            f"SELECT sum(x)::BIGINT, max(x) FROM stats WHERE t < {start} GROUP BY k ORDER BY k"
        ).fetchall()
    at = NOW.replace(day=9, minute=15)
    assert count > 2 * CHUNK
    with fstore.FeatureStore(project, clock=lambda: at) as store:
        store.materialize()
        found = store.get_online_features(["stats:*"], [{"k": key} for key in range(3)]).to_dict()
    assert list(zip(found["x_sum_1d"], found["x_max_1d"], strict=True)) == truth
