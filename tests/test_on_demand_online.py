"""On-demand features at a read: equal to training's, computed in process or by DuckDB, anywhere."""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fstore import (
    EntityRowsError,
    FeatureStore,
    NotMaterializedError,
    OnDemandError,
    RequestError,
)
from fstore.cli import main
from fstore.online import in_memory
from fstore.online.fields import field_reader
from tests.harness import Service, View, on_demand
from tests.online import NOW, Online, stats
from tests.serving import serving

pytestmark = pytest.mark.usefixtures("store_kind")

ROWS = [[1, "2024-01-08", 10, "a"], [2, "2024-01-02", 0, None], [3, "2024-01-09", None, "c"]]
OTHER = View(
    "other",
    {"k": "BIGINT", "t": "TIMESTAMP", "d": "DECIMAL(8,2)", "l": "INTEGER[]", "f": "DOUBLE"},
    [[1, "2024-01-09", "1.25", "[1, 2]", 0.1], [2, "2024-01-03", None, None, 1e308]],
    meta={"entities": {"thing": "k"}, "event_timestamp": "t"},
)
# Some are computed in process, some by DuckDB; the two kinds stand side by side.
SQL = """
select
  x * amount as cost,
  x + n as plus,
  x / n as ratio,
  coalesce(y, 'none') || '!' as shout,
  case when f > 1 then f * amount when f is null then -1.0 end as cased,
  date_diff('hour', stats__event_timestamp, event_timestamp) as hours,
  greatest(f, amount) as most,
  round(amount * 1.5, 2) as rounded,
  d * 2 as doubled,
  list_sum(l) as total,
  upper(y) as up,
  strftime(event_timestamp, '%H:%M') as at,
  ln(abs(amount) + 1) as log,
  {'x': x, 'd': d} as both,
  hour(event_timestamp) as hour,
  date_trunc('day', event_timestamp) as day,
  event_timestamp at time zone 'Europe/Berlin' as there
from inputs
"""
NAMES = [
    "cost",
    "plus",
    "ratio",
    "shout",
    "cased",
    "hours",
    "most",
    "rounded",
    "doubled",
    "total",
    "up",
    "at",
    "log",
    "both",
    "hour",
    "day",
    "there",
]
VIEW = on_demand(
    "od",
    SQL,
    inputs=["stats:x", "stats:y", "other"],
    request={"amount": "double", "n": "bigint"},
)
INPUTS = ["stats:x", "stats:y", "other:*"]


def fields(amount: Any = 2.0, n: Any = 3) -> dict[str, Any]:
    return {"amount": amount, "n": n}


@pytest.fixture(scope="module")
def online(store_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Online:
    views = [stats(ROWS), OTHER, VIEW]
    found = Online(tmp_path_factory.mktemp(store_kind), views, [Service("svc", ["od", "stats:x"])])
    found.materialize()
    return found


KEYS = st.sampled_from([1, 2, 3, 4, None])
DOUBLES = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 2.5, 1e308, math.inf, -math.inf]),
    st.floats(-1e6, 1e6),
)
COUNTS = st.one_of(st.none(), st.integers(-5, 5))
ASKED = st.lists(st.tuples(KEYS, DOUBLES, COUNTS), min_size=1, max_size=6)


