"""What meta.fstore may say: each mistake named with its file, node and key, all of them at once."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from fstore import DeclarationError
from fstore.declarations import Declared, disagreements, feature_service, feature_view
from fstore.definitions import (
    Duration,
    Entity,
    Projection,
    Registry,
    Relation,
    SnapshotColumns,
)
from fstore.errors import Problem
from fstore.manifest import load_declarations, load_registry
from tests.harness import Service, View, make_project

GOOD = {"entities": {"user": "k"}, "event_timestamp": "t"}
ALIASED = {"view": "v", "alias": "o", "join_keys": {"k": "other"}}
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
        (GOOD | {"aggregations": []}, "aggregations", ["must not be []", "windows: [7 days]"]),
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
        (None, "", ["must hold keys such as entities"]),
        (GOOD | {"entities": None}, "entities", ["is missing"]),
        (GOOD | {"entities": {"u": ""}}, "entities.u", ["a column or a list"]),
        (GOOD | {"entities": {"u": ["k", 3]}}, "entities.u", ["a column or a list"]),
        (GOOD | {"entities": ["k"]}, "entities", ["must map entities to columns", "['k']"]),
        (GOOD | {"event_timestamp": None}, "event_timestamp", ["is missing"]),
        (GOOD | {"event_timestamp": ""}, "event_timestamp", ["name of a column"]),
        (GOOD | {"Online": True}, "Online", ["not a key", "Did you mean online?"]),
        (GOOD | {3: 4}, "3", ["not a key"]),
        (GOOD | {"kind": "on_demand"}, "kind", ["is not a key here, which takes: entities"]),
        (GOOD | {"ttl": "1 year"}, "ttl", ["months and years", "as in 7 days"]),
        (GOOD | {"ttl": "1.5 days"}, "ttl", ["'1.5 days' is not a duration"]),
        (GOOD | {"ttl": "-1 days"}, "ttl", ["is not a duration"]),
        (GOOD | {"ttl": "P7D"}, "ttl", ["is not a duration"]),
        (GOOD | {"delay": True}, "delay", ["True is not a duration"]),
        (GOOD | {"features": []}, "features", ["a list of column names"]),
        (GOOD | {"features": ["x", 3]}, "features", ["a list of column names"]),
        (GOOD | {"features": ["x", "X"]}, "features", ["names a column twice: X"]),
        (GOOD | {"features": ["T"]}, "features", ["T is a join key or a clock"]),
        (GOOD | {"exclude": "x"}, "exclude", ["a list of column names"]),
        (GOOD | {"created_timestamp": "T"}, "created_timestamp", ["is the event_timestamp"]),
        (GOOD | {"created_timestamp": ["c"]}, "created_timestamp", ["name of a column"]),
        (
            GOOD | {"created_timestamp": "c", "backfilled_until": 20240101},
            "backfilled_until",
            ["must be a time", "20240101"],
        ),
        (
            GOOD | {"created_timestamp": "c", "backfilled_until": "0001-01-01 00:00:00+10:00"},
            "backfilled_until",
            ["must be a time"],
        ),
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


def test_null_is_as_good_as_absent() -> None:
    keys = ("created_timestamp", "delay", "ttl", "online", "known_at", "features", "exclude")
    assert feature_view(node(GOOD | dict.fromkeys(keys)), []) == feature_view(node(GOOD), [])


def test_what_is_read_of_durations_and_times() -> None:
    for text, wanted in (("1 day", 86_400), (" 90  minutes ", 5_400), ("2 weeks", 1_209_600)):
        assert Duration.parse(text).seconds == wanted
    for text in ("2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z"):
        meta = GOOD | {"created_timestamp": "c", "backfilled_until": text}
        view = feature_view(node(meta), [])
        assert view is not None
        assert view.backfilled_until == datetime(2024, 1, 1, tzinfo=UTC)


def test_delay_counts_up_to_a_backfill() -> None:
    early = {"created_timestamp": "c", "delay": "1 day", "backfilled_until": "2024-01-01"}
    view = feature_view(node(GOOD | early), [])
    assert view is not None
    assert view.delay == Duration(1, "day")
    # one problem where that time is none: the delay beside it is not wrong as well
    (problem,) = problems_of(GOOD | early | {"backfilled_until": "soon"})
    assert problem.key == "meta.fstore.backfilled_until"


def test_a_snapshot_names_each_mistake_once() -> None:
    more = {"kind": "snapshot", "snapshot": SnapshotColumns(valid_to="until")}
    (problem,) = problems_of({"entities": {}, "event_timestamp": 3}, **more)
    assert problem.key == "meta.fstore.event_timestamp"
    (problem,) = problems_of({"entities": {}, "features": ["UNTIL"]}, **more)
    assert "UNTIL is a join key or a clock (or a column that dbt adds)" in str(problem)


def test_an_alias_may_be_listed_again_for_the_same_columns() -> None:
    view = feature_view(node(GOOD), [])
    assert view is not None
    problems: list[Problem] = []
    listed = [ALIASED | {"features": ["x"]}, ALIASED | {"features": ["y"]}]
    exposure = node({"features": listed}, kind="exposure", name="svc", exposure_type="ml")
    found = feature_service(exposure, {"v": view}, problems)
    assert found is not None
    assert [it.features for it in found.projections] == [("x",), ("y",)]


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
        ({"features": "v"}, "features", ["must be a list, such as"]),
        ({"features": ["v.v2"]}, "features[0]", ["v.v2 is not a feature view"]),
        ({"features": [":x"]}, "features[0]", ["is not a feature view"]),
        ({"features": ["v", {"features": ["x"]}]}, "features[1]", ["must be view:feature"]),
        ({"features": [{"view": "v", "alias": "V"}]}, "features[0].alias", ["name of a view"]),
        ({"features": [{"view": "v", "features": []}]}, "features[0].features", ["list of feat"]),
        (
            {"features": [{"view": "v", "join_keys": {"k": 3}}]},
            "features[0].join_keys",
            ["must map the view's columns"],
        ),
        (
            {"features": [{"view": "v", "alias": "o"}, ALIASED]},
            "features[1].alias",
            ["o is features[0] already, of v on other columns"],
        ),
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


def test_a_service_is_told_of_unknown_views_while_another_view_is_wrong(tmp_path: Path) -> None:
    views = [View("bad", COLUMNS, meta=GOOD | {"ttl": "1 year"}), View("good", COLUMNS, meta=GOOD)]
    services = [Service("svc", ["bad:x", "goood:x", "good:x"])]
    project = make_project(tmp_path / "p", views, services)
    with pytest.raises(DeclarationError) as caught:
        load_registry(project / "target" / "manifest.json")
    assert [problem.node for problem in caught.value.problems] == ["bad", "svc"]
    assert "goood is not a feature view" in str(caught.value)
    registry, problems = load_declarations(project / "target" / "manifest.json")
    assert problems == caught.value.problems
    assert [view.name for view in registry.feature_views] == ["good"]


KINDS = ["seed", "test", "analysis", "operation"]
KINDS += ["source", "unit_test", "metric", "semantic_model", "saved_query", "macro", "group"]


@pytest.mark.parametrize("kind", KINDS)
def test_meta_on_another_kind_of_node(tmp_path: Path, kind: str) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])
    plural = {"saved_query": "saved_queries"}.get(kind, f"{kind}s")

    def move(document: dict[str, Any]) -> None:
        node = document["nodes"].pop("model.shop.v") | {"resource_type": kind}
        document[plural if plural in document else "nodes"][f"{kind}.shop.v"] = node

    words = f"v: meta.fstore: stands on an? {kind.replace('_', ' ')}; a feature view is a model"
    with pytest.raises(DeclarationError, match=words):
        load_registry(changed(project, move))


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


def test_config_meta_goes_before_meta(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])

    def change(document: dict[str, Any]) -> None:
        document["nodes"]["model.shop.v"]["meta"] = {"fstore": GOOD | {"ttl": "1 day"}}

    (view,) = load_registry(changed(project, change)).feature_views
    assert view.ttl is None


def test_empty_meta_is_a_mistake_and_not_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])

    def change(document: dict[str, Any]) -> None:
        document["nodes"]["model.shop.v"]["config"]["meta"] = {"fstore": None}

    with pytest.raises(DeclarationError, match="entities: is missing"):
        load_registry(changed(project, change))


def in_package(document: dict[str, Any], name: str, found: dict[str, Any], kind: str) -> None:
    """Add the node as one of another package, from files of the same names."""
    package = json.loads(json.dumps(found).replace("shop", "parts"))
    document[kind][f"{name}.parts.v"] = package


def test_one_name_in_two_packages(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)], [Service("svc", ["v"])])

    def change(document: dict[str, Any]) -> None:
        in_package(document, "model", document["nodes"]["model.shop.v"], "nodes")
        in_package(document, "exposure", document["exposures"]["exposure.shop.svc"], "exposures")

    with pytest.raises(DeclarationError) as caught:
        load_registry(changed(project, change))
    text = str(caught.value)
    assert "v and v (models/v.yml) are both named v" in text
    assert "parts://models/v.yml: v: " in text
    assert "parts://models/services.yml: svc: is also the name of a service in models/" in text


def test_a_model_of_the_project_goes_before_one_of_a_package(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS)])

    def change(document: dict[str, Any]) -> None:
        own = document["nodes"].pop("model.shop.v")
        in_package(document, "model", own | {"schema": "of_parts"}, "nodes")
        document["nodes"]["model.shop.v"] = own

    models = load_registry(changed(project, change)).models
    assert [(model.relation.schema, model.file) for model in models] == [
        ("main", "models/v.sql"),
        ("of_parts", "parts://models/v.sql"),
    ]


# What dbt itself writes, once, from every form of declaration.

DBT_PROJECT = {
    "dbt_project.yml": """
        name: shop
        profile: shop
        version: "1.0"
        models:
          shop:
            weather:
              +meta:
                owner: the weather team
                fstore: {entities: {airport: airport}, event_timestamp: seen_at, delay: 30 minutes}
        flags: {send_anonymous_usage_stats: false}
        """,
    "profiles.yml": """
        shop: {target: dev, outputs: {dev: {type: duckdb, path: wh.duckdb}}}
        """,
    "packages.yml": "packages: [{local: parts}]",
    "parts/dbt_project.yml": "{name: parts, version: '1.0'}",
    "parts/models/of_package.sql": "select 1 as k, now() as t, 2 as x",
    "parts/models/of_package.yml": """
        models:
          - name: of_package
            config: {meta: {fstore: {entities: {thing: k}, event_timestamp: t}}}
        """,
    "models/carrier_delays.sql": "select 1 as carrier, now() as arrived_at, now() as loaded_at",
    "models/carrier_delays.yml": """
        models:
          - name: carrier_delays
            config:
              meta:                                  # read node.config.meta, else node.meta
                fstore:
                  entities: {carrier: carrier}       # entity name -> join key column, or a list
                  event_timestamp: arrived_at        # when it happened
                  created_timestamp: loaded_at       # optional: when we could know it (arrival)
                  ttl: 7 days                        # optional: none = unlimited look-back
        exposures:
          - name: arrival_delay_model                # a feature service
            type: ml
            owner: {name: Ops analytics, email: ops@example.com}
            depends_on: [ref('carrier_delays'), ref('airport_weather')]
            config:
              tags: [live]
              meta:
                fstore:
                  features:
                    - carrier_delays:*
                    - {view: airport_weather, alias: origin_weather, join_keys: {airport: origin},
                       features: [temp, wind_speed]}
          - name: board
            type: dashboard
            owner: {email: ops@example.com}
            config: {meta: {audience: everyone}}
        """,
    "models/weather/airport_weather.sql": "select 'JFK' as airport, now() as seen_at, 1 as temp",
    "models/other/ephemeral.sql": "{{ config(materialized='ephemeral') }} select 1 as a",
    "models/other/disabled.sql": "{{ config(enabled=false, meta={'fstore': 3}) }} select 1",
    "models/other/in_python.py": """
        def model(dbt, session):
            dbt.config(materialized="table")
            return session.sql("select 1 as k, now() as t, 2 as x")
        """,
    "models/other/m_v1.sql": "select 1 as k, now() as t, 2 as x",
    "models/other/m_v2.sql": "select 1 as k, now() as t, 2 as x, 3 as y",
    "models/other/aliased.sql": """
        {{ config(alias='odd name', schema='custom', event_time='happened_at') }}
        select 1 as k, now() as happened_at, 2 as x
        """,
    "models/other/other.yml": """
        groups:
          - {name: planners, owner: {name: The planners, email: p@example.com}}
        sources:
          - name: raw
            config: {meta: {contact: me}}
            tables: [{name: flights, columns: [{name: c, config: {meta: {a: 1}}}]}]
        models:
          - name: aliased
            description: Read as another name.
            config:
              group: planners
              tags: [a, b]
              contract: {enforced: true}
              meta: {fstore: {entities: {}, created_timestamp: c, backfilled_until: 2024-01-01}}
            columns:
              - {name: k, data_type: integer, data_tests: [not_null]}
              - {name: x, data_type: 'decimal(10,2)', config: {meta: {unit: m}}}
          - name: in_python
            config: {meta: {fstore: {entities: {}, event_timestamp: t}}}
          - name: m
            latest_version: 2
            config: {meta: {fstore: {entities: {thing: k}, event_timestamp: t, ttl: 1 day}}}
            versions:
              - v: 1
              - v: 2
                config: {meta: {fstore: {entities: {thing: k}, event_timestamp: t, ttl: 2 days}}}
        unit_tests:
          - name: a_unit_test
            model: carrier_delays
            given: []
            expect: {rows: [{carrier: 1}]}
        """,
    "analyses/by_hand.sql": "select 1 as k",
    "seeds/places.csv": "k,x\n1,2\n",
    "snapshots/operators.yml": """
        snapshots:
          - name: operators
            relation: ref('carrier_delays')
            config:
              strategy: check
              check_cols: all
              unique_key: carrier
              snapshot_meta_column_names: {dbt_valid_from: since, dbt_valid_to: until}
              meta: {fstore: {entities: {carrier: carrier}}}
        """,
}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The registry of a real project, parsed by dbt."""
    folder = tmp_path_factory.mktemp("dbt") / "p"
    for name, text in DBT_PROJECT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    # what `dbt deps` does for a local package, without a second start of dbt
    (folder / "dbt_packages").mkdir()
    (folder / "dbt_packages" / "parts").symlink_to(folder / "parts")
    code = "from dbt.cli.main import cli; cli()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, "parse", "--no-use-colors"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return load_registry(folder / "target" / "manifest.json")


