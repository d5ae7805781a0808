"""The dbt package of the wheel, installed as its users install it: packages.yml and dbt deps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

import fstore
from fstore import FeatureStore
from tests import harness

PACKAGE = Path(fstore.__file__).parent / "dbt_package"
MODEL = """
select i % 3 as account, timestamp '2024-01-01' + to_days(7 - i) as read_at, i as x
from range(6) as rows(i)
{{ fstore.order_by_key_and_time() }}
"""
UNITED = """
select * from {{ ref('stg_pushes') }}
union all by name
{{ fstore.pushed_rows('pushes', like=ref('stg_pushes')) }}
"""


def dbt(project: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", *arguments]
    environment = os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = harness.make_project(tmp_path_factory.mktemp("package") / "project")
    (project / "models").mkdir()
    (project / "models" / "readings.sql").write_text(MODEL)
    (project / "models" / "by_clock.sql").write_text(MODEL)
    (project / "models" / "stg_pushes.sql").write_text("select 1 as k, now()::date as t, 5 as x")
    (project / "models" / "pushes.sql").write_text(UNITED)
    meta = {"fstore": {"entities": {"account": "account"}, "event_timestamp": "read_at"}}
    clock = {"fstore": {"entities": {}}}
    models = [
        {"name": "readings", "config": {"materialized": "table", "meta": meta}},
        {
            "name": "by_clock",
            "config": {"materialized": "table", "event_time": "read_at", "meta": clock},
        },
        {
            "name": "pushes",
            "config": {
                "materialized": "table",
                "meta": {"fstore": {"entities": {"thing": "k"}, "event_timestamp": "t"}},
            },
        },
    ]
    harness.write_yaml(project / "models" / "models.yml", {"models": models})
    harness.write_yaml(project / "packages.yml", {"packages": [{"local": str(PACKAGE)}]})
    dbt(project, "deps")
    dbt(project, "run")
    return project


def stored(project: Path, table: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(project / harness.WAREHOUSE), read_only=True) as connection:
        return connection.execute(f"SELECT account, x FROM {table} ORDER BY rowid").fetchall()


def test_rows_are_stored_by_key_and_time(project: Path) -> None:
    assert stored(project, "readings") == [(0, 3), (0, 0), (1, 4), (1, 1), (2, 5), (2, 2)]


def test_without_keys_by_the_event_time_of_dbt(project: Path) -> None:
    assert [x for _, x in stored(project, "by_clock")] == [5, 4, 3, 2, 1, 0]


def test_the_package_is_named_and_versioned_as_the_library() -> None:
    declared = yaml.safe_load((PACKAGE / "dbt_project.yml").read_text())
    assert (declared["name"], declared["version"]) == ("fstore", fstore.__version__)


def test_rows_pushed_for_dbt_are_united(project: Path) -> None:
    def united() -> list[tuple[object, ...]]:
        with duckdb.connect(str(project / harness.WAREHOUSE), read_only=True) as connection:
            return connection.execute("SELECT k, x FROM pushes ORDER BY k").fetchall()

    assert united() == [(1, 5)]
    with FeatureStore(project) as store:
        store.materialize()
        store.push("pushes", [{"k": 2, "t": "2024-01-01", "x": 7}], to="offline")
    dbt(project, "run", "--select", "pushes")
    assert united() == [(1, 5), (2, 7)]
    with FeatureStore(project) as store:
        store.materialize()
        answer = store.get_online_features(["pushes:x"], [{"k": 2}, {"k": 1}])
        assert answer.to_dict()["x"] == [7, 5]