@given(ASKED, st.integers(0, 100))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_read_equals_training_and_duckdbs_own_answer(
    online: Online, asked: list[tuple[Any, Any, Any]], minutes: int
) -> None:
    at = NOW + timedelta(minutes=minutes)
    spine = pd.DataFrame(
        {
            "k": pd.Series([key for key, _, _ in asked], dtype="Int64"),
            "event_timestamp": pd.Series([at] * len(asked)),
            "amount": pd.Series([amount for _, amount, _ in asked], dtype="Float64"),
            "n": pd.Series([n for _, _, n in asked], dtype="Int64"),
        }
    )
    store = FeatureStore(online.directory)
    job = store.get_historical_features(spine, ["od"], include_event_timestamps=False)
    trained = job.to_arrow().select(NAMES).to_pylist()
    rows = [{"k": key} | fields(amount, n) for key, amount, n in asked]
    answer = online.get(["od"], rows, at=at).to_arrow().select(NAMES)
    assert list(map(plain, answer.to_pylist())) == list(map(plain, trained))

    inputs = store.get_historical_features(spine, INPUTS, include_event_timestamps=True).to_arrow()
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("inputs", inputs)
        direct = connection.sql(SQL).to_arrow_table().to_pylist()
    assert list(map(plain, direct)) == list(map(plain, trained))


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row with NaN as something that equals itself."""
    return {
        name: "NaN" if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.items()
    }


def test_one_row_and_many_are_the_same(online: Online) -> None:
    """One row is bound, many go by Arrow."""
    rows = [{"k": key} | fields(0.5, key) for key in (1, 2, 3, 4)]
    together = online.get(["od"], rows).to_dict(True)
    for place, row in enumerate(rows):
        alone = online.get(["od"], [row]).to_dict(True)
        assert {name: cells[0] for name, cells in alone.items()} == {
            name: cells[place] for name, cells in together.items()
        }


def test_statuses_and_times(online: Online) -> None:
    answer = online.get(["od:cost", "od:total"], [{"k": key} | fields() for key in (1, 2, 3, 9)])
    found = answer.to_dict(include_metadata=True)
    assert found["cost"] == [20.0, 0.0, None, None]
    assert found["cost__status"] == ["PRESENT", "PRESENT", "NULL_VALUE", "NULL_VALUE"]
    days = [9, 3, 9, None]
    newest = [None if day is None else datetime(2024, 1, day, tzinfo=UTC) for day in days]
    assert found["cost__ts"] == found["total__ts"] == newest
    assert found["total"] == [3, None, None, None]


def test_references_of_every_form(online: Online) -> None:
    row = [{"k": 1} | fields()]
    assert list(online.get(["od:*"], row).to_dict()) == ["k", *NAMES]
    full = online.get(["od:up", "stats:x"], row, full=True).to_dict()
    assert full == {"k": [1], "od__up": ["A"], "stats__x": [10]}
    service = online.get(None, row, service="svc").to_dict()
    assert list(service) == ["k", *NAMES, "x"]
    assert online.get(["od:up"], [], full=True).to_dict() == {"k": [], "od__up": []}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"k": 1, "n": 1}, ["no column amount", "the request field (DOUBLE) of od"]),
        ({"k": 1, "amont": 1, "n": 1}, ["Did you mean amont?"]),
        ({"k": 1, "amount": "x", "n": 1}, ["entity_rows[0]: amount is 'x'", "give a number"]),
        ({"k": 1, "amount": True, "n": 1}, ["amount is True", "request field amount of od"]),
        ({"k": 1, "amount": 1, "n": 7.5}, ["n is 7.5", "is BIGINT", "give a whole number"]),
        ({"k": 1, "amount": 1, "n": 2**63}, ["give a whole number from -9223372036854775808"]),
    ],
)
def test_request_fields_that_are_wrong(
    given: dict[str, Any], said: list[str], online: Online
) -> None:
    with pytest.raises(EntityRowsError) as caught:
        online.get(["od:cost"], [given])
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize("n", ["7", 7.0, Decimal(7), 7], ids=repr)
def test_request_fields_in_other_forms(n: Any, online: Online) -> None:
    assert online.get(["od:plus"], [{"k": 1, "amount": "2", "n": n}]).to_dict()["plus"] == [17]


def test_a_request_field_has_no_output_of_its_name(tmp_path: Path) -> None:
    view = on_demand(
        "od", "select a + 1 as a from inputs", inputs=["stats:x"], request={"a": "int"}
    )
    online = Online(tmp_path, [stats(ROWS), view])
    online.materialize()
    with pytest.raises(RequestError, match="entity_rows has a column a"):
        online.get(["od"], [{"k": 1, "a": 1}])
    assert online.get(["od"], [{"k": 1, "a": 1}], full=True).to_dict()["od__a"] == [2]


def test_what_duckdb_refuses_is_an_error_of_the_request(online: Online) -> None:
    """In process nothing is answered that DuckDB would not answer; it says why not."""
    for rows in ([{"k": 1}], [{"k": 1}, {"k": 2}]):
        with pytest.raises(RequestError) as caught:
            online.get(["od:plus", "od:cost"], [row | fields(1.0, 2**63 - 1) for row in rows])
        said = str(caught.value)
        assert "od (models/od.sql) cannot be computed for these rows. DuckDB: " in said
        assert "Overflow in addition" in said


def test_request_fields_are_rounded_as_a_cast_rounds(tmp_path: Path) -> None:
    kinds = {"m": "decimal(4,1)", "f": "float", "b": "boolean", "t": "timestamp", "d": "date"}
    view = on_demand("od", "select m, f, b, t, d from inputs", inputs=["stats:x"], request=kinds)
    online = Online(tmp_path, [stats(ROWS), view])
    online.materialize()
    given = {
        "m": "1.25",
        "f": 0.1,
        "b": "true",
        "t": "2024-01-01T01:00:00+01:00",
        "d": "2024-01-01",
    }
    answer = online.get(["od"], [{"k": 1} | given], full=True).to_dict()
    select = "select 1::bigint as k, timestamptz '2024-01-10' as event_timestamp, 1.25 as m, "
    select += "0.1::double as f, true as b, timestamptz '2024-01-01 00:00:00Z' as t, "
    select += "date '2024-01-01' as d"
    job = FeatureStore(tmp_path).get_historical_features(select, ["od"], full_feature_names=True)
    (trained,) = job.to_arrow().to_pylist()
    assert {name: cells[0] for name, cells in answer.items() if name != "k"} == {
        name: value for name, value in trained.items() if name.startswith("od__")
    }
    assert answer["od__m"] == [Decimal("1.3")]
    for field, value in (("m", "12345"), ("f", 1e300)):
        with pytest.raises(EntityRowsError, match=f"{field} is .*: give a number"):
            online.get(["od"], [{"k": 1} | given | {field: value}], full=True)


def test_a_field_that_a_double_cannot_hold_is_not_printed_whole(tmp_path: Path) -> None:
    view = on_demand(
        "od",
        "select x * mult as y from inputs",
        inputs=["stats:x"],
        request={"mult": "double"},
    )
    online = Online(tmp_path, [stats([[1, "2024-01-03", 2, "a"]]), view])
    online.materialize()
    for value, words in (
        (10**400, "an integer of 1329 bits, and"),
        (10**5000, "an integer of 16610 bits, and"),  # more digits than Python writes
    ):
        with pytest.raises(EntityRowsError) as raised:
            online.get(["od"], [{"k": 1, "mult": value}])
        assert str(raised.value) == (
            f"entity_rows[0]: mult is {words} the request field mult of od is DOUBLE: give a "
            "number that a DOUBLE can hold."
        )
    with pytest.raises(EntityRowsError, match=r"is 'zz.*z\.\.\. \(5002 characters\), and the req"):
        online.get(["od"], [{"k": 1, "mult": "z" * 5000}])


def test_floats_become_decimals_as_duckdb_makes_them() -> None:
    values = [1.005, 2.675, -0.125, 0.145, 1e7, *(place / 1000 for place in range(-500, 500, 5))]
    read = field_reader("DECIMAL(10,2)")
    cast = "select cast(? as double)::decimal(10, 2)"
    with duckdb.connect() as connection:
        wanted = [connection.execute(cast, [value]).fetchall()[0][0] for value in values]
        wide = connection.execute("select cast(1e30 as decimal(38, 5))").fetchall()[0][0]
    assert list(map(read, values)) == wanted
    assert field_reader("DECIMAL(38,5)")(1e30) == wide  # of more digits than Python computes with


def test_windows_are_inputs_like_any_feature(tmp_path: Path) -> None:
    rows = [[1, f"2024-01-0{day}", day, f"event {day}"] for day in range(3, 10)]
    sums = {"column": "x", "functions": ["sum", "count"], "windows": ["3 days"]}
    view = on_demand(
        "od",
        "select x_sum_3d / x_count_3d as mean, x_count_3d + n as more from inputs",
        inputs=["stats:x_sum_3d", "stats:x_count_3d"],
        request={"n": "int"},
    )
    aged = on_demand(
        "aged",
        "select date_diff('hour', stats__event_timestamp, event_timestamp) + x_count_3d as age "
        "from inputs",
        inputs=["stats:x_count_3d"],
    )
    online = Online(tmp_path, [stats(rows, aggregations=[sums], event_key=["y"]), view, aged])
    online.materialize()
    answer = online.get(["od"], [{"k": key, "n": 1} for key in (1, 2)]).to_dict()
    assert answer == {"k": [1, 2], "mean": [8.0, None], "more": [4, 1]}
    spine = pd.DataFrame({"k": [1, 2], "n": 1, "event_timestamp": [NOW] * 2})
    job = FeatureStore(tmp_path).get_historical_features(spine, ["od"])
    assert '"stats_rows"' not in job.to_sql()  # its event time is not read
    assert job.to_arrow().select(["mean", "more"]).to_pydict() == {
        name: cells for name, cells in answer.items() if name != "k"
    }
    stamped = FeatureStore(tmp_path).get_historical_features(
        spine, ["od"], include_event_timestamps=True
    )
    times = stamped.to_arrow()["od__event_timestamp"].to_pylist()
    assert times == [datetime(2024, 1, 9, tzinfo=UTC), None]
    ages = FeatureStore(tmp_path).get_historical_features(spine, ["aged"]).to_arrow()["age"]
    assert ages.to_pylist() == [27, None]
    assert online.get(["aged"], [{"k": 1}, {"k": 2}]).to_dict()["age"] == [27, None]


# What a generation carries.


def test_a_view_is_served_when_all_that_it_computes_with_is(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats(ROWS), OTHER, VIEW])
    online.materialize(views=["stats"])
    row = [{"k": 1} | fields()]
    with pytest.raises(NotMaterializedError, match=r"other \(models/other.sql\) is not in the"):
        online.get(["od"], row)
    online.materialize(views=["other"])
    assert online.get(["od:cost"], row).to_dict()["cost"] == [20.0]


def test_a_view_of_views_that_are_not_online(tmp_path: Path) -> None:
    meta = dict(OTHER.meta or {}) | {"online": False}
    hidden = View("other", OTHER.columns, OTHER.rows, meta=meta)
    online = Online(tmp_path, [stats(ROWS), hidden, VIEW])
    online.materialize()
    with pytest.raises(RequestError, match="online: false"):
        online.get(["od"], [{"k": 1} | fields()])


def test_a_view_that_cannot_run_fails_the_publish(tmp_path: Path) -> None:
    broken = on_demand("od", "select zz as z from inputs", inputs=["stats:x"])
    online = Online(tmp_path, [stats(ROWS), broken])
    with pytest.raises(OnDemandError, match="zz in zz is no column of inputs"):
        online.materialize()
    assert online.status() is None
    result = online.materialize(keep_going=True)
    assert list(result.failed) == ["od"]
    with pytest.raises(NotMaterializedError, match=r"od .* was not published with the views"):
        online.get(["od"], [{"k": 1}])
    assert online.get(["stats:x"], [{"k": 1}]).to_dict()["x"] == [10]


def test_a_view_of_which_an_input_is_gone_is_named(tmp_path: Path) -> None:
    broken = on_demand("od", "select xx as z from inputs", inputs=["stats:xx"])
    online = Online(tmp_path, [stats(ROWS), broken])
    said = r"^od \(models/od.yml\): an input of it cannot be had: stats:xx is not a feature\. "
    with pytest.raises(OnDemandError, match=said):
        online.materialize()
    assert online.status() is None
    assert list(online.materialize(keep_going=True).failed) == ["od"]


def test_a_changed_text_is_served_when_it_is_published(tmp_path: Path) -> None:
    def view(sql: str) -> View:
        return on_demand("od", sql, inputs=["stats:x"])

    online = Online(tmp_path, [stats(ROWS), view("select x + 1 as m from inputs")])
    online.materialize()
    online.change([stats(ROWS), view("select x || '?' as m from inputs")])
    assert online.get(["od"], [{"k": 1}]).to_dict()["m"] == [11]
    online.materialize(views=["stats"])
    assert online.get(["od"], [{"k": 1}]).to_dict()["m"] == ["10?"]
    online.rollback()
    assert online.get(["od"], [{"k": 1}]).to_dict()["m"] == [11]


@pytest.mark.files
def test_a_copy_of_the_folder_serves_it(online: Online, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(online.project.state_directory, copy)
    store = FeatureStore(copy, clock=lambda: NOW)
    answer = store.get_online_features(["od"], [{"k": 1} | fields()])
    assert answer.to_dict() == online.get(["od"], [{"k": 1} | fields()]).to_dict()


@pytest.mark.files
def test_threads_and_forks_have_engines_of_their_own(online: Online) -> None:
    rows = [{"k": key} | fields(float(key), key) for key in (1, 2, 3)]
    expected = online.get(["od"], rows).to_dict()
    wrong: list[Any] = []

    def read() -> None:
        for _ in range(20):
            found = online.get(["od"], rows).to_dict()
            if found != expected:
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    child = os.fork()
    if child == 0:
        os._exit(0 if online.get(["od"], rows).to_dict() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Broken:
    """An engine's connection whose queries fail, and which then cannot let go of rows either."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.is_closed = error, False

    def register(self, name: str, rows: pa.Table) -> None:
        pass

    def execute(self, *_: Any) -> Any:
        raise self.error

    extract_statements = sql = execute

    def unregister(self, name: str) -> None:
        raise duckdb.ConnectionException("no view is found in what is broken")

    def close(self) -> None:
        self.is_closed = True