def test_dbts_own_manifest(parsed: Registry) -> None:
    views = parsed.views_by_reference
    assert sorted(views) == sorted(
        ["airport_weather", "aliased", "carrier_delays", "in_python", "m", "m.v1", "m.v2"]
        + ["of_package", "operators"]
    )
    delays = views["carrier_delays"]
    assert delays.entities == (Entity("carrier", ("carrier",)),)
    assert (delays.event_timestamp, delays.created_timestamp) == ("arrived_at", "loaded_at")
    assert (delays.ttl, str(delays.relation)) == (Duration(7, "day"), "wh.main.carrier_delays")
    assert (delays.file, delays.declared_in) == (
        "models/carrier_delays.sql",
        "models/carrier_delays.yml",
    )
    (service,) = parsed.feature_services
    assert service.projections == (
        Projection("carrier_delays"),
        Projection(
            "airport_weather", ("temp", "wind_speed"), "origin_weather", (("airport", "origin"),)
        ),
    )
    assert (service.owner, service.tags) == ("Ops analytics", ("live",))
    assert service.depends_on == ("model.shop.carrier_delays", "model.shop.airport_weather")


def test_where_dbt_lets_it_be_said(parsed: Registry) -> None:
    views = parsed.views_by_reference
    weather, aliased = views["airport_weather"], views["aliased"]
    assert (weather.event_timestamp, weather.delay) == ("seen_at", Duration(30, "minute"))
    assert weather.declared_in == "models/weather/airport_weather.sql", "no YAML names the model"
    assert str(aliased.relation) == "wh.main_custom.odd name"
    assert (aliased.entities, aliased.event_timestamp) == ((), "happened_at")
    assert aliased.backfilled_until == datetime(2024, 1, 1, tzinfo=UTC), "YAML made it a date"
    assert (aliased.owner, aliased.tags) == ("The planners", ("a", "b"))
    assert (aliased.description, aliased.declared_columns) == ("Read as another name.", ("k", "x"))
    assert views["in_python"].file == "models/other/in_python.py"
    assert views["of_package"].declared_in == "parts://models/of_package.yml"


def test_versions_and_snapshots_of_dbt(parsed: Registry) -> None:
    views = parsed.views_by_reference
    assert views["m"] == views["m.v2"]
    assert [views[name].ttl for name in ("m.v1", "m.v2")] == [
        Duration(1, "day"),
        Duration(2, "day"),
    ]
    assert [views[name].relation.identifier for name in ("m.v1", "m.v2")] == ["m_v1", "m_v2"]
    operators = views["operators"]
    assert operators.event_timestamp == "since"
    assert operators.snapshot == SnapshotColumns(valid_from="since", valid_to="until")
    assert operators.declared_in == "snapshots/operators.yml"


def test_what_can_be_a_spine(parsed: Registry) -> None:
    names = [model.name for model in parsed.models]
    assert {"m", "m.v1", "m.v2", "places", "operators", "of_package"} <= set(names)
    assert not {"ephemeral", "disabled", "by_hand", "raw"} & set(names)
    clocks = {model.name: model.event_timestamp for model in parsed.models}
    assert (clocks["aliased"], clocks["m"], clocks["places"]) == ("happened_at", "t", None)
