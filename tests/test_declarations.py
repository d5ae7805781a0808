"""What meta.fstore may say: each mistake named with its file, node and key, all of them at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fstore import DeclarationError
from fstore.declarations import Declared, disagreements, feature_service, feature_view
from fstore.definitions import Duration, Relation, SnapshotColumns
from fstore.errors import Problem
from fstore.manifest import load_registry
from tests.harness import Service, View, make_project

GOOD = {"entities": {"user": "k"}, "event_timestamp": "t"}
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}


def node(meta: Any, **more: Any) -> Declared:
    facts = {
        "unique_id": "model.shop.v",
        "kind": "model",
        "name": "v",
        "file": "models/v.sql",
        "declared_in": "models/v.yml",
        "relation": Relation("wh", "main", "v"),
    }
    return Declared(meta=meta, **(facts | more))


def problems_of(meta: Any, **more: Any) -> list[Problem]:
    problems: list[Problem] = []
    assert feature_view(node(meta, **more), problems) is None
    return problems


@pytest.mark.parametrize(
    ("meta", "key", "words"),
    [
        ("a text", "", ["must hold keys such as entities"]),
        ({"event_timestamp": "t"}, "entities", ["is missing", "entities: {carrier: carrier}"]),
        (GOOD | {"entities": "k"}, "entities", ["must map entities to columns"]),
        (GOOD | {"entities": {"u": 3}}, "entities.u", ["a column or a list"]),
        (GOOD | {"entities": {"u": []}}, "entities.u", ["a column or a list"]),
        (GOOD | {"entities": {"u": ["k", "K"]}}, "entities.u", ["twice"]),
        ({"entities": {"u": "k"}}, "event_timestamp", ["is missing"]),
        (GOOD | {"event_timestamp": 3}, "event_timestamp", ["name of a column", "3"]),
        (GOOD | {"tll": "7 days"}, "tll", ["not a key", "Did you mean ttl?"]),
        (GOOD | {"aggregations": []}, "aggregations", ["not built in this version"]),
        (GOOD | {"ttl": "1 month"}, "ttl", ["months and years have no fixed length"]),
        (GOOD | {"ttl": "0 days"}, "ttl", ["above 0"]),
        (GOOD | {"ttl": "7 dayz"}, "ttl", ["dayz is not a unit"]),
        (GOOD | {"ttl": 7}, "ttl", ["7 is not a duration"]),
        (GOOD | {"ttl": "999999999999 weeks"}, "ttl", ["longer than the calendar"]),
        (GOOD | {"online": "yes"}, "online", ["true or false", "yes"]),
        (GOOD | {"known_at": 0}, "known_at", ["true or false"]),
        (GOOD | {"features": "x"}, "features", ["a list of column names"]),
        (GOOD | {"features": ["x"], "exclude": ["y"]}, "exclude", ["leave one of the two out"]),
        (GOOD | {"features": ["k"]}, "features", ["k is a join key or a clock"]),
        (GOOD | {"created_timestamp": "t"}, "created_timestamp", ["is the event_timestamp"]),
        (
            GOOD | {"created_timestamp": "c", "delay": "1 day"},
            "delay",
            ["two arrivals", "backfilled_until"],
        ),
        (GOOD | {"backfilled_until": "2024-01-01"}, "backfilled_until", ["needs a created_"]),
        (
            GOOD | {"created_timestamp": "c", "backfilled_until": "soon"},
            "backfilled_until",
            ["must be a time", "soon"],
        ),
    ],
)
def test_each_mistake_has_its_sentence(meta: Any, key: str, words: list[str]) -> None:
    problems = problems_of(meta)
    assert [it.key for it in problems] == [f"meta.fstore.{key}" if key else "meta.fstore"]
    assert all(word in str(problems[0]) for word in words), str(problems[0])
    assert str(problems[0]).startswith("models/v.yml: v: meta.fstore")


def test_an_ephemeral_model_is_no_view() -> None:
    assert "ephemeral" in str(problems_of(GOOD, materialized="ephemeral")[0])


def test_everything_a_view_can_say() -> None:
    meta = GOOD | {
        "created_timestamp": "c",
        "delay": "90 minutes",
        "backfilled_until": "2024-01-01 02:00:00+02:00",
        "ttl": "2 weeks",
        "online": False,
        "exclude": ["y"],
    }
    view = feature_view(node(meta), [])
    assert view is not None
    assert (view.ttl, view.delay) == (Duration(2, "week"), Duration(90, "minute"))
    assert view.backfilled_until == datetime(2024, 1, 1, tzinfo=UTC)
    assert (view.online, view.exclude, view.join_keys) == (False, ("y",), ("k",))
    assert str(view.ttl) == "2 weeks"


def test_the_clock_of_dbt_and_of_a_snapshot() -> None:
    by_dbt = feature_view(node({"entities": {}}, event_time="happened_at"), [])
    assert by_dbt is not None
    assert by_dbt.event_timestamp == "happened_at"
    columns = SnapshotColumns(valid_from="since", valid_to="until")
    snapshot = feature_view(node({"entities": {}}, kind="snapshot", snapshot=columns), [])
    assert snapshot is not None
    assert snapshot.event_timestamp == "since"
    assert {"since", "until"} <= set(snapshot.non_features())


@pytest.mark.parametrize(
    ("meta", "key", "words"),
    [
        (["v"], "", ["must hold a list of features"]),
        ({}, "features", ["must be a list"]),
        ({"features": []}, "features", ["must be a list"]),
        ({"features": ["v"], "feature": 1}, "feature", ["Did you mean features?"]),
        ({"features": ["v:"]}, "features[0]", ["no feature after the colon", "v:*"]),
        ({"features": ["vv"]}, "features[0]", ["vv is not a feature view", "Did you mean v?"]),
        ({"features": [3]}, "features[0]", ["must be view:feature"]),
        ({"features": [{"view": "v", "als": "o"}]}, "features[0].als", ["Did you mean alias?"]),
        ({"features": [{"view": "v", "alias": "v"}]}, "features[0].alias", ["name of a view"]),
        ({"features": [{"view": "v", "alias": 3}]}, "features[0].alias", ["must be a name"]),
        (
            {"features": [{"view": "v", "join_keys": {"kk": "user"}}]},
            "features[0].join_keys",
            ["kk is not a join key of v", "Did you mean k?"],
        ),
        (
            {"features": [{"view": "v", "join_keys": ["k"]}]},
            "features[0].join_keys",
            ["must map the view's columns"],
        ),
        (
            {"features": [{"view": "v", "features": "x"}]},
            "features[0].features",
            ["must be a list of features"],
        ),
        ({"features": ["v"], "full_feature_names": "no"}, "full_feature_names", ["true or false"]),
    ],
)
def test_each_mistake_of_a_service_has_its_sentence(meta: Any, key: str, words: list[str]) -> None:
    view = feature_view(node(GOOD), [])
    assert view is not None
    problems: list[Problem] = []
    exposure = node(meta, kind="exposure", name="svc", exposure_type="ml")
    assert feature_service(exposure, {"v": view}, problems) is None
    assert [it.key for it in problems] == [f"meta.fstore.{key}" if key else "meta.fstore"]
    assert all(word in str(problems[0]) for word in words), str(problems[0])


def test_a_dashboard_is_no_service() -> None:
    problems: list[Problem] = []
    view = feature_view(node(GOOD), [])
    assert view is not None
    feature_service(node({"features": ["v"]}, exposure_type="dashboard"), {"v": view}, problems)
    assert "type: ml" in str(problems[0])


def test_an_entity_has_the_same_keys_everywhere() -> None:
    one = feature_view(node(GOOD), [])
    other = feature_view(node(GOOD | {"entities": {"user": "id"}}, name="w"), [])
    assert one is not None
    assert other is not None
    (problem,) = disagreements([one, other])
    assert problem.key == "meta.fstore.entities.user"
    assert "is id here and k in v (models/v.yml)" in str(problem)


def test_two_views_are_not_named_alike() -> None:
    one = feature_view(node(GOOD, version="2"), [])
    other = feature_view(node(GOOD, name="v_v2"), [])
    assert one is not None
    assert other is not None
    (problem,) = disagreements([one, other])
    assert "are both named v_v2" in str(problem)


def changed(project: Path, change: Any) -> Path:
    path = project / "target" / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_all_problems_come_together_in_the_order_of_files(tmp_path: Path) -> None:
    views = [
        View("b", COLUMNS, meta=GOOD | {"ttl": "1 year"}),
        View("a", COLUMNS, meta=GOOD | {"onlin": True, "delay": "x"}),
    ]
    project = make_project(tmp_path / "p", views, [Service("svc", ["a:x"])])
    with pytest.raises(DeclarationError) as caught:
        load_registry(project / "target" / "manifest.json")
    nodes = [problem.node for problem in caught.value.problems]
    assert nodes == ["a", "a", "b"], "the service's view is known, only wrong"
    assert str(caught.value).startswith("3 declarations are wrong:\n  models/a.yml: a: ")


@pytest.mark.parametrize("kind", ["seed", "test", "analysis", "operation"])
def test_meta_on_another_kind_of_node(tmp_path: Path, kind: str) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])

    def change(document: dict[str, Any]) -> None:
        document["nodes"]["model.shop.v"]["resource_type"] = kind

    with pytest.raises(DeclarationError, match=f"stands on an? {kind}; a feature view is"):
        load_registry(changed(project, change))


def test_meta_on_a_column(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])

    def change(document: dict[str, Any]) -> None:
        column = {"name": "x", "meta": {"fstore": {"feature": True}}}
        document["nodes"]["model.shop.v"]["columns"] = {"x": column}

    with pytest.raises(DeclarationError, match=r"v\.x: meta\.fstore: stands on a column"):
        load_registry(changed(project, change))


def test_meta_beside_config_is_read_too(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])

    def change(document: dict[str, Any]) -> None:
        only = document["nodes"]["model.shop.v"]
        only["meta"], only["config"]["meta"] = {"fstore": GOOD}, {}

    assert [it.name for it in load_registry(changed(project, change)).feature_views] == ["v"]
