"""fstore check: what is wrong or doubtful, all of it, with exit codes that a script can use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fstore import FeatureStore
from tests.harness import Service, View, make_project

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


def test_wrong_declarations_are_findings(tmp_path: Path) -> None:
    views = [View("v", COLUMNS, meta=GOOD | {"ttl": "1 month", "onlin": 1})]
    errors = found(make_project(tmp_path / "p", views))["error"]
    assert len(errors) == 2


def test_no_view_at_all(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", COLUMNS)])
    only(found(project)["warning"], "no model has meta.fstore yet")


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
    assert "a:x and b:x would both be named x" in errors
    assert "a:xx is not a feature" in errors
    assert "far: depends_on: misses a, so dbt's lineage" in warnings
    assert "m pins no version" in warnings
    assert "write m.v1" in warnings


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
