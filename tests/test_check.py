"""fstore check: what is wrong or doubtful, all of it, with exit codes that a script can use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from fstore import FeatureStore, MissingFileError, WrongTypeError
from fstore.cli import main
from tests.harness import WAREHOUSE, Service, View, make_project

GOOD = {"entities": {"user": "k"}, "event_timestamp": "t"}
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}


def found(project: Path) -> dict[str, list[str]]:
    by_severity: dict[str, list[str]] = {"error": [], "warning": []}
    for finding in FeatureStore(project).check():
        by_severity[finding.severity].append(str(finding.problem))
    return by_severity


def only(sentences: list[str], *words: str) -> None:
    (sentence,) = sentences
    for word in words:
        assert word in sentence


def test_a_project_that_is_right(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)], [Service("s", ["v"])])
    assert found(project) == {"error": [], "warning": []}


def test_wrong_declarations_are_findings_among_others(tmp_path: Path) -> None:
    views = [
        View("v", COLUMNS, meta=GOOD | {"ttl": "1 month", "onlin": 1}),
        View("gone", COLUMNS, meta=GOOD, built=False),
        View("dated", COLUMNS | {"t": "DATE"}, meta=GOOD),
    ]
    services = [Service("of_wrong", ["v:x"]), Service("unknown", ["dated:y", "dated:z", "vv"])]
    project = with_profile(make_project(tmp_path / "p", views, services), retries=None)
    said = found(project)
    assert [line.split(": ")[1] for line in said["error"]] == ["gone", "unknown", "v", "v"]
    assert [line.split(": ")[1] for line in said["warning"]] == ["retries", "dated"]


def test_only_wrong_declarations(tmp_path: Path) -> None:
    views = [View("v", COLUMNS, meta=GOOD | {"ttl": "1 month"})]
    only(found(make_project(tmp_path / "p", views))["error"], "months and years")
    assert found(tmp_path / "p")["warning"] == []


def test_no_view_at_all(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS)])
    only(found(project)["warning"], "no model has meta.fstore yet")


def test_a_project_that_was_never_built(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)], [Service("s", ["v"])])
    (project / WAREHOUSE).unlink()
    said = found(with_profile(project, retries=None))
    only(said["error"], "profiles.yml: dev: The warehouse is not at", "dbt build --target dev")
    only(said["warning"], "connect_attempts: 6")
    assert FeatureStore(project).describe("v")[1] is None


def test_a_warehouse_that_cannot_be_read(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])
    (project / WAREHOUSE).write_text("this is no database, however long it may be" * 100)
    only(found(project)["error"], "profiles.yml: dev: ", "cannot be opened")


def test_no_manifest_is_no_finding(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, meta=GOOD)])
    (project / "target" / "manifest.json").unlink()
    with pytest.raises(MissingFileError, match="dbt parse"):
        found(project)


def test_every_column_that_is_missing(tmp_path: Path) -> None:
    meta = {"entities": {"u": "kk"}, "event_timestamp": "tt", "created_timestamp": "cc"}
    columns = COLUMNS | {"u": "VARCHAR"}
    views = [
        View("a", columns, meta=meta | {"features": ["y"]}),
        View("b", columns, meta=GOOD | {"exclude": ["z"]}, declared_columns=["k", "w"]),
        View("c", columns, meta=GOOD | {"created_timestamp": "u"}),
    ]
    errors = found(make_project(tmp_path / "p", views))["error"]
    for words in (
        "a: a (models/a.sql): join key kk is not a column",
        "a: a (models/a.sql): event_timestamp tt is not",
        "a: a (models/a.sql): created_timestamp cc is not",
        "a: a (models/a.sql): feature y is not",
        "b: b (models/b.sql): excluded column z is not",
        "b: b (models/b.sql): documented column w is not",
        "c: c (models/c.sql): created_timestamp u is VARCHAR",
    ):
        assert sum(words in line for line in errors) == 1, words
    assert len(errors) == 7


def test_a_type_that_arrow_lacks(tmp_path: Path) -> None:
    columns = COLUMNS | {"x": "UHUGEINT", "y": "STRUCT(a UHUGEINT[])", "z": "UHUGEINT"}
    project = make_project(tmp_path / "p", [View("v", columns, meta=GOOD | {"exclude": ["z"]})])
    said = found(project)
    assert said["error"] == []
    assert ["x is UHUGEINT: " in said["warning"][0], "2^127" in said["warning"][0]] == [True, True]
    assert "y is STRUCT(a UHUGEINT[]): " in said["warning"][1]
    assert len(said["warning"]) == 2


@pytest.mark.parametrize("kind", ["INTERVAL", "STRUCT(a INTERVAL)"])
def test_a_key_without_one_form(tmp_path: Path, kind: str) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS | {"k": kind}, meta=GOOD)])
    only(found(project)["error"], f"v (models/v.sql): join key k is {kind}, which", "cast it")
    store = FeatureStore(project)
    with pytest.raises(WrongTypeError, match=r"join key k .* cast it in the model, to VARCHAR"):
        store.materialize()
    with pytest.raises(WrongTypeError, match=r"join key k .* cast it in the model, to VARCHAR"):
        store.get_historical_features("select interval 1 day as k, now() as t", ["v:x"])
    project = make_project(tmp_path / "q", [View("v", COLUMNS | {"x": kind}, meta=GOOD)])
    assert found(project) == {"error": [], "warning": []}  # as a feature it is right


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("INTERVAL", "which writes equal values in many forms (30 days, a month): cast it"),
        ("INTERVAL[]", "which writes equal values in many forms"),
        ("STRUCT(a DOUBLE)", "which writes equal values in two forms (0.0 and -0.0): name its"),
    ],
)
def test_an_event_key_without_one_form(tmp_path: Path, kind: str, words: str) -> None:
    """What is pushed is found again by its bytes."""
    counts = {"windows": ["1 day"]}
    meta = GOOD | {"event_key": ["id"], "aggregations": [counts]}
    project = make_project(tmp_path / "p", [View("v", COLUMNS | {"id": kind}, meta=meta)])
    only(found(project)["error"], f"v (models/v.sql): event_key id is {kind}, {words}")
    store = FeatureStore(project)
    with pytest.raises(WrongTypeError, match="event_key id is"):
        store.materialize()
    with pytest.raises(WrongTypeError, match="event_key id is"):
        store.get_historical_features("select 1 as k, now() as t", ["v:count_1d"])


def test_relations_are_looked_at_each_on_its_own(tmp_path: Path) -> None:
    views = [
        View("gone", COLUMNS, meta=GOOD, built=False),
        View("lacks", COLUMNS, meta=GOOD | {"features": ["y"]}),
        View("text", COLUMNS | {"t": "VARCHAR"}, meta=GOOD),
        View("bare", {"k": "BIGINT", "t": "TIMESTAMP"}, meta=GOOD),
    ]
    errors = "\n".join(found(make_project(tmp_path / "p", views))["error"])
    for words in (
        "gone (wh.main.gone) is not built yet",
        "feature y is not a column",
        "event_timestamp t is VARCHAR",
        "bare: has no features",
    ):
        assert words in errors


def test_keys_of_an_entity_are_of_one_family(tmp_path: Path) -> None:
    views = [
        View("a", COLUMNS, meta=GOOD),
        View("b", COLUMNS | {"k": "VARCHAR"}, meta=GOOD),
    ]
    only(found(make_project(tmp_path / "p", views))["error"], "k is VARCHAR here and BIGINT in a")


def test_a_date_clock_needs_its_day(tmp_path: Path) -> None:
    dated = COLUMNS | {"t": "DATE", "c": "DATE"}
    views = [
        View("bare", dated, meta=GOOD),
        View("short", dated, meta=GOOD | {"delay": "3 hours"}),
        View("covered", dated, meta=GOOD | {"delay": "1 day"}),
        View("loaded", dated | {"c": "TIMESTAMP"}, meta=GOOD | {"created_timestamp": "c"}),
        View("loaded_by_day", dated, meta=GOOD | {"created_timestamp": "c"}),
    ]
    warnings = found(make_project(tmp_path / "p", views))["warning"]
    assert [line.split(": ")[1] for line in warnings] == ["bare", "loaded_by_day", "short"]
    assert all("DATE, which means 00:00 UTC" in line for line in warnings)


def test_services(tmp_path: Path) -> None:
    views = [
        View("a", COLUMNS, meta=GOOD),
        View("b", COLUMNS, meta=GOOD),
        View("m", COLUMNS, meta=GOOD, version=1, latest_version=1),
    ]
    services = [
        Service("clashes", ["a", "b"]),
        Service("far", ["a"], depends_on=["model.shop.b"]),
        Service("unknown", ["a:xx"]),
        Service("unpinned", ["m"]),
    ]
    said = found(make_project(tmp_path / "p", views, services))
    errors, warnings = "\n".join(said["error"]), "\n".join(said["warning"])
    assert "clashes: meta.fstore.features: a:x and b:x would both be named x" in errors
    assert "unknown: meta.fstore.features[0]: a:xx is not a feature" in errors
    assert "far: depends_on: misses a, so dbt's lineage" in warnings
    assert "m pins no version" in warnings
    assert "write m.v1" in warnings


def test_every_unknown_feature_of_a_service(tmp_path: Path) -> None:
    views = [View("a", COLUMNS, meta=GOOD), View("gone", COLUMNS, meta=GOOD, built=False)]
    mapping = {"view": "a", "alias": "b", "features": ["x", "yy", "zz"]}
    services = [Service("svc", ["a:x", "gone:x", "a:ww", mapping])]
    errors = [
        line.partition(" is not a feature")[0]
        for line in found(make_project(tmp_path / "p", views, services))["error"]
        if "svc" in line
    ]
    prefix = "models/services.yml: svc: meta.fstore.features"
    assert errors == [f"{prefix}[2]: a:ww", f"{prefix}[3]: a:yy", f"{prefix}[3]: a:zz"]


def test_a_pinned_version_is_not_warned_of(tmp_path: Path) -> None:
    columns = [COLUMNS, COLUMNS | {"y": "BIGINT"}]
    views = [
        View("m", each, meta=GOOD, version=number, latest_version=2)
        for number, each in enumerate(columns, 1)
    ]
    services = [Service("old", ["m.v1:x"]), Service("new", ["m.v2"]), Service("any", ["m:y"])]
    said = found(make_project(tmp_path / "p", views, services))
    only(said["warning"], "any: meta.fstore.features: m pins no version", "write m.v2")
    assert said["error"] == []


def with_profile(project: Path, **changes: Any) -> Path:
    path = project / "profiles.yml"
    profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    output = next(iter(profile.values()))["outputs"]["dev"]
    for key, value in changes.items():
        output.pop(key, None)
        if value is not None:
            output[key] = value
    path.write_text(yaml.safe_dump(profile), encoding="utf-8")
    return project


def test_the_profile(tmp_path: Path) -> None:
    columns = {"k": "BIGINT", "dbt_valid_from": "TIMESTAMP", "dbt_valid_to": "TIMESTAMP"}
    snapshot = View("s", columns | {"x": "BIGINT"}, meta={"entities": {"u": "k"}}, snapshot=True)
    project = make_project(tmp_path / "p", [snapshot])
    assert found(project)["warning"] == []
    with_profile(project, settings=None, retries=None, plugins=[{"module": "excel"}])
    warnings = "\n".join(found(project)["warning"])
    for words in ("settings: {TimeZone: UTC}", "connect_attempts: 6", "plugins: fstore does not"):
        assert words in warnings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "TimeZone: is not set"),
        ({"TimeZone": "Europe/Berlin"}, "TimeZone: is Europe/Berlin"),
        ({"timezone": "Etc/UTC"}, None),
    ],
)
def test_the_zone_of_snapshots(tmp_path: Path, settings: dict[str, str], words: str | None) -> None:
    columns = {"k": "BIGINT", "dbt_valid_from": "TIMESTAMP", "dbt_valid_to": "TIMESTAMP"}
    snapshot = View("s", columns | {"x": "BIGINT"}, meta={"entities": {"u": "k"}}, snapshot=True)
    project = with_profile(make_project(tmp_path / "p", [snapshot]), settings=settings)
    warnings = found(project)["warning"]
    if words is None:
        assert warnings == []
    else:
        only(warnings, words, "dbt stamps snapshots (s)", "write settings: {TimeZone: UTC}")


def test_how_the_command_exits(tmp_path: Path) -> None:
    def run(project: Path, *options: str) -> Result:
        return CliRunner().invoke(main, ["check", "--project-dir", str(project), *options])

    view = View("v", COLUMNS, meta=GOOD)
    project = with_profile(make_project(tmp_path / "p", [view]), retries=None)
    warned = run(project)
    assert warned.exit_code == 0
    assert warned.stdout.startswith("warning: ")
    assert "1 feature view and 0 feature services are right." in warned.stdout
    make_project(project, [view, View("w", COLUMNS, meta={})], [Service("s", ["v:y"])])
    wrong = run(project)
    assert wrong.exit_code == 1
    assert "are right" not in wrong.stdout
    as_json = run(project, "--json")
    assert as_json.exit_code == 1
    findings = json.loads(as_json.stdout)
    assert [(it["severity"], it["node"], it["key"]) for it in findings] == [
        ("error", "s", "meta.fstore.features[0]"),
        ("error", "w", "meta.fstore.entities"),
        ("error", "w", "meta.fstore.event_timestamp"),
    ]
    (project / "target" / "manifest.json").write_text("{")
    broken = run(project)
    assert broken.exit_code == 1
    assert "Error: " in broken.stderr
