"""Window features online, case by case: what equality over random streams does not name."""

from __future__ import annotations

import gc
import json
import math
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from fstore.errors import EntityRowsError, QueryError, RequestError, UnknownNameError
from fstore.online import event_state
from fstore.online.event_block import EventBlock
from tests.harness import View
from tests.online import NOW, STATS_META, Online

pytestmark = pytest.mark.usefixtures("store_kind")

HOUR = timedelta(hours=1)
NAIVE = NOW.replace(tzinfo=None)
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "c": "TIMESTAMP", "id": "BIGINT"}
COLUMNS |= {"x": "BIGINT", "y": "VARCHAR", "z": "DOUBLE"}
META = STATS_META | {
    "created_timestamp": "c",
    "event_key": ["id"],
    "features": ["x"],
    "aggregations": [
        {"column": "x", "functions": ["count", "sum", "last"], "windows": ["1 hour", "1 day"]},
        {"windows": ["1 day"], "where": "y = 'a' and z > 0.5", "name": "few"},
    ],
}


def event(number: int, hours: float, x: Any, y: str = "a", z: Any = 1.0, k: int = 1) -> Any:
    """An event so many hours before NOW, known a minute later."""
    at = NAIVE - hours * HOUR
    known = at + timedelta(minutes=1)
    return {"k": k, "t": at, "c": known, "id": number, "x": x, "y": y, "z": z}


def stats(rows: list[Any], **changes: Any) -> View:
    return View("stats", COLUMNS, rows, META | changes)


def published(directory: Path, *rows: Any, **changes: Any) -> Online:
    online = Online(directory, [stats(list(rows), **changes)])
    online.materialize()
    return online


def read(
    online: Online, *features: str, at: datetime | None = None, key: int = 1
) -> dict[str, Any]:
    asked = [f"stats:{name}" for name in features or ("*",)]
    answer = online.get(asked, [{"k": key}], at=at).to_dict()
    return {name: cells[0] for name, cells in answer.items() if name != "k"}


@pytest.mark.parametrize("column", ["id", "x"])
def test_what_arrow_cannot_carry_of_an_event(tmp_path: Path, column: str) -> None:
    columns = COLUMNS | {column: "UHUGEINT"}
    meta = META | {"features": ["y"]}
    rows = [event(1, 0.5, 3) | {column: 2**100}]
    online = Online(tmp_path, [View("stats", columns, rows, meta)])
    online.materialize()
    assert read(online, "x_last_1h") == {"x_last_1h": 2**100 if column == "x" else 3}
    rows = [event(1, 0.5, 3) | {column: 2**127}]
    online.change([View("stats", columns, rows, meta)])
    with pytest.raises(QueryError, match=r"stats \(models/stats.sql\) cannot be read"):
        online.materialize()


def test_a_window_empties_as_time_passes(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3), event(2, 20, 4))
    assert read(online, "x_sum_1h", "x_sum_1d") == {"x_sum_1h": 3, "x_sum_1d": 7}
    online.now = NOW + 3 * HOUR
    assert read(online, "x_sum_1h", "x_sum_1d") == {"x_sum_1h": None, "x_sum_1d": 7}
    online.now = NOW + 5 * HOUR
    assert read(online, "x_sum_1d", "x_count_1d") == {"x_sum_1d": 3, "x_count_1d": 1}
    online.now = NOW + 99 * HOUR
    assert read(online, "x_sum_1d", "x_count_1d") == {"x_sum_1d": None, "x_count_1d": 0}


def test_the_event_of_the_asking_instant_is_out_and_the_first_one_in(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 2, 3), event(2, 3, 4))
    assert read(online, "x_sum_1h", at=NOW)["x_sum_1h"] is None
    online = published(tmp_path / "b", event(1, 2, 3))
    at = NOW - 2 * HOUR
    online.now = NOW + HOUR
    online.materialize(at + timedelta(minutes=2), force=True)
    assert read(online, "x_sum_1h", at=at + HOUR) == {"x_sum_1h": 3}
    assert read(online, "x_sum_1h", at=at + HOUR + timedelta(microseconds=1)) == {"x_sum_1h": None}


def test_statuses_and_times(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 5, 3))
    rows = [{"k": key} for key in (1, 9, None)]
    answer = online.get(["stats:x_sum_1h", "stats:x_count_1h"], rows).to_dict(True)
    assert answer["x_sum_1h__status"] == ["NULL_VALUE", "NOT_FOUND", "NOT_FOUND"]
    assert answer["x_count_1h__status"] == ["PRESENT", "PRESENT", "NOT_FOUND"]
    assert answer["x_count_1h"] == [0, 0, None]
    assert answer["x_sum_1h__ts"] == [NOW - 5 * HOUR, None, None]


