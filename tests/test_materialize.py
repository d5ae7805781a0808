"""What a generation holds: the rows known at K, full and incremental, all or nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from fstore import FeatureStore
from fstore.errors import (
    LockTimeoutError,
    MissingColumnError,
    NotBuiltError,
    OnlineStoreError,
    QueryError,
    RequestError,
    UnknownNameError,
    WrongTypeError,
)
from fstore.online.lock import locked
from tests.harness import View
from tests.online import DAY, NOW, STATS_COLUMNS, STATS_META, Online, stats

pytestmark = pytest.mark.usefixtures("store_kind")

PLAIN = [[1, "2024-01-01", 10, "a"], [1, "2024-01-02", 11, "b"], [2, "2024-01-01", 20, None]]


def test_the_latest_row_of_each_key(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    done = online.materialize()
    assert [(each.view, each.rows, each.keys) for each in done.views] == [("stats", 2, 2)]
    assert (done.generation, done.as_of, done.failed) == (1, NOW, {})
    assert online.x(1, 2) == [11, 20]


def test_rows_that_were_not_known_at_k_are_left_out(tmp_path: Path) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "c": "TIMESTAMP", "x": "INTEGER", "y": "VARCHAR"}
    rows = [
        [1, "2024-01-01", "2024-01-01", 1, ""],
        [1, "2024-01-05", "2024-01-10", 2, ""],
        [1, "2024-01-06", "2024-01-10 00:00:00.000001", 3, ""],
        [1, "2024-01-06", None, 4, ""],
    ]
    view = View("stats", columns, rows, meta=STATS_META | {"created_timestamp": "c"})
    online = Online(tmp_path, [view])
    online.materialize()
    assert online.x(1) == [2]
    online.change([View("stats", columns, rows, meta=dict(view.meta or {}) | {"known_at": False})])
    online.materialize()
    assert online.x(1) == [3]  # the clock rules no row out; of equal E, a NULL A is lowest


def test_known_rows_of_the_future_wait_for_their_time(tmp_path: Path) -> None:
    rows = [[1, "2024-01-09", 1, ""], [1, "2024-01-11", 2, ""], [1, "2024-01-12", 3, ""]]
    columns = STATS_COLUMNS | {"c": "TIMESTAMP"}
    early = [[*row, "2024-01-01"] for row in rows] + [[1, "2024-01-12", 4, "", "2024-01-02"]]
    view = View("stats", columns, early, meta=STATS_META | {"created_timestamp": "c"})
    online = Online(tmp_path, [view])
    done = online.materialize()
    assert (done.views[0].rows, done.views[0].keys) == (3, 1)  # one row for each later E
    assert online.x(1) == [1]
    assert [online.x(1, at=NOW + days * DAY) for days in (1, 2)] == [[2], [4]]
    assert online.x(1, at=NOW + DAY - timedelta(microseconds=1)) == [1]


def test_ttl_is_not_applied_at_the_publish(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN, ttl="1 day")])
    assert online.materialize().views[0].keys == 2
    assert online.statuses(1) == ["OUTSIDE_MAX_AGE"]


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT"])
def test_a_nan_is_no_key(tmp_path: Path, kind: str) -> None:
    columns = {"k": kind, "t": "TIMESTAMP", "x": "INTEGER", "y": "VARCHAR"}
    rows = [
        [key, "2024-01-01", place, "a"] for place, key in enumerate(["inf", "nan", "1.5", "-inf"])
    ]
    events = STATS_META | {
        "event_key": ["x"],
        "aggregations": [{"windows": ["30 days"], "name": "seen"}],
    }
    views = [
        View("stats", columns, rows, meta=STATS_META),
        View("events", columns, rows, meta=events),
    ]
    online = Online(tmp_path, views)
    assert [each.keys for each in online.materialize().views] == [3, 3]
    keys = [math.inf, math.nan, 1.5, None]
    found = [0, None, 2, None]
    seen = [1, None, 1, None]
    assert online.x(*keys) == found
    assert (
        online.get(["events:seen_count_30d"], [{"k": key} for key in keys]).to_dict()[
            "seen_count_30d"
        ]
        == seen
    )
    store = FeatureStore(tmp_path)
    features = ["stats:x", "events:seen_count_30d"]
    times = [datetime(2024, 1, 2)] * len(keys)
    table = pa.table({"k": pa.array(keys, from_pandas=False), "event_timestamp": times})
    spines = [
        table,
        "select unnest(['inf', 'nan', '1.5', null])::double as k, timestamp '2024-01-02' as t",
    ]
    for spine in spines:
        for plan in (None, "bounded", "pairs", "asof"):
            answer = store.get_historical_features(spine, features, plan=plan).to_arrow()
            assert answer["x"].to_pylist() == found
            assert answer["seen_count_30d"].to_pylist() == seen
    every = store.get_historical_features(
        features=["stats:x"], start=datetime(2024, 1, 1), end=datetime(2024, 1, 3)
    )
    assert every.to_arrow()["x"].to_pylist() == [3, 2, 0]


def of_uhugeint(value: str, kind: str = "UHUGEINT", key: str = "1::BIGINT") -> View:
    select = f"select {key} as k, timestamp '2024-01-01' as t, {value}::{kind} as x"
    return View("stats", {}, meta=STATS_META, select=select)


TOO_HUGE = (2**127, 2**128 - 1)


@pytest.mark.parametrize("value", TOO_HUGE)
@pytest.mark.parametrize(("kind", "text"), [("UHUGEINT", "{}"), ("UHUGEINT[]", "[{}]")])
def test_what_arrow_cannot_carry_is_never_another_number(
    tmp_path: Path, value: int, kind: str, text: str
) -> None:
    online = Online(tmp_path, [of_uhugeint(text.format(f"'{value}'::UHUGEINT"), kind)])
    with pytest.raises(QueryError, match=rf"stats \(models/stats.sql\) cannot .*{value}"):
        online.materialize()
    online.change([of_uhugeint("1", key=f"'{value}'::UHUGEINT")])
    with pytest.raises(QueryError, match=rf"stats \(models/stats.sql\) cannot .*{value}"):
        online.materialize()


def test_a_uhugeint_that_arrow_can_carry(tmp_path: Path) -> None:
    online = Online(tmp_path, [of_uhugeint("'100000000000000000000'")])
    online.materialize()
    assert online.x(1) == [10**20]


def test_an_empty_table_gives_no_rows(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats([])])
    assert online.materialize().views[0].rows == 0
    assert online.statuses(1) == ["NOT_FOUND"]


def test_full_drops_the_keys_that_the_source_lost_and_incremental_keeps_them(
    tmp_path: Path,
) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    online.materialize()
    online.change([stats([[2, "2024-01-03", 21, None], [3, "2024-01-01", 30, None]])])
    done = online.materialize(incremental=True)
    assert (done.views[0].rows, done.views[0].keys) == (3, 3)
    assert online.x(1, 2, 3) == [11, 21, 30]
    online.materialize()
    assert online.x(1, 2, 3) == [None, 21, 30]


def test_incremental_takes_late_rows_and_corrections(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    online.materialize()
    online.change([stats([[1, "2024-01-01", 12, "late"], [2, "2024-01-01", 22, None]])])
    online.materialize(incremental=True)
    assert online.x(1, 2) == [12, 22]


def test_a_changed_feature_list_makes_an_incremental_full(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    online.materialize()
    online.change([stats([[2, "2024-01-03", 21, None]], features=["x"])])
    assert online.materialize(incremental=True).views[0].keys == 1
    assert online.x(1, 2) == [None, 21]


def test_a_view_without_entities_is_incremental_too(tmp_path: Path) -> None:
    def view(rows: list[list[object]]) -> View:
        meta = {"entities": {}, "event_timestamp": "t"}
        return View("world", {"t": "TIMESTAMP", "x": "INTEGER"}, rows, meta=meta)

    online = Online(tmp_path, [view([["2024-01-01", 1], ["2024-01-02", 2]])])
    assert online.materialize().views[0].keys == 1
    online.change([view([])])
    assert online.materialize(incremental=True).views[0].rows == 1
    assert online.get(["world:x"], [{}]).to_dict() == {"x": [2]}
    assert online.materialize().views[0].keys == 0


@pytest.mark.files
def test_every_type_arrives_as_it_is(tmp_path: Path) -> None:
    columns = {
        "k": "UUID",
        "t": "TIMESTAMPTZ",
        "huge": "HUGEINT",
        "fine": "TIMESTAMP_NS",
        "tree": 'STRUCT(a INTEGER, "b c" HUGEINT[])',
        "kind": "ENUM('a', 'b')",
        "price": "DECIMAL(38,4)",
        "map": "MAP(VARCHAR, INTEGER)",
        "bits": "BIT",
        "pair": "INTEGER[2]",
        "json": "JSON",
        "kinds": "ENUM('a', 'b')[]",
        "kinds_by": "MAP(ENUM('a', 'b'), STRUCT(x ENUM('c')))",
    }
    key = "4ac7a9e9-607c-4c8a-84f3-843f0191e3fd"
    big = "170141183460469231731687303715884105727"
    row = [key, "2024-01-01 02:00:00+02", big, "2024-01-01 00:00:00.123456789"]
    row += ["{'a': 1, 'b c': [2, NULL]}", "b", "1.25", "{x=1}", "0101", "[1, NULL]", '{"a": 1}']
    row += ["[b, NULL, a]", "{a={'x': c}}"]
    meta = {"entities": {"thing": "k"}, "event_timestamp": "t"}
    online = Online(tmp_path, [View("stats", columns, [row], meta=meta)])
    online.materialize()
    import duckdb

    with (
        duckdb.connect(str(tmp_path / "wh.duckdb"), read_only=True) as source,
        duckdb.connect(str(online.folder / "stats.1.duckdb"), read_only=True) as target,
    ):
        names = ", ".join(f'"{name}"' for name in columns if name != "t")
        before = source.execute(f"DESCRIBE SELECT {names} FROM stats").fetchall()
        assert target.execute(f"DESCRIBE SELECT {names} FROM latest").fetchall() == before
        wanted = source.execute(f"SELECT {names} FROM stats").fetchall()
        assert target.execute(f"SELECT {names} FROM latest").fetchall() == wanted
    assert online.get(["stats:kind"], [{"k": key.upper()}]).to_dict()["kind"] == ["b"]
    nested = online.get(["stats:kinds", "stats:kinds_by"], [{"k": key}])
    assert nested.to_dict()["kinds"] == [["b", None, "a"]]
    assert nested.to_arrow().to_pylist()[0]["kinds_by"] == [("a", {"x": "c"})]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ENUM('a', 'b')[2]", "['a', 'b']"),
        ("STRUCT(x ENUM('a')[1], y INTEGER)", "{'x': ['a'], 'y': 1}"),
        ("UNION(n INTEGER, e ENUM('a')[])", "union_value(n := 1)"),
    ],
)
def test_an_enum_where_it_cannot_be_kept_is_refused(tmp_path: Path, kind: str, value: str) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": kind}
    select = f"SELECT 1::BIGINT AS k, TIMESTAMP '2024-01-01' AS t, ({value})::{kind} AS x"
    meta = {"entities": {"thing": "k"}, "event_timestamp": "t"}
    online = Online(tmp_path, [View("stats", columns, select=select, meta=meta)])
    with pytest.raises(WrongTypeError) as raised:
        online.materialize()
    assert str(raised.value) == (
        f"stats (models/stats.sql): column x is {kind}, which cannot be kept online: cast the ENUM "
        "within it to VARCHAR in the model."
    )


def test_as_of_is_the_k_of_the_views(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    done = online.materialize(as_of="2024-01-01T12:00:00")
    assert done.as_of == datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert online.x(1, at=done.as_of) == [10]
    assert online.status().views[0].age == NOW - done.as_of


def test_published_at_is_the_instant_of_the_materialize(tmp_path: Path) -> None:
    other = View("other", STATS_COLUMNS, PLAIN, meta=STATS_META)
    online = Online(tmp_path, [stats(PLAIN), other])
    online.materialize(as_of=NOW - DAY)
    online.now = NOW + DAY
    online.materialize(views=["other"])
    published = {each.view: each.published_at for each in online.status().views}
    assert published == {"stats": NOW, "other": NOW + DAY}
    online.rollback()
    assert {each.published_at for each in online.status().views} == {NOW}


def test_a_future_as_of_is_refused(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    with pytest.raises(
        RequestError, match=r"as_of 2024-01-11.* is in the future: it is 2024-01-10"
    ):
        online.materialize(as_of=NOW + DAY)
    assert online.status() is None


def test_an_as_of_before_the_last_needs_force(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    online.materialize()
    with pytest.raises(
        RequestError, match=r"before what is online already: stats as of 2024-01-10"
    ):
        online.materialize(as_of=NOW - DAY)
    early = datetime(2024, 1, 1, tzinfo=UTC)
    online.materialize(as_of=early, force=True, incremental=True)
    assert online.x(1, at=early) == [10]


def test_what_cannot_be_asked_is_refused_by_name(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN, online=False)])
    with pytest.raises(RequestError, match="no feature view to materialize"):
        online.materialize()
    with pytest.raises(RequestError, match=r"stats \(models/stats.sql\) has online: false"):
        online.materialize(views=["stats"])
    with pytest.raises(UnknownNameError, match=r"stat is not a feature view.*Did you mean stats\?"):
        online.materialize(views=["stat"])
    with pytest.raises(RequestError, match="feature_views is a list"):
        online.materialize(views="stats")
    with pytest.raises(RequestError, match="'yesterday' is not a time"):
        online.materialize(as_of="yesterday")


def broken(name: str = "broken") -> View:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": "INTEGER"}
    select = (
        "SELECT 1::BIGINT AS k, TIMESTAMP '2024-01-01' AS t, CAST('x' || range AS INTEGER) AS x"
        " FROM range(10)"
    )
    return View(name, columns, meta=STATS_META, select=select)


def test_one_view_that_fails_publishes_none_and_is_named(tmp_path: Path, store_kind: str) -> None:
    online = Online(tmp_path, [stats(PLAIN), broken()])
    with pytest.raises(
        QueryError, match=r"broken \(models/broken.sql\) cannot be read. DuckDB: Conv"
    ):
        online.materialize()
    assert online.status() is None
    if store_kind == "duckdb":
        assert sorted(path.name for path in online.folder.iterdir()) == ["LOCK"]


def test_keep_going_publishes_the_others(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN), broken()])
    done = online.materialize(keep_going=True)
    assert [each.view for each in done.views] == ["stats"]
    assert list(done.failed) == ["broken"]
    assert online.x(1) == [11]


def test_keep_going_with_nothing_left_publishes_nothing(tmp_path: Path) -> None:
    online = Online(tmp_path, [broken()])
    done = online.materialize(keep_going=True)
    assert (done.generation, done.views) == (None, ())
    assert online.status() is None


def test_a_view_that_is_not_built_or_lacks_a_column_is_named(tmp_path: Path) -> None:
    online = Online(tmp_path, [View("stats", STATS_COLUMNS, meta=STATS_META, built=False)])
    with pytest.raises(NotBuiltError, match=r"stats .* is not built yet. Run: dbt build"):
        online.materialize()
    online.change([stats(PLAIN, features=["x", "z"])])
    with pytest.raises(MissingColumnError, match="feature z is not a column"):
        online.materialize()


def test_progress_tells_each_view(tmp_path: Path) -> None:
    world = View(
        "world", {"t": "DATE", "x": "INTEGER"}, meta={"entities": {}, "event_timestamp": "t"}
    )
    seen: list[tuple[str, int, int]] = []
    online = Online(tmp_path, [stats(PLAIN), world])
    online.materialize(progress=lambda *step: seen.append(step))
    assert seen == [("stats", 0, 2), ("world", 1, 2), ("world", 2, 2)]


@pytest.mark.files
def test_the_second_waits_and_then_names_the_first(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)], settings={"lock_timeout": "1 second"})
    online.materialize()
    with locked(online.folder / "LOCK", 0), pytest.raises(LockTimeoutError) as caught:
        online.materialize()
    assert "is locked: waited 1 s for" in str(caught.value)
    assert f"(PID {os.getpid()}, since 20" in str(caught.value)
    assert online.materialize().generation == 2


CHILD = """
import resource, sys
from tests.online import *
online = Online.at(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    online.materialize()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.files
@pytest.mark.parametrize("limit", [0, 40_000, 500_000])
def test_a_full_disk_leaves_the_old_generation(tmp_path: Path, limit: int) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    online.materialize()
    online.change([stats([[key, "2024-01-05", key, str(key) * 9] for key in range(60_000)])])
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("OnlineStoreError"), done
    assert "cannot be written" in done.stdout
    assert done.returncode == 0
    assert online.x(1) == [11]
    assert online.materialize().views[0].keys == 60_000
    assert len(list(online.folder.glob("*.duckdb*"))) == 2


@pytest.mark.files
def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    (tmp_path / ".fstore").write_text("")
    with pytest.raises(OnlineStoreError, match="cannot be written: "):
        online.materialize()


@pytest.mark.files
def test_a_damaged_store_is_said_and_the_next_materialize_mends_it(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(PLAIN)])
    online.materialize()
    current = online.folder / "CURRENT"
    for content, words in (("{", "is damaged"), (json.dumps({"format": 99}), "has format 99")):
        current.write_text(content)
        with pytest.raises(OnlineStoreError, match=words):
            online.x(1)
        online.materialize()
        assert online.x(1) == [11]


