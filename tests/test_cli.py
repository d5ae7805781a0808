"""The commands: what they print, for people and for programs, and how they exit."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from fstore.cli import main
from tests.harness import Service, View, make_project

ROWS = [
    (1, "2024-01-01 00:00:00", "1.5", "1.10"),
    (1, "2024-01-02 00:00:00", "nan", "2.20"),
    (2, "2024-01-01 00:00:00", None, None),
]
SPINE = (
    "select * from (values (1, timestamp '2024-01-01'), (3, timestamp '2024-01-01')) s(k, seen_at)"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": "DOUBLE", "price": "DECIMAL(10,2)"}
    meta = {"entities": {"user": "k"}, "event_timestamp": "t", "ttl": "30 days"}
    views = [
        View("v", columns, ROWS, meta),
        View("labels", {"k": "BIGINT", "seen_at": "TIMESTAMP"}),
    ]
    folder = tmp_path_factory.mktemp("cli") / "p"
    return make_project(folder, views, [Service("svc", ["v:x"])])


def run(project: Path, *arguments: str, code: int = 0) -> Result:
    verb, *rest = arguments
    result = CliRunner().invoke(main, [verb, "--project-dir", str(project), *rest])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_help_of_every_verb_teaches() -> None:
    for name in main.commands:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 8
        assert "--project-dir" in result.output


def test_check_list_describe(project: Path) -> None:
    assert "1 feature view and 1 feature service are right" in run(project, "check").stdout
    assert json.loads(run(project, "check", "--json").stdout) == []
    assert "30 days" in run(project, "list").stdout
    (service,) = json.loads(run(project, "list", "services", "--json").stdout)
    assert service["service"] == "svc"
    assert json.loads(run(project, "list", "entities", "--json").stdout)[0]["join_keys"] == "k"
    assert "DECIMAL(10,2)" in run(project, "describe", "v").stdout
    facts = json.loads(run(project, "describe", "v", "--json").stdout)
    assert facts["features"] == {"x": "DOUBLE", "price": "DECIMAL(10,2)"}


def test_a_users_mistake_is_a_sentence(project: Path, tmp_path: Path) -> None:
    assert "Did you mean v?" in run(project, "describe", "vv", code=1).stderr
    assert "is not a time" in run(project, "materialize", "--as-of", "soon", code=2).stderr
    assert "dbt_project.yml" in run(tmp_path, "list", code=1).stderr
    both = run(project, "get-online-features", "-e", "k=1", "--entity-rows", "[]", code=2)
    assert "give one of them" in both.stderr
    assert "KEY=VALUE" in run(project, "get-online-features", "-e", "k", code=2).stderr
    nonsense = run(project, "get-online-features", "--entity-rows", "{", code=2)
    assert "is not JSON" in nonsense.stderr
    twice = ("get-historical-features", "-e", SPINE, "-f", "v", "-o", "a", "--save-as", "b")
    assert "two places" in run(project, *twice, code=2).stderr


def test_sql(project: Path) -> None:
    text = run(project, "sql", "-e", SPINE, "-f", "v:x").stdout
    assert text.startswith("CREATE TEMP VIEW entity_df AS")
    assert '"wh"."main"."v"' in text


def test_a_training_set_as_csv_json_and_parquet(project: Path, tmp_path: Path) -> None:
    asked = ("get-historical-features", "-e", SPINE, "-f", "v:x,v:price")
    rows = list(csv.DictReader(io.StringIO(run(project, *asked).stdout)))
    assert [row["x"] for row in rows] == ["1.5", ""]
    lines = [json.loads(line) for line in run(project, *asked, "--json").stdout.splitlines()]
    assert lines[0] == {"k": 1, "seen_at": "2024-01-01T00:00:00", "x": 1.5, "price": "1.10"}
    assert lines[1]["price"] is None
    path = tmp_path / "train.parquet"
    assert "train.parquet" in run(project, *asked, "-o", str(path)).stderr
    assert pq.read_table(path).column("k").to_pylist() == [1, 3]


def test_saved_datasets(project: Path) -> None:
    run(
        project,
        "get-historical-features",
        "-e",
        SPINE,
        "--feature-service",
        "svc",
        "--save-as",
        "a",
    )
    (kept,) = json.loads(run(project, "saved-datasets", "--json").stdout)
    assert (kept["name"], kept["rows"]) == ("a", 2)
    again = ("get-historical-features", "-e", SPINE, "-f", "v", "--save-as", "a")
    assert "exists already" in run(project, *again, code=1).stderr


def test_materialize_read_status_rollback(project: Path) -> None:
    assert "Nothing is online" in run(project, "status").stdout
    said = json.loads(run(project, "materialize", "--as-of", "2024-01-01", "--json").stdout)
    assert said["views"][0]["rows"] == 2
    run(project, "materialize-incremental", "v", "--as-of", "2024-01-02")
    earlier = run(project, "materialize", "--as-of", "2024-01-01", code=1)
    assert "--force" in earlier.stderr
    read = ("get-online-features", "-f", "v", "--at", "2024-01-02", "--json")
    one = json.loads(run(project, *read, "-e", "k=1", "--metadata").stdout)
    assert one["price"] == ["2.20"]
    assert one["price__status"] == ["PRESENT"]
    several = run(project, *read, "--entity-rows", '[{"k": 1}, {"k": 9}]').stdout
    assert json.loads(several)["price"] == ["2.20", None]
    assert "k " in run(project, "get-online-features", "-f", "v", "-e", "k=2").stdout
    assert json.loads(run(project, "status", "--json").stdout)["views"][0]["view"] == "v"
    assert "2024-01-01" in run(project, "rollback").stdout


def test_json_is_json_whatever_a_feature_holds(project: Path) -> None:
    run(project, "materialize", "--as-of", "2024-01-02", "--force")
    read = ("get-online-features", "-f", "v", "-e", "k=1", "--at", "2024-01-02", "--json")

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is not JSON")

    assert json.loads(run(project, *read).stdout, parse_constant=refuse)["x"] == ["NaN"]


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    run_it = [sys.executable, "-m", "fstore", *arguments]
    return subprocess.run(run_it, capture_output=True, text=True, check=False, **options)


def test_help_loads_no_engine() -> None:
    code = (
        "import sys; from fstore.cli import main; "
        "bad = {'duckdb', 'sqlglot', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_pipe_that_closes_is_no_error(project: Path) -> None:
    query = f'{sys.executable} -m fstore get-historical-features --project-dir "{project}" '
    query += (
        "-e \"select 1 as k, timestamp '2024-01-01' as seen_at from range(200000)\" -f v | head -1"
    )
    done = subprocess.run(
        ["bash", "-c", query],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    assert done.stdout.startswith("k,seen_at,x,price")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_in_the_directory_of_the_project(project: Path) -> None:
    done = command("list", "--json", cwd=project)
    assert json.loads(done.stdout)[0]["view"] == "v"
