"""On-demand views: what their SQL may be, what is said of the rest, and what check finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from click.testing import CliRunner

from fstore import DeclarationError, FeatureStore, OnDemandError, RequestError, SpineError
from fstore.cli import main
from fstore.compile.functions import Call, Functions
from fstore.compile.row_local import read
from fstore.manifest import load_registry
from fstore.offline import on_demand as offline_on_demand
from fstore.offline.on_demand import engine
from tests.harness import Service, View, make_project, node, on_demand

COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "INTEGER", "y": "DOUBLE"}
STATS = View(
    "stats",
    COLUMNS,
    [[1, "2024-01-01", 10, 1.5], [2, "2024-01-02", 0, None]],
    meta={"entities": {"thing": "k"}, "event_timestamp": "t"},
)
WHOLE = {"n": "int"}
SPINE = pd.DataFrame({"k": [1, 2], "event_timestamp": pd.to_datetime(["2024-01-03"] * 2)})


def make(directory: Path, *views: View, services: tuple[Service, ...] = ()) -> FeatureStore:
    return FeatureStore(make_project(directory / "project", [STATS, *views], services))


def refused_calls(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[str]:
    """Why a text may not call what it calls."""
    known = offline_on_demand._functions(connection)
    return known.refused(offline_on_demand._calls(connection, sql))


# What a text may be.

REFUSED = [
    ("select a from inputs union select b from inputs", "is not one SELECT"),
    ("select a from inputs; select b from inputs", "is not one SELECT"),
    ("insert into x values (1)", "INSERT INTO x VALUES (1) is not one SELECT"),
    ("select a +", "is not SQL that can be read"),
    ("with f as (select a from inputs) select a from f", "is not for an on-demand view (WITH)"),
    ("select distinct a from inputs", "DISTINCT is not for"),
    ("select a from inputs join other on true", "JOIN other ON TRUE is not for"),
    ("select a from inputs, other", "other is not for an on-demand view (JOIN)"),
    ("select a from inputs where a > 1", "WHERE a > 1 is not for"),
    ("select a from inputs group by a", "GROUP BY a is not for"),
    ("select a from inputs having true", "HAVING TRUE is not for"),
    ("select a from inputs qualify true", "QUALIFY TRUE is not for"),
    ("select a from inputs order by a", "ORDER BY a is not for"),
    ("select a from inputs limit 1", "LIMIT 1 is not for"),
    ("select a from inputs offset 1", "OFFSET 1 is not for"),
    ("select a from inputs tablesample 10%", "it reads from inputs TABLESAMPLE"),
    ("select a from other", "it reads from other: an on-demand view reads from inputs alone"),
    ("select a from x.inputs", "it reads from x.inputs"),
    ("select 1 as a", "it reads from nothing"),
    ("select a from inputs as i (b)", "it reads from inputs AS i(b)"),
    ("select avg(a) as m from inputs", "AVG(a) is an aggregate"),
    ("select count(*) filter (where a) as m from inputs", "COUNT(*) FILTER(WHERE a) is an aggr"),
    ("select any_value(a) as m from inputs", "ANY_VALUE(a) is an aggregate"),
    ("select 1 + lag(a) over () as m from inputs", "LAG(a) OVER () is a window function"),
    ("select (select 1) as m from inputs", "(SELECT 1) is a subquery"),
    ("select a in (select b from c) as m from inputs", "(SELECT b FROM c) is a subquery"),
    ("select exists(select 1) as m from inputs", "EXISTS(SELECT 1) is a subquery"),
    ("select unnest(a) as m from inputs", "UNNEST(a) makes several rows of one"),
    ("select * from inputs", "* stands for columns that it does not name"),
    ("select inputs.* from inputs", "inputs.* stands for columns"),
    ("select columns('x') from inputs", "COLUMNS('x') stands for columns"),
    ("select current_timestamp as m from inputs", "write event_timestamp, the instant"),
    ("select today() as m from inputs", "is the time at which a query runs"),
    ("select random() + a as m from inputs", "RANDOM() is another value at every call"),
    ("select uuid() as m from inputs", "UUID() is another value at every call"),
    ("select $1 as m from inputs", "$1 is a parameter"),
    ("select a + 1 from inputs", "a + 1 has no name: write a + 1 as <name>"),
    ("select a, b as A from inputs", "A is selected twice"),
]


@pytest.mark.parametrize(("sql", "said"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_what_is_not_row_local_is_refused_by_name(sql: str, said: str) -> None:
    found, reasons = read(sql)
    assert found is None
    assert any(said in reason for reason in reasons), reasons


def test_every_part_that_is_wrong_is_told() -> None:
    _, reasons = read("select avg(a) as m, a + 1, (select 1) as s from inputs limit 3")
    assert len(reasons) == 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("histogram(x)", "histogram, which is no function of one row"),
        ("fsum(x)", "fsum, which is no function of one row"),
        ("now()", "now, which gives another value at another time"),
        ("get_current_timestamp()", "get_current_timestamp, which gives another value"),
        ("nextval('s')", "nextval, which gives another value"),
        ("age(event_timestamp)", "age, which gives another value"),
        ("current_setting('threads')", "current_setting, which gives another value"),
        ("geomean(x)", "geomean, which is no function of one row"),
        ("our_macro(x)", "our_macro, which is no function of DuckDB's own"),
    ],
)
def test_functions_that_are_not_of_one_row_are_refused_by_name(call: str, said: str) -> None:
    with engine() as connection:
        (reason,) = refused_calls(connection, f"select 1 + {call} as m from inputs")
    assert reason.startswith(f"{call} calls {said}")


@pytest.mark.parametrize(
    "expression",
    [
        "lower(s)",
        "list_sum(l)",
        "list_transform(l, lambda e: e + 1)",
        "age(event_timestamp, t)",
        "nullif(x, 0)",
        "if(x > 1, 'a', 'b')",
        "generate_series(1, x)",
        "regexp_extract(s, 'a(.)', 1)",
        "s[1:2]",
        "try(1 // x)",
        "case when x is null then coalesce(y, 0) end",
        "x::decimal(10, 2)",
        "date_trunc('day', t)",
        "strftime(t, '%H')",
    ],
)
def test_functions_of_one_row_are_not(expression: str) -> None:
    sql = f"select {expression} as m from inputs"
    assert read(sql)[1] == ()
    with engine() as connection:
        assert list(refused_calls(connection, sql)) == []


# Of functions of zoned times, DuckDB 2.0.0 says that they are consistent, 2.0.1 that they are so
# within a query, and of a few that ask the clock the same: what is refused is the same.

ZONED = [
    "date_diff('hour', stats__event_timestamp, event_timestamp)",
    "hour(event_timestamp)",
    "hour(timestamp '2020-01-01 05:00:00')",
    "year(event_timestamp)",
    "date_part('dow', event_timestamp)",
    "date_trunc('day', event_timestamp)",
    "event_timestamp at time zone 'UTC'",
    "t at time zone 'Europe/Berlin'",
    "age(event_timestamp, stats__event_timestamp)",
    "event_timestamp - stats__event_timestamp",
    "event_timestamp - interval 1 day",
    "strftime(event_timestamp, '%H')",
    "time_bucket(interval 1 hour, event_timestamp)",
    "make_timestamptz(2020, 7, 1, 0, 0, 0.0)",
    "generate_series(stats__event_timestamp, event_timestamp, interval 1 day)",
    "last_day(event_timestamp)",
]
OF_THE_MOMENT = [
    "now()",
    "get_current_time()",
    "get_current_timestamp()",
    "transaction_timestamp()",
    "current_localtime()",
    "current_localtimestamp()",
    "age(event_timestamp)",
    "random()",
    "gen_random_uuid()",
    "nextval('s')",
    "current_setting('TimeZone')",
    "getvariable('v')",
    "current_database()",
    "txid_current()",
]
RELEASES = ["of this process", "2.0.0", "2.0.1"]


def catalog(connection: duckdb.DuckDBPyConnection, release: str) -> list[Any]:
    """Return the engine's list of its functions, the stability of some as in a release."""
    rows = connection.execute(
        "SELECT function_name, function_type, stability, parameter_types::VARCHAR[], return_type "
        "FROM duckdb_functions() WHERE database_name = 'system'"
    ).fetchall()
    found: dict[str, tuple[str, list[str], list[dict[str, Any]]]] = {}
    for name, kind, said, takes, returns in rows:
        _, kinds, others = found.setdefault(name, (name, [], []))
        kinds.append(kind)
        stability = said
        of_a_zone = takes and any(
            str(it).startswith(("TIMESTAMP WITH", "TIMESTAMPTZ", "TIME WITH"))
            for it in (*takes, returns)
        )
        if kind == "scalar" and (of_a_zone or name.startswith("current_localtime")):
            within = release == "2.0.1"
            stability = "CONSISTENT_WITHIN_QUERY" if within else "CONSISTENT"
        if stability not in (None, "CONSISTENT"):
            others.append({"stability": stability, "parameters": takes, "returns": returns})
    return [(name, kinds, others or None) for name, kinds, others in found.values()]


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What DuckDB says of its functions is as in a release, whichever is installed."""
    known = []
    if request.param != RELEASES[0]:
        with engine() as connection:
            known.append(Functions.of(catalog(connection, request.param)))
    monkeypatch.setattr(offline_on_demand, "_catalog", known)
    return str(request.param)


@pytest.mark.parametrize("expression", ZONED)
def test_functions_of_zoned_times_are_fixed_by_the_zone(release: str, expression: str) -> None:
    sql = f"select {expression} as m from inputs"
    assert read(sql)[1] == ()
    with engine() as connection:
        assert list(refused_calls(connection, sql)) == []


def test_the_example_of_the_docs_is_accepted(release: str) -> None:
    text = (Path(__file__).parents[1] / "docs" / "concepts.md").read_text(encoding="utf-8")
    block = text.partition("<!-- file: models/usage_now.sql -->")[2].split("```")[1]
    sql = "select" + block.partition("select")[2]
    assert "date_diff(" in sql
    assert read(sql)[1] == ()
    with engine() as connection:
        assert list(refused_calls(connection, sql)) == []


@pytest.mark.parametrize("call", OF_THE_MOMENT)
def test_functions_of_the_moment_or_the_session_are_refused(release: str, call: str) -> None:
    with engine() as connection:
        (reason,) = refused_calls(connection, f"select {call} as m from inputs")
    assert "which gives another value at another time or in another session" in reason


def test_an_overload_that_no_zone_fixes_is_refused() -> None:
    takes = {"parameters": ["TIMESTAMP WITH TIME ZONE"], "returns": "BIGINT"}
    rows = [
        ("other", ["scalar"], [takes | {"stability": "VOLATILE"}]),
        ("within", ["scalar"], [takes | {"stability": "CONSISTENT_WITHIN_QUERY"}]),
        (
            "both",
            ["scalar"],
            [
                takes | {"stability": "CONSISTENT_WITHIN_QUERY"},
                {"stability": "CONSISTENT_WITHIN_QUERY", "parameters": ["DATE"], "returns": "DATE"},
            ],
        ),
    ]
    made = [Call(name, 1, f"{name}(t)") for name, _, _ in rows]
    assert [it.split()[0] for it in Functions.of(rows).refused(made)] == ["other(t)", "both(t)"]


# A view within a project.


def test_zoned_times_are_in_utc_whatever_the_profile_says(tmp_path: Path, release: str) -> None:
    cells = ", ".join(f"{expression} as m{n}" for n, expression in enumerate(ZONED))
    sql = f"select event_timestamp::timestamp as t, {cells} from inputs"
    store = make(tmp_path, on_demand("od", sql, inputs=["stats:x"]))
    profile = tmp_path / "project" / "profiles.yml"
    profile.write_text(profile.read_text().replace("TimeZone: UTC", "TimeZone: Asia/Tokyo"))
    at = pd.DataFrame({"k": [1], "event_timestamp": [pd.Timestamp("2024-01-03 04:30", tz="UTC")]})
    for fresh in (store, FeatureStore(tmp_path / "project")):
        (trained,) = fresh.get_historical_features(at, ["od"]).to_arrow().to_pylist()
        assert (trained["m0"], trained["m1"], trained["m2"]) == (52, 4, 5)


@pytest.mark.parametrize(
    "expression",
    [
        "event_timestamp::timetz at time zone 'Europe/Berlin'",
        "timezone('Europe/Berlin', event_timestamp::timetz)",
        "list_transform([event_timestamp::timetz], lambda e: e at time zone 'Europe/Berlin')",
    ],
)
def test_a_time_of_day_is_not_moved_to_a_zone(tmp_path: Path, expression: str) -> None:
    sql = f"select {expression} as m from inputs"
    store = make(tmp_path, on_demand("od", sql, inputs=["stats:x"]))
    said = sentence(store, ["od"])
    assert "moves a TIME WITH TIME ZONE by the zone's offset at the time at which a query" in said


def sentence(store: FeatureStore, features: list[str], spine: Any = SPINE) -> str:
    with pytest.raises((OnDemandError, RequestError)) as caught:
        store.get_historical_features(spine, features)
    return str(caught.value)


def test_the_error_says_which_view_and_where(tmp_path: Path) -> None:
    store = make(tmp_path, on_demand("od", "select avg(x) as m from inputs", inputs=["stats:x"]))
    said = sentence(store, ["od"])
    assert said.startswith("od (models/od.sql): AVG(x) is an aggregate")
    assert "compute it in a feature view, and name that in inputs" in said


@pytest.mark.parametrize(
    ("sql", "meta", "said"),
    [
        ("select z + 1 as m from inputs", {}, "z in z + 1 is no column of inputs, which has: x"),
        ("select stats.x as m from inputs", {}, "stats in stats.x is no column of inputs"),
        ("select x || 1 as n, null as m from inputs", {}, "write cast(null as <type>) as m"),
        ("select x + 'a'::blob as m from inputs", {}, "DuckDB: Binder Error"),
        ("select x as m from inputs", {"request": {"a": "doubl"}}, "is of no type: doubl"),
        ("select x as m from inputs", {"request": {"a": "de(("}}, "is of no type: de(("),
        ("select x as m from inputs", {"inputs": ["stats:x", "stats"]}, "stats:x is an input twi"),
        (
            "select x as m from inputs",
            {"request": {"X": "int"}},
            "stats:x and the request field X would both be named X",
        ),
        (
            "select x as m from inputs",
            {"request": {"event_timestamp": "int"}},
            "the asking instant and the request field event_timestamp would both be named",
        ),
        (
            "select x as m from inputs",
            {"inputs": ["stats:x", {"as": "stats__event_timestamp", "feature": "stats:y"}]},
            "the event time of stats and stats:y would both be named",
        ),
        (
            "select x as m from inputs",
            {"request": {"K": "bigint"}},
            "the request field K has the name of a join key of stats",
        ),
    ],
)
def test_what_is_wrong_with_a_view_is_said(
    sql: str, meta: dict[str, Any], said: str, tmp_path: Path
) -> None:
    view = on_demand("od", sql, **({"inputs": ["stats:x"]} | meta))
    spine = SPINE.assign(a=1.0)
    assert said in sentence(make(tmp_path, view), ["od"], spine)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    store = make(tmp_path, on_demand("risk", "select x as m from inputs", inputs=["stats:x"]))
    for asked, said in (
        ("risk:n", "risk:n is not a feature. risk (models/risk.sql) has: m"),
        ("rsk", "Did you mean risk?"),
    ):
        with pytest.raises(KeyError) as caught:
            store.get_historical_features(SPINE, [asked])
        assert said in str(caught.value)


def test_names_of_outputs_do_not_clash(tmp_path: Path) -> None:
    view = on_demand("od", "select x, y as k from inputs", inputs=["stats"])
    store = make(tmp_path, view)
    assert "stats:x and od:x would both be named x" in sentence(store, ["stats:x", "od:x"])
    assert "od:x is asked twice" in sentence(store, ["od:x", "od:x"])
    assert "od:k would be named k, and entity_df has a column k" in sentence(store, ["od:k"])
    job = store.get_historical_features(SPINE, ["stats:x", "od"], full_feature_names=True)
    assert list(job.to_df()) == [*SPINE, "stats__x", "od__x", "od__k"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([1.5, 2.0], "has the value 1.5, which is no INTEGER"),
        (["1", "2"], "is VARCHAR, and the request field n of od"),
    ],
)
def test_request_fields_of_another_kind(cells: list[Any], said: str, tmp_path: Path) -> None:
    view = on_demand("od", "select n + x as m from inputs", inputs=["stats:x"], request=WHOLE)
    with pytest.raises(SpineError) as caught:
        make(tmp_path, view).get_historical_features(SPINE.assign(n=cells), ["od"])
    assert said in str(caught.value)


def test_a_select_may_not_round_a_request_field_in_silence(tmp_path: Path) -> None:
    view = on_demand("od", "select n + x as m from inputs", inputs=["stats:x"], request=WHOLE)
    store = make(tmp_path, view)
    text = "select 1 as k, timestamp '2024-01-03' as event_timestamp, {} as n"
    assert "Cast the column of entity_df to INTEGER" in sentence(store, ["od"], text.format("1.5"))
    assert store.get_historical_features(text.format("2::bigint"), ["od"]).to_df()["m"][0] == 12


def test_whole_floats_and_nulls_of_a_frame_are_integers(tmp_path: Path) -> None:
    view = on_demand("od", "select n // 2 as m from inputs", inputs=[], request=WHOLE)
    job = make(tmp_path, view).get_historical_features(SPINE.assign(n=[5.0, None]), ["od"])
    assert job.to_df()["m"].tolist() == [2, pd.NA]


def test_a_view_that_computes_with_nothing_needs_a_spine(tmp_path: Path) -> None:
    store = make(tmp_path, on_demand("od", "select hour(event_timestamp) as h from inputs"))
    assert store.get_historical_features(SPINE, ["od"]).to_df()["h"].tolist() == [0, 0]
    with pytest.raises(RequestError, match="computed from no feature view"):
        store.get_historical_features(features=["od"], start=SPINE.event_timestamp[0])


def test_an_alias_of_the_caller_is_not_that_of_an_input(tmp_path: Path) -> None:
    """The same alias, joined on other columns, is another join."""
    aliased = {"view": "stats", "alias": "other", "features": ["x"]}
    view = on_demand(
        "od", "select other__x as m from inputs", inputs=[aliased | {"join_keys": {"k": "a"}}]
    )
    service = Service("svc", [aliased | {"join_keys": {"k": "b"}}, "od"])
    spine = SPINE.assign(a=[1, 2], b=[2, 1])
    job = make(tmp_path, view, services=(service,)).get_historical_features(
        spine, feature_service="svc", include_event_timestamps=True
    )
    found = job.to_df()
    assert found["other__x"].tolist() == [0, 10]
    assert found["m"].tolist() == [10, 0]
    assert list(found)[-2:] == ["other__event_timestamp", "od__event_timestamp"]


def test_an_alias_with_the_name_of_an_on_demand_view(tmp_path: Path) -> None:
    view = on_demand("od", "select x as m from inputs", inputs=["stats:x"])
    service = Service("svc", [{"view": "stats", "alias": "od", "features": ["x"]}, "od"])
    store = make(tmp_path, view, services=(service,))
    with pytest.raises(RequestError, match="od is an alias here, and an on-demand view"):
        store.get_historical_features(SPINE, feature_service="svc")


def test_an_on_demand_view_is_no_input_of_another(tmp_path: Path) -> None:
    views = [
        on_demand("one", "select x as m from inputs", inputs=["stats:x"]),
        on_demand("two", "select m from inputs", inputs=["one:m"]),
    ]
    with pytest.raises(DeclarationError, match="one is computed on demand"):
        make(tmp_path, *views).feature_views()


def test_a_name_is_of_one_view(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", [STATS])
    path = project / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    view = on_demand("stats", "select x as m from inputs", inputs=["stats:x"])
    other = node(view) | {"unique_id": "model.other.stats", "package_name": "other"}
    manifest["nodes"]["model.other.stats"] = other
    path.write_text(json.dumps(manifest))
    with pytest.raises(DeclarationError, match="is a feature view of this name: rename one"):
        load_registry(path)


def test_dbts_tests_on_it_are_an_error(tmp_path: Path) -> None:
    view = on_demand("od", "select x as m from inputs", inputs=["stats:x"])
    project = make_project(tmp_path / "project", [STATS, view])
    path = project / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    test = {"resource_type": "test", "name": "not_null_od_m", "unique_id": "test.shop.a"}
    on_it = {"depends_on": {"nodes": [view.unique_id]}}
    manifest["nodes"]["test.shop.a"] = test | on_it
    manifest["unit_tests"]["unit_test.shop.od.u"] = {"name": "u", "model": "od"} | on_it
    path.write_text(json.dumps(manifest))
    with pytest.raises(DeclarationError) as caught:
        load_registry(path)
    assert "dbt cannot run its tests on it (not_null_od_m, u)" in str(caught.value)
    assert "write examples in meta.fstore" in str(caught.value)


# fstore check, list and describe.

EXAMPLES: list[dict[str, Any]] = [
    {"given": {"x": 2, "a": 0.1}, "expect": {"total": 2.1, "big": False}},
    {"given": {"x": 2, "a": 1}, "expect": {"total": 4, "big": None}},
    {"given": {"xx": 2}, "expect": {"totl": None}},
    {"given": {"a": 1}, "expect": {"total": None}},
    {"given": {"x": "many"}, "expect": {"total": 1}},
    {
        "given": {"event_timestamp": "2024-01-02", "stats__event_timestamp": "2024-01-01"},
        "expect": {"hours": 24},
    },
]


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    views = [
        on_demand(
            "od",
            "select x + a as total, coalesce(y, 0) > 1 as big, format('{}', x) as shown, "
            "date_diff('hour', stats__event_timestamp, event_timestamp) as hours from inputs",
            inputs=["stats:x", {"as": "y", "feature": "stats:y"}],
            request={"a": "double"},
            examples=EXAMPLES,
        ),
        on_demand("bad", "select now() as n, zz as z from inputs", inputs=["stats:x"]),
        on_demand("worse", "select * from inputs limit 1", inputs=["gone:x"]),
    ]
    gone = View("gone", COLUMNS, meta=STATS.meta, built=False)
    services = [Service("svc", ["stats:x", "od:total"]), Service("wrong", ["od:none"])]
    return make_project(tmp_path / "project", [STATS, gone, *views], services)


def test_check_finds_everything(checked: Path) -> None:
    said = [str(it.problem) for it in FeatureStore(checked).check() if it.is_error]
    found = "\n".join(said)
    for part in (
        "bad: now() calls now, which gives another value",
        "bad: zz in zz is no column of inputs",
        "gone",
        "od: meta.fstore.examples[1]: total is 3.0, and 4 was expected",
        "od: meta.fstore.examples[1]: big is false, and NULL was expected",
        "od: meta.fstore.examples[2]: xx is no column of inputs, which has: a, x, y",
        "od: meta.fstore.examples[2]: totl is no feature of od, which has: total, big",
        "od: meta.fstore.examples[4]: DuckDB: Conversion Error",
        "worse: LIMIT 1 is not for an on-demand view",
        "worse: * stands for columns",
        "wrong: meta.fstore.features[0]: od:none is not a feature",
    ):
        assert part in found
    assert "examples[0]" not in found
    assert "examples[3]" not in found
    assert "examples[5]" not in found
    assert "svc" not in found


def test_settings_that_change_arithmetic_are_warned_of(tmp_path: Path) -> None:
    def warned(*views: View) -> list[str]:
        project = make_project(tmp_path / f"with_{len(views)}", [STATS, *views])
        path = project / "profiles.yml"
        changed = (
            "TimeZone: UTC\n        integer_division: true\n        old_implicit_casting: true"
        )
        path.write_text(path.read_text().replace("TimeZone: UTC", changed))
        return [str(it.problem) for it in FeatureStore(project).check() if not it.is_error]

    found = warned(on_demand("od", "select x / 2 as m from inputs", inputs=["stats:x"]))
    names = ("integer_division", "old_implicit_casting")
    for setting, warning in zip(names, sorted(found), strict=True):
        assert f"{setting}: changes what SQL computes in training" in warning
    assert warned() == []


def run(project: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--project-dir", str(project)])
    assert result.exit_code == 0, result.output
    return result.output


def test_list_and_describe(checked: Path) -> None:
    assert "od     (on demand)" in run(checked, "list")
    shown = run(checked, "describe", "od")
    for part in ("stats:x, stats:y as y", "a (DOUBLE)", "in process", "by DuckDB: FORMAT("):
        assert part in shown
    described = json.loads(run(checked, "describe", "od", "--json"))
    assert described["features"] == {
        "total": "DOUBLE",
        "big": "BOOLEAN",
        "shown": "VARCHAR",
        "hours": "BIGINT",
    }
    assert [described["online"][name] == "in process" for name in described["features"]] == [
        True,
        True,
        False,
        True,
    ]
    store = FeatureStore(checked)
    view, columns = store.describe("od")
    assert columns is not None
    assert view.name == "od"
    assert [column.name for column in columns] == list(described["features"])
    how = store.how_computed("od")
    assert how is not None
    assert list(how.by_engine) == ["shown"]
    with pytest.raises(RequestError, match="is not computed on demand"):
        store.how_computed("stats")


def test_describe_where_nothing_is_built(tmp_path: Path) -> None:
    gone = View("gone", COLUMNS, meta=STATS.meta, built=False)
    view = on_demand("od", "select x as m from inputs", inputs=["gone:x"])
    project = make_project(tmp_path / "project", [STATS, gone, view])
    assert "not built yet" in run(project, "describe", "od")
    assert FeatureStore(project).describe("od")[1] is None


def test_sql_shows_all_of_it(tmp_path: Path) -> None:
    view = on_demand("od", "select x + n as m from inputs", inputs=["stats:x"], request=WHOLE)
    project = make_project(tmp_path / "project", [STATS, view])
    spine = "select 1 as k, 2 as n, timestamp '2024-01-03' as event_timestamp"
    text = run(project, "sql", "-f", "od", "--entity-df", spine)
    for part in ('"od_inputs" AS', 'CAST("spine"."n" AS INT) AS "n"', "x + n AS m", "od_values"):
        assert part in text