def test_versions_side_by_side(tmp_path: Path) -> None:
    def version(number: int, latest: int) -> View:
        rows = [[1, "2024-01-01", number, ""]]
        return View(
            "stats", STATS_COLUMNS, rows, meta=STATS_META, version=number, latest_version=latest
        )

    online = Online(tmp_path, [version(1, 1)])
    online.materialize()
    assert online.x(1) == [1]
    online.change([version(1, 2), version(2, 2)])
    online.materialize(views=["stats.v1"])
    assert online.x(1) == [1]  # the new version takes the name when it is published
    online.materialize(views=["stats"])
    assert online.x(1) == [2]
    assert online.get(["stats.v1:x"], [{"k": 1}], full=True).to_dict()["stats_v1__x"] == [1]


def test_views_of_their_own_k_and_those_that_leave(tmp_path: Path) -> None:
    other = View("other", STATS_COLUMNS, PLAIN, meta=STATS_META)
    online = Online(tmp_path, [stats(PLAIN), other])
    online.materialize()
    online.now = NOW + DAY
    online.materialize(views=["stats"])
    assert {each.view: each.as_of for each in online.status().views} == {
        "stats": NOW + DAY,
        "other": NOW,
    }
    online.change([stats(PLAIN)])
    online.materialize(views=["stats"])
    assert {each.view for each in online.status().views} == {"stats", "other"}
    online.materialize()
    assert {each.view for each in online.status().views} == {"stats"}


def test_the_stream_goes_on_after_a_view_that_broke_off(tmp_path: Path, store_kind: str) -> None:
    other = View("other", STATS_COLUMNS, PLAIN, meta=STATS_META)
    online = Online(tmp_path, [broken("a_first"), stats(PLAIN), broken("b_between"), other])
    done = online.materialize(keep_going=True)
    assert [each.view for each in done.views] == ["other", "stats"]
    assert sorted(done.failed) == ["a_first", "b_between"]
    if store_kind == "duckdb":
        assert len(list(online.folder.glob("*.duckdb*"))) == 2