ONE_ROW = pa.table({"x": [1]})
ASKED = {
    "one": lambda: in_memory.one("select $1", [1]),
    "many": lambda: in_memory.many("select x from given", "given", ONE_ROW),
    "types": lambda: in_memory.types_of("select 1 as x"),
}


@pytest.mark.files
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    ("error", "is_dropped"),
    [
        (duckdb.FatalException("database has been invalidated"), True),
        (duckdb.InternalException("an assertion failed"), True),
        (KeyboardInterrupt(), True),
        (duckdb.InvalidInputException("no such number"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_engine_that_broke_serves_no_other_read(
    store_kind: str, asked: str, error: BaseException, is_dropped: bool
) -> None:
    ASKED[asked]()
    engine, _ = in_memory._engines.take()
    whole, broken = engine.connection, Broken(error)
    engine.connection = broken  # type: ignore[assignment]
    engine._statements.clear()
    in_memory._engines.give(engine)
    with pytest.raises(type(error)) as caught:
        ASKED[asked]()
    assert caught.value is error
    assert broken.is_closed == is_dropped == (engine not in in_memory._engines._idle)
    engine.connection = whole
    ASKED[asked]()


@pytest.mark.files
def test_over_http_request_fields_are_entities(online: Online) -> None:
    with serving(online.directory) as server:

        def ask(features: list[str], **entities: list[Any]) -> tuple[int, Any]:
            answered = server.features(entities, features=features)
            return answered.status, answered.json()

        status, found = ask(["od:plus", "od:up"], k=[1, 9], amount=[1, None], n=[5, 5])
        assert status == 200
        assert found["metadata"]["feature_names"] == ["k", "plus", "up"]
        plus, up = found["results"][1:]
        assert plus["values"] == [15, None]
        assert plus["statuses"] == ["PRESENT", "NULL_VALUE"]
        assert plus["event_timestamps"][0] == "2024-01-09T00:00:00Z"
        assert up["values"] == ["A", None]
        for entities, said in (
            ({"k": [1]}, "no column amount, the request field (DOUBLE) of od"),
            ({"k": [1], "amount": [1], "n": ["x"]}, "n is 'x'"),
            ({"k": [1], "amount": [1], "n": [2**63 - 1]}, "Overflow in addition"),
        ):
            status, found = ask(["od:plus"], **entities)
            assert status == 422
            assert said in found["detail"]


@pytest.mark.files
def test_on_the_command_line(online: Online) -> None:
    given = ["-f", "od:plus", "-f", "od:at", "-e", "k=1", "-e", "amount=1.5", "-e", "n=5", "--json"]
    where = ["--project-dir", str(online.directory)]
    result = CliRunner().invoke(main, ["get-online-features", *given, *where])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["plus"] == [15]


def test_what_is_computed_is_neither_published_nor_pushed_to(online: Online) -> None:
    told = r"od \(models/od.sql\) is computed on demand .* computes with: other, stats\."
    with pytest.raises(RequestError, match=told):
        online.materialize(views=["od"])
    with pytest.raises(RequestError, match=told):
        online.push([{"k": 1}], "od")


def test_a_nan_in_a_request_field_is_null_everywhere(tmp_path: Path) -> None:
    sql = """
        select
          coalesce(price, -1.0) as cost,
          coalesce(single, -1.0) as short,
          coalesce(pieces, -1) as n,
          sqrt(price) as root,
          isnan(f) as of_view
        from inputs
    """
    meta = {
        "inputs": ["other:f"],
        "request": {"price": "double", "single": "float", "pieces": "integer"},
    }
    views = [
        View("other", {"k": "BIGINT", "t": "TIMESTAMP", "f": "DOUBLE"}, [[1, "2024-01-01", "nan"]],
             meta={"entities": {"thing": "k"}, "event_timestamp": "t"}),
        on_demand("now", sql, **meta),
    ]  # fmt: skip
    online = Online(tmp_path, views)
    online.materialize()
    names = ["cost", "short", "n", "root", "of_view"]
    wanted = [-1.0, -1.0, -1, None, True]
    asked = {"k": 1, "price": math.nan, "single": math.nan, "pieces": math.nan}
    for rows in ([asked], [asked, asked]):
        found = online.get(["now:*"], rows).to_dict()
        assert [found[name][0] for name in names] == wanted
    table = pa.table({name: [value] for name, value in asked.items()} | {"t": [NOW]})
    assert table["price"].null_count == 0
    store = FeatureStore(tmp_path)
    select = (
        "select 1 as k, 'nan'::double as price, 'nan'::float as single, null::integer as pieces, "
        "timestamptz '2024-01-10 00:00:00+00' as t"
    )
    for spine in (table, table.to_pandas(), pl.from_arrow(table), select):
        answer = store.get_historical_features(spine, ["now:*"]).to_arrow()
        assert [answer[name][0].as_py() for name in names] == wanted
