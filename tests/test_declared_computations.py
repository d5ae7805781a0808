"""What aggregations and on-demand views may say: each mistake named, and what is right as read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fstore import DeclarationError
from fstore.declarations import feature_view, on_demand_view
from fstore.definitions import Column, Duration, OnDemandExample, Projection, WindowFeature
from fstore.errors import Problem
from fstore.manifest import load_registry
from tests.harness import Service, View, make_project
from tests.test_declarations import node

EVENTS = {"entities": {"user": "k"}, "event_timestamp": "t"}
SUM = {"column": "x", "functions": ["sum"], "windows": ["7 days"]}
DAYS = {"windows": ["1 day"]}


def features_of(*entries: Any, **more: Any) -> tuple[WindowFeature, ...]:
    problems: list[Problem] = []
    view = feature_view(node(EVENTS | {"aggregations": list(entries)} | more), problems)
    assert view is not None, problems
    return view.windows


def test_each_function_over_each_window_is_a_feature() -> None:
    entry = {"column": "x", "functions": ["avg", "max"], "windows": ["24 hours", "7 days"]}
    found = features_of(entry | {"where": "x > 0", "hop": "5 minutes"})
    assert [each.name for each in found] == ["x_avg_24h", "x_max_24h", "x_avg_7d", "x_max_7d"]
    assert found[0] == WindowFeature(
        "x_avg_24h", "avg", "x", Duration(24, "hour"), "x > 0", Duration(5, "minute")
    )


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        (DAYS, ["count_1d"]),
        (DAYS | {"name": "late"}, ["late_count_1d"]),
        (SUM | {"name": "late"}, ["late_sum_7d"]),
        (
            SUM | {"windows": ["30 seconds", "5 minutes", "2 weeks"]},
            ["x_sum_30s", "x_sum_5m", "x_sum_2w"],
        ),
        (DAYS | {"functions": ["count"]}, ["count_1d"]),
    ],
)
def test_names(entry: dict[str, Any], names: list[str]) -> None:
    assert [each.name for each in features_of(entry)] == names


def test_view_star_means_the_windows_and_an_event_key_may_be_one_name() -> None:
    problems: list[Problem] = []
    meta = EVENTS | {"aggregations": [SUM], "event_key": "id"}
    view = feature_view(node(meta), problems)
    assert view is not None
    columns = tuple(Column(name, "BIGINT") for name in ("k", "t", "id", "x"))
    assert view.event_key == ("id",)
    assert view.feature_names(columns) == ("x_sum_7d",)
    assert view.column_features(columns) == ("x",)


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        ({"aggregations": {}}, "aggregations", ["must not be {}", "write a list"]),
        ({"aggregations": ["x"]}, "aggregations[0]", ["must not be 'x'"]),
        (
            {"aggregations": [SUM | {"colum": "x"}]},
            "aggregations[0].colum",
            ["Did you mean column?"],
        ),
        (
            {"aggregations": [SUM | {"column": 3}]},
            "aggregations[0].column",
            ["name of a column", "3"],
        ),
        ({"aggregations": [SUM | {"where": " "}]}, "aggregations[0].where", ["condition in SQL"]),
        ({"aggregations": [SUM | {"name": []}]}, "aggregations[0].name", ["must be a name"]),
        (
            {"aggregations": [SUM | {"functions": "sum"}]},
            "aggregations[0].functions",
            ["a list of"],
        ),
        (
            {"aggregations": [SUM | {"functions": ["sum", "sum"]}]},
            "aggregations[0].functions",
            ["twice: sum"],
        ),
        (
            {"aggregations": [SUM | {"functions": ["mean"]}]},
            "aggregations[0].functions",
            ["mean is none of: count, sum"],
        ),
        (
            {"aggregations": [SUM | {"functions": ["summ"]}]},
            "aggregations[0].functions",
            ["Did you mean sum?"],
        ),
        (
            {"aggregations": [SUM | {"functions": ["average"]}]},
            "aggregations[0].functions",
            ["average is none of"],
        ),
        (
            {"aggregations": [DAYS | {"functions": ["sum"]}]},
            "aggregations[0].functions",
            ["sum needs a column"],
        ),
        (
            {"aggregations": [{"column": "x", "functions": ["sum"]}]},
            "aggregations[0].windows",
            ["a list of durations", "None"],
        ),
        (
            {"aggregations": [SUM | {"windows": ["1 month"]}]},
            "aggregations[0].windows",
            ["no fixed length"],
        ),
        (
            {"aggregations": [SUM | {"windows": ["0 days"]}]},
            "aggregations[0].windows",
            ["'0 days': a duration must be above 0; write one such as 7 days"],
        ),
        (
            {"aggregations": [SUM | {"hop": "0 days"}]},
            "aggregations[0].hop",
            ["'0 days': a duration must be above 0; leave the key out instead"],
        ),
        ({"aggregations": [SUM | {"hop": "x"}]}, "aggregations[0].hop", ["is not a duration"]),
        (
            {"aggregations": [SUM | {"hop": "8 days"}]},
            "aggregations[0].hop",
            ["8 days is longer than the window of 7 days"],
        ),
        ({"aggregations": [SUM], "ttl": "1 day"}, "ttl", ["beside aggregations"]),
        ({"aggregations": [SUM, SUM]}, "aggregations[1]", ["x_sum_7d, as aggregations[0] does"]),
        (
            {"aggregations": [SUM | {"windows": ["7 days", "7 days"]}]},
            "aggregations[0]",
            ["x_sum_7d, as another window of the entry does"],
        ),
        ({"event_key": "id"}, "event_key", ["only with aggregations"]),
        ({"aggregations": [SUM], "event_key": 3}, "event_key", ["a list of column names"]),
        ({"aggregations": [SUM], "event_key": "k"}, "event_key", ["k is a join key or a clock"]),
        (
            {"aggregations": [SUM], "event_key": "id", "features": ["id"]},
            "features",
            ["id is the event_key"],
        ),
    ],
)
def test_each_mistake_of_a_view_of_events_has_its_sentence(
    more: dict[str, Any], key: str, words: list[str]
) -> None:
    problems: list[Problem] = []
    assert feature_view(node(EVENTS | more), problems) is None
    assert [problem.key for problem in problems] == [f"meta.fstore.{key}"]
    assert all(word in str(problems[0]) for word in words), str(problems[0])


def test_a_function_that_is_near_none_is_taken_for_none() -> None:
    problems: list[Problem] = []
    feature_view(node(EVENTS | {"aggregations": [SUM | {"functions": ["median"]}]}), problems)
    assert "median is none of: count, sum" in str(problems[0])
    assert "Did you mean" not in str(problems[0])


def test_a_feature_cannot_have_the_name_of_a_key() -> None:
    problems: list[Problem] = []
    meta = EVENTS | {"entities": {"user": "x_sum_7d"}, "aggregations": [SUM]}
    assert feature_view(node(meta), problems) is None
    assert "that is a join key or a clock" in str(problems[0])


def test_a_snapshot_is_no_view_of_events(tmp_path: Path) -> None:
    columns = {"k": "BIGINT", "dbt_valid_from": "TIMESTAMP", "x": "BIGINT"}
    meta = {"entities": {"user": "k"}, "aggregations": [SUM]}
    project = make_project(tmp_path, [View("s", columns, [], meta, snapshot=True)])
    with pytest.raises(DeclarationError, match="a snapshot's rows are states"):
        load_registry(project / "target" / "manifest.json")


SQL = "select x * 2 as double_x from inputs"
ON_DEMAND = {"kind": "on_demand", "inputs": ["v:x"]}


def on_demand(meta: Any, **more: Any) -> tuple[Any, list[Problem]]:
    view = feature_view(node(EVENTS), [])
    assert view is not None
    facts = {"name": "od", "materialized": "ephemeral", "sql": SQL}
    problems: list[Problem] = []
    found = on_demand_view(node(meta, **(facts | more)), {"v": view}, problems)
    return found, problems


def test_an_on_demand_view_as_it_is_read() -> None:
    meta = ON_DEMAND | {
        "inputs": [
            "v:x",
            {"as": "y", "feature": "v:z"},
            {"view": "v", "alias": "o", "join_keys": {"k": "b"}},
        ],
        "request": {"amount": "double"},
        "examples": [{"given": {"x": 1}, "expect": {"double_x": 2}}],
    }
    found, problems = on_demand(meta)
    assert not problems
    assert found.sql == SQL
    assert [each.name for each in found.inputs] == [None, "y", None]
    assert found.inputs[2].projection == Projection("v", None, "o", (("k", "b"),))
    assert found.request == (Column("amount", "double"),)
    assert found.examples == (OnDemandExample((("x", 1),), (("double_x", 2),)),)


@pytest.mark.parametrize(
    ("meta", "key", "words"),
    [
        ({"kind": "streaming"}, "kind", ["can only be on_demand, not 'streaming'"]),
        (ON_DEMAND | {"entities": {}}, "entities", ["not a key", "kind, inputs"]),
        (ON_DEMAND | {"inputs": "v:x"}, "inputs", ["must be a list"]),
        (ON_DEMAND | {"inputs": ["w:x"]}, "inputs[0]", ["w is not a feature view"]),
        (
            ON_DEMAND | {"inputs": [{"as": "", "feature": "v:x"}]},
            "inputs[0].as",
            ["must be a name"],
        ),
        (
            ON_DEMAND | {"inputs": [{"as": "y", "feature": "v:*"}]},
            "inputs[0].feature",
            ["must be one feature"],
        ),
        (
            ON_DEMAND | {"inputs": [{"as": "y", "feature": "v:x", "alias": "o"}]},
            "inputs[0].alias",
            ["is not a key beside as"],
        ),
        (
            ON_DEMAND
            | {
                "inputs": [
                    {"view": "v", "alias": "o", "join_keys": {"k": "a"}},
                    {"view": "v", "alias": "o", "join_keys": {"k": "b"}},
                ]
            },
            "inputs[1].alias",
            ["o is inputs[0] already, of v on other columns: choose another"],
        ),
        (ON_DEMAND | {"request": ["x"]}, "request", ["must map names to types"]),
        (ON_DEMAND | {"request": {"x": 3}}, "request", ["must map names to types"]),
        (ON_DEMAND | {"examples": {}}, "examples", ["must not be {}"]),
        (ON_DEMAND | {"examples": [{"given": {}}]}, "examples[0]", ["write a list such as"]),
        (
            ON_DEMAND | {"examples": [{"given": {}, "expect": {}}]},
            "examples[0].expect",
            ["is empty"],
        ),
        (
            ON_DEMAND | {"examples": [{"given": {"x": [1]}, "expect": {"y": 1}}]},
            "examples[0].given.x",
            ["must be a number, text, true, false or null"],
        ),
    ],
)
def test_each_mistake_of_an_on_demand_view_has_its_sentence(
    meta: dict[str, Any], key: str, words: list[str]
) -> None:
    found, problems = on_demand(meta)
    assert found is None
    assert [problem.key for problem in problems] == [f"meta.fstore.{key}"]
    assert all(word in str(problems[0]) for word in words), str(problems[0])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"materialized": "table"}, "materialized='ephemeral'"),
        ({"sql": None}, "the model has Jinja: run dbt compile"),
    ],
)
def test_an_on_demand_model_is_ephemeral_and_plain_sql(more: dict[str, Any], words: str) -> None:
    found, problems = on_demand(ON_DEMAND, **more)
    assert found is None
    assert words in str(problems[0])


@pytest.mark.parametrize(
    ("raw", "compiled", "wanted"),
    [
        (
            "{{ config(materialized='ephemeral') }}\n\nselect x from inputs\n",
            None,
            "select x from inputs",
        ),
        ("select x from inputs", None, "select x from inputs"),
        (
            "{{ config(a=1) }} select {{ y }} from inputs",
            "select 3 from inputs",
            "select 3 from inputs",
        ),
    ],
)
def test_the_sql_is_what_dbt_compiled_or_what_has_no_jinja(
    tmp_path: Path, raw: str, compiled: str | None, wanted: str
) -> None:
    base = View("v", {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}, [], EVENTS)
    view = View("od", {}, [], ON_DEMAND, {"materialized": "ephemeral"}, built=False)
    service = Service("s", ["od:*"], depends_on=[])
    path = make_project(tmp_path, [base, view], [service]) / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["nodes"][view.unique_id] |= {"raw_code": raw, "compiled_code": compiled}
    path.write_text(json.dumps(manifest))
    registry = load_registry(path)
    assert registry.on_demand_by_name["od"].sql == wanted
    assert registry.services_by_name["s"].projections == (Projection("od"),)


def test_an_on_demand_view_of_a_service_has_no_alias(tmp_path: Path) -> None:
    base = View("v", {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}, [], EVENTS)
    view = View("od", {}, [], ON_DEMAND, {"materialized": "ephemeral"}, built=False)
    service = Service("s", [{"view": "od", "alias": "o"}], depends_on=[])
    path = make_project(tmp_path, [base, view], [service]) / "target" / "manifest.json"
    with pytest.raises(DeclarationError, match="od is computed on demand: alias its inputs"):
        load_registry(path)