def test_raw_columns_and_windows_side_by_side_in_any_order(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3), event(2, 0.2, 8))
    found = read(online, "few_count_1d", "x", "x_count_1h")
    assert list(found.items()) == [("few_count_1d", 2), ("x", 8), ("x_count_1h", 2)]


def test_a_push_counts_at_once_once_and_as_its_newest_version(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    online.push([event(2, 0.3, 10), event(2, 0.3, 10)])
    online.push([event(2, 0.3, 10)])
    assert read(online, "x_sum_1h", "x_count_1h") == {"x_sum_1h": 13, "x_count_1h": 2}
    corrected = event(1, 0.5, 100) | {"c": NAIVE - 0.1 * HOUR}
    online.push([corrected])
    assert read(online, "x_sum_1h", "x_last_1h") == {"x_sum_1h": 110, "x_last_1h": 10}
    online.push([event(1, 0.5, 7)])  # an older version comes late
    assert read(online, "x_sum_1h")["x_sum_1h"] == 110


def test_a_push_counts_from_its_arrival_on(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    online.push([event(2, 0.3, 10) | {"c": NAIVE + 0.2 * HOUR}])
    assert read(online, "x_sum_1h")["x_sum_1h"] == 3
    online.now = NOW + 0.2 * HOUR
    assert read(online, "x_sum_1h")["x_sum_1h"] == 13


def test_blocks_that_are_not_needed_any_more_go_at_once(tmp_path: Path) -> None:
    """Python's collector, which cannot tell that a block is large, need not come by."""
    online = published(tmp_path, event(1, 0.5, 3))
    read(online, "x_sum_1h", "x_last_1h")
    gc.collect()
    gc.disable()
    try:
        for number in range(2, 12):
            online.push([event(number, 0.3, 10)])
            read(online, "x_sum_1h", "x_last_1h")
        blocks = sum(isinstance(each, EventBlock) for each in gc.get_objects())
    finally:
        gc.enable()
    assert blocks <= 6


def test_only_so_much_is_kept_of_keys_that_were_pushed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two keys one alone is kept, and both are right."""
    monkeypatch.setattr(event_state, "_KEPT_BYTES", 500)
    online = published(tmp_path, event(1, 0.5, 3), event(2, 0.5, 4, k=2))
    for number in range(3, 9):
        for key in (1, 2):
            online.push([event(10 * number + key, 0.3, 10, k=key)])
            assert read(online, "x_count_1h", key=key) == {"x_count_1h": number - 1}
            assert read(online, "x_count_1h", key=3 - key)["x_count_1h"] == number - (
                2 if key == 1 else 1
            )


def test_a_condition_is_judged_when_a_row_is_pushed(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 3, 3))
    online.push([event(2, 3, 1, "b"), event(3, 3, 1, "a", 0.5), event(4, 3, None, "a", 0.6)])
    assert read(online, "few_count_1d", "x_count_1d") == {"few_count_1d": 2, "x_count_1d": 3}


def test_publishing_takes_over_what_the_source_has_and_keeps_the_rest(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    online.push([event(2, 0.4, 10), event(3, 0.3, 100)])
    online.change([stats([event(1, 0.5, 3), event(2, 0.4, 20) | {"c": NAIVE - 0.2 * HOUR}])])
    online.materialize()
    assert read(online, "x_sum_1h")["x_sum_1h"] == 123
    online.change([stats([event(1, 0.5, 3), event(2, 0.4, 20), event(3, 0.3, 101)])])
    online.materialize()
    assert read(online, "x_sum_1h")["x_sum_1h"] == 124


def test_a_push_that_no_source_has_goes_after_push_retention(tmp_path: Path) -> None:
    online = published(
        tmp_path,
        event(1, 0.5, 3),
        aggregations=[{"column": "x", "functions": ["sum"], "windows": ["30 days"]}],
    )
    online.push([event(2, 0.4, 10)])
    online.now = NOW + 6 * 24 * HOUR
    online.materialize()
    assert read(online)["x_sum_30d"] == 13
    online.now = NOW + 8 * 24 * HOUR
    online.materialize()
    assert read(online)["x_sum_30d"] == 3


def test_a_deleted_key_has_no_events_until_the_source_is_published_again(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    online.push([event(2, 0.4, 10)])
    online.delete(1)
    assert read(online, "x_sum_1h", "x_count_1h") == {"x_sum_1h": None, "x_count_1h": 0}
    online.now = NOW + timedelta(minutes=5)
    online.push([event(3, 0, 5) | {"c": NAIVE + timedelta(minutes=4)}])
    assert read(online, "x_sum_1h")["x_sum_1h"] == 5
    online.materialize()
    assert read(online, "x_sum_1h")["x_sum_1h"] == 8


def test_incremental_keeps_the_events_of_keys_that_the_source_lost(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3), event(2, 0.4, 8, k=2))
    online.change([stats([event(1, 0.5, 4)])])
    online.materialize(incremental=True)
    assert read(online, "x_sum_1h") == {"x_sum_1h": 4}
    assert read(online, "x_sum_1h", key=2) == {"x_sum_1h": 8}
    online.materialize()
    assert read(online, "x_sum_1h", "x_count_1h", key=2) == {"x_sum_1h": None, "x_count_1h": 0}


SUMS = {"column": "x", "functions": ["sum"], "windows": ["1 hour"]}


@pytest.mark.parametrize(
    ("later", "hours", "stays"),
    [
        ({"windows": ["1 hour", "30 minutes"]}, 0.1, True),
        ({"windows": ["2 hours"]}, 0.1, False),  # of which the first was not kept
        ({"windows": ["2 hours"]}, 1, True),
        ({"functions": ["sum", "min"]}, 0.1, False),
        ({"column": "z"}, 0.1, False),
        ({"hop": "30 minutes"}, 0.1, True),  # it begins where the window without one did
        ({"hop": "45 minutes"}, 0.1, False),
    ],
)
def test_incremental_keeps_no_key_of_which_windows_need_more_events(
    tmp_path: Path, later: Any, hours: float, stays: bool
) -> None:
    """What is left of a key that the source lost would be taken for all of it."""
    rows = [event(1, 0.5, 3), *[event(2 + n, 0.4 + n, 8, k=2) for n in range(2)]]
    meta = META | {"features": ["x", "z"], "aggregations": [SUMS]}
    online = Online(tmp_path, [View("stats", COLUMNS, rows, meta)])
    online.materialize()
    changed = meta | {"aggregations": [SUMS | later]}
    online.change([View("stats", COLUMNS, rows[:1], changed)])
    online.now += hours * HOUR
    online.materialize(incremental=True)
    seen = online.get(["stats:x"], [{"k": 2}]).to_dict(include_metadata=True)
    assert seen["x__status"] == ["PRESENT" if stays else "NOT_FOUND"]
    assert online.get(["stats:*"], [{"k": 2}]).to_dict()  # its events can be read


def test_rollback_goes_back_to_the_events_and_keeps_pushes(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    online.push([event(2, 0.4, 10)])
    online.change([stats([event(1, 0.5, 4), event(2, 0.4, 10)])])
    online.materialize()
    online.push([event(3, 0.3, 100)])
    assert read(online, "x_sum_1h")["x_sum_1h"] == 114
    online.rollback()
    assert read(online, "x_sum_1h")["x_sum_1h"] == 113


def test_a_view_without_events_can_be_read_and_pushed_to(tmp_path: Path) -> None:
    online = published(tmp_path)
    assert read(online, "x_sum_1h", "x_count_1h") == {"x_sum_1h": None, "x_count_1h": 0}
    online.push([event(2, 0.4, 10)])
    assert read(online, "x_sum_1h", "x_count_1h") == {"x_sum_1h": 10, "x_count_1h": 1}


def test_a_sum_that_a_bigint_cannot_hold_is_an_error(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 2**62), event(2, 0.4, 2**62))
    with pytest.raises(QueryError) as raised:
        read(online, "x_sum_1h")
    assert str(raised.value) == (
        "stats:x_sum_1h is a sum of x that leaves the 64 bits of BIGINT: cast x to DOUBLE in "
        "models/stats.sql."
    )
    assert read(online, "x_count_1h")["x_count_1h"] == 2


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("hop", [None, "15 minutes"])
def test_an_enum_is_ordered_as_it_is_declared(tmp_path: Path, keyed: bool, hop: str | None) -> None:
    """Low comes before high, as in training, in whatever alphabet."""
    entry = {"column": "y", "functions": ["min", "max"], "windows": ["1 hour", "9 days"]}
    entry |= {"hop": hop} if hop else {}
    meta = META | {"aggregations": [entry]} | ({} if keyed else {"event_key": None})
    columns = COLUMNS | {"y": "ENUM('low', 'mid', 'high')"}
    rows = [event(place, 2 + place, 1, y) for place, y in enumerate(["mid", "low", None, "mid"])]
    rows += [event(99 + each, 200, 1, "high", k=each) for each in range(2, 80)]
    online = Online(tmp_path, [View("stats", columns, rows, meta)])
    online.materialize()
    assert read(online, "y_min_9d", "y_max_9d") == {"y_min_9d": "low", "y_max_9d": "mid"}
    assert read(online, "y_min_1h") == {"y_min_1h": None}
    if not keyed:
        return
    online.push([event(9, 0.5, 1, "high"), event(1, 3, 1, "mid") | {"c": NAIVE - HOUR}])
    assert read(online, "y_min_9d", "y_max_9d") == {"y_min_9d": "mid", "y_max_9d": "high"}
    assert read(online, "y_min_1h") == {"y_min_1h": "high"}
    online.push([event(10, 0.4, 1, None)])
    assert read(online, "y_min_1h", "y_max_1h") == {"y_min_1h": "high", "y_max_1h": "high"}


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("BIGINT", [5 * 10**18]),
        ("BIGINT", [4 * 10**18, -(4 * 10**18)]),
        ("BIGINT", [1_700_000_000_000_000_000 + place for place in range(400)]),
        ("BIGINT", [-(2**63), 2**63 - 1, -(2**63), 2**63 - 1, 7]),
        ("DECIMAL(18,2)", [Decimal("9999999999999999.99")] * 50),
    ],
)
def test_hops_of_numbers_whose_sums_may_not_fit(tmp_path: Path, kind: str, cells: Any) -> None:
    """The values of one hop are then entries by themselves, and all are added up one by one."""
    entry = {"column": "x", "functions": ["sum", "avg", "max", "count"], "windows": ["9 days"]}
    meta = STATS_META | {"aggregations": [entry | {"hop": "1 hour"}], "features": ["y"]}
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": kind, "y": "BIGINT"}
    start = NAIVE - timedelta(days=5)
    small = [[1, start + timedelta(hours=2, minutes=n), 1, 0] for n in range(7)]
    huge = [[1, start + timedelta(seconds=n), cell, 0] for n, cell in enumerate(cells)]
    online = Online(tmp_path, [View("stats", columns, small + huge, meta)])
    online.materialize()
    with localcontext(Context(prec=100)):
        total = sum(cells) + 7
    count = len(cells) + 7
    asked = ["stats:x_avg_9d", "stats:x_max_9d", "stats:x_count_9d"]
    found = online.get(asked, [{"k": 1}]).to_dict()
    assert found["x_avg_9d"] == [pytest.approx(float(total) / count, rel=1e-12)]
    assert (found["x_max_9d"], found["x_count_9d"]) == ([max(*cells, 1)], [count])
    if kind == "BIGINT" and not -(2**63) <= total < 2**63:
        with pytest.raises(QueryError, match="x_sum_9d is a sum of x that leaves the 64 bits"):
            online.get(["stats:x_sum_9d"], [{"k": 1}])
    else:
        assert online.get(["stats:x_sum_9d"], [{"k": 1}]).to_dict()["x_sum_9d"] == [total]


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT"])
@pytest.mark.parametrize(("first", "second"), [(0.0, -0.0), (-0.0, 0.0), (math.nan, -math.nan)])
def test_a_float_that_is_equal_is_the_same_event(
    tmp_path: Path, kind: str, first: float, second: float
) -> None:
    columns = COLUMNS | {"id": kind}
    row = event(1, 0.5, 3) | {"id": str(first)}
    online = Online(tmp_path, [View("stats", columns, [row], META)])
    online.materialize()
    online.push([event(1, 0.5, 10) | {"id": second, "c": NAIVE}])
    assert read(online, "x_sum_1h", "x_count_1h") == {"x_sum_1h": 10, "x_count_1h": 1}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("INTEGER[]", "[NULL, 1]", [None, 1]),
        ("STRUCT(a INTEGER, b VARCHAR)", "{'a': NULL, 'b': x}", {"a": None, "b": "x"}),
        ("ENUM('b', 'a')[]", "[a, NULL]", ["a", None]),
    ],
)
def test_an_event_key_may_hold_others(tmp_path: Path, kind: str, text: str, value: Any) -> None:
    rows = [event(1, 0.5, 3) | {"id": None if place else text} for place in range(3)]
    online = Online(tmp_path, [View("stats", COLUMNS | {"id": kind}, rows, META)])
    online.materialize()
    assert read(online, "x_count_1h") == {"x_count_1h": 2}
    online.push([event(1, 0.5, 10) | {"id": value, "c": NAIVE}])
    assert read(online, "x_sum_1h", "x_count_1h") == {"x_sum_1h": 13, "x_count_1h": 2}


@pytest.mark.parametrize("hop", [None, "1 hour"])
def test_doubles_that_overflow_are_infinite_without_a_warning(
    tmp_path: Path, hop: str | None
) -> None:
    """Warnings are errors in tests."""
    functions = ["sum", "max"] + ([] if hop else ["stddev"])
    entry = {"column": "z", "functions": functions, "windows": ["9 days"]}
    entry |= {"hop": hop} if hop else {}
    changes = {"aggregations": [entry]} | ({"event_key": None} if hop else {})
    rows = [event(place, 2 + place / 100, 1, z=1e308) for place in range(100)]
    rows += [event(100, 3, 1, z=math.inf, k=2), event(101, 3, 1, z=-math.inf, k=2)]
    online = published(tmp_path, *rows, **changes)
    assert read(online, "z_sum_9d", "z_max_9d") == {"z_sum_9d": math.inf, "z_max_9d": 1e308}
    assert math.isnan(read(online, "z_sum_9d", key=2)["z_sum_9d"])
    if not hop:
        assert not math.isfinite(read(online, "z_stddev_9d")["z_stddev_9d"])
        online.push([event(200, 1, 1, z=1e308)])
        assert read(online, "z_sum_9d") == {"z_sum_9d": math.inf}


def decimals(directory: Path, kind: str, *cells: str, **changes: Any) -> Online:
    """Events of one key, an hour apart, with sums of a decimal over any number of them."""
    entry = {"column": "x", "functions": ["sum", "first", "max"], "windows": ["1 hour", "9 days"]}
    rows = [event(place, 0.5 + place, Decimal(cell)) for place, cell in enumerate(cells)]
    meta = META | {"features": ["y"], "aggregations": [entry]} | changes
    online = Online(directory, [View("stats", COLUMNS | {"x": kind}, rows, meta)])
    online.materialize()
    return online


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("DECIMAL(38,18)", ["12345678901.123456789012345678"]),
        ("DECIMAL(38,18)", ["50000000000.000000000000000001"] * 2),
        ("DECIMAL(38,0)", ["12345678901234567890123456789012345678"]),
        ("DECIMAL(18,9)", ["999999999.999999999"] * 20),
        ("DECIMAL(18,18)", ["0.123456789012345678", "-0.100000000000000001"]),
    ],
)
@pytest.mark.parametrize("keyed", [True, False])
def test_a_sum_of_decimals_has_all_its_digits(
    tmp_path: Path, kind: str, cells: list[str], keyed: bool
) -> None:
    """Python's own decimal context has 28, or as few as the caller has set."""
    with localcontext(Context(prec=100)):
        total = sum(map(Decimal, cells))
        more = total + Decimal(cells[0])
    with localcontext(Context(prec=5)):
        online = decimals(tmp_path, kind, *cells, **({} if keyed else {"event_key": None}))
        assert read(online, "x_sum_9d") == {"x_sum_9d": total}
        assert read(online, "x_sum_1h")["x_sum_1h"] == Decimal(cells[0])
        assert read(online, "x_first_9d")["x_first_9d"] == Decimal(cells[-1])
        if keyed:
            online.push([event(0, 0.5, Decimal(cells[0])), event(99, 50, Decimal(cells[0]))])
            assert read(online, "x_sum_9d")["x_sum_9d"] == more


def test_a_sum_of_decimals_that_38_digits_cannot_hold_is_an_error(tmp_path: Path) -> None:
    online = decimals(tmp_path, "DECIMAL(38,2)", "-6e35", "-6e35")
    with pytest.raises(QueryError) as raised:
        read(online, "x_sum_9d")
    assert str(raised.value) == (
        "stats:x_sum_9d is a sum of x that leaves the 38 digits of DECIMAL(38,2): cast x to DOUBLE "
        "in models/stats.sql."
    )
    assert read(online, "x_sum_1h")["x_sum_1h"] == Decimal("-6e35")


def test_a_condition_that_fails_on_a_row_is_named(tmp_path: Path) -> None:
    """The model is right; the where in its yml is not."""
    fine = {"windows": ["1 day"], "where": "z > 0", "name": "fine"}
    entry = {"windows": ["1 day"], "where": "y::int = 1", "name": "few"}
    rows = [event(1, 0.5, 3, "1"), event(2, 0.5, 3, "a")]
    with pytest.raises(QueryError) as raised:
        published(tmp_path, *rows, aggregations=[fine, entry])
    assert str(raised.value) == (
        "The where 'y::int = 1' of stats (models/stats.yml) cannot be computed for each row of "
        "wh.main.stats. DuckDB: Conversion Error: Could not convert string 'a' to INT32 when "
        "casting from source column y. Write one that holds for any row, as with TRY_CAST."
    )


def test_a_push_without_an_event_key_would_count_twice(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3), event_key=None)
    with pytest.raises(RequestError, match="has aggregations and no event_key, so a push that is"):
        online.push([event(2, 0.4, 10)])
    assert read(online, "x_sum_1h")["x_sum_1h"] == 3


def test_a_push_for_which_a_condition_fails_is_refused_whole(tmp_path: Path) -> None:
    entry = {"windows": ["1 day"], "where": "cast(y as integer) > 3", "name": "few"}
    online = published(tmp_path, event(1, 0.5, 3, "7"), aggregations=[entry])
    with pytest.raises(EntityRowsError, match="A where of stats"):
        online.push([event(2, 0.4, 10, "8"), event(3, 0.4, 10, "a")])
    assert read(online) == {"few_count_1d": 1}


@pytest.mark.parametrize("missing", ["id", "z", "x", "t"])
def test_a_push_gives_what_windows_need(tmp_path: Path, missing: str) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    row = {name: cell for name, cell in event(2, 0.4, 10).items() if name != missing}
    with pytest.raises(EntityRowsError, match=f"lack {missing} of stats"):
        online.push([row])


def test_an_unknown_window_is_named_with_the_known_ones(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    with pytest.raises(UnknownNameError, match=r"x_sum_2h is not a feature.*Did you mean x_sum_1h"):
        read(online, "x_sum_2h")


def test_no_keys_and_all_forms_of_the_answer(tmp_path: Path) -> None:
    online = published(tmp_path, event(1, 0.5, 3))
    assert online.get(["stats:x_sum_1h"], []).to_dict() == {"k": [], "x_sum_1h": []}
    answer = online.get(["stats:x_sum_1h", "stats:x_count_1h"], [{"k": 1}, {"k": 2}])
    assert str(answer.to_arrow().schema.field("x_sum_1h").type) == "int64"
    assert answer.to_df()["x_sum_1h"].isna().tolist() == [False, True]


def test_what_windows_count_is_in_no_answer_of_the_view_alone(tmp_path: Path) -> None:
    """The columns that windows look at are kept for them, and are no features."""
    online = published(tmp_path, event(1, 0.5, 3))
    with pytest.raises(UnknownNameError, match="stats:y is not a feature"):
        read(online, "y")
    names = list(online.get(["stats"], [{"k": 1}]).to_dict())
    assert names == [
        "k",
        *(f"x_{f}_{w}" for w in ("1h", "1d") for f in ("count", "sum", "last")),
        "few_count_1d",
    ]
    assert "y" not in json.dumps(names)


@pytest.mark.parametrize("order", [(3.0, 2.0), (2.0, 3.0)])
def test_of_versions_that_arrived_together_the_later_one_counts(
    tmp_path: Path, order: tuple[float, float]
) -> None:
    """As in training: the greatest A, then the greatest E; in whatever order they come."""
    online = published(tmp_path, event(9, 30, 1))
    known = NAIVE - HOUR
    for hours in order:
        online.push([event(1, hours, round(10 * hours)) | {"c": known}])
        online.now += timedelta(seconds=1)
    assert read(online, "x_sum_1d") == {"x_sum_1d": 20}
    rows = [event(1, hours, round(10 * hours)) | {"c": known} for hours in order]
    online.change([stats([event(9, 30, 1), *rows])])
    online.materialize()
    assert read(online, "x_sum_1d") == {"x_sum_1d": 20}
    online.push([event(1, 3, 30) | {"c": known}])
    assert read(online, "x_sum_1d") == {"x_sum_1d": 20}
    online.push([event(1, 1.5, 15) | {"c": known}])
    assert read(online, "x_sum_1d") == {"x_sum_1d": 15}
