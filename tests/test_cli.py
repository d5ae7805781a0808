"""The commands: what they print, for people and for programs, and how they exit."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import fstore
from fstore.cli import main, show
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


@pytest.fixture(scope="module")
def online(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, published."""
    copy = tmp_path_factory.mktemp("online") / "p"
    shutil.copytree(project, copy)
    run(copy, "materialize", "--as-of", "2024-01-02")
    return copy


def run(project: Path, *arguments: str, code: int = 0) -> Result:
    verb, *rest = arguments
    plain = CliRunner(env={"FORCE_COLOR": None})
    result = plain.invoke(main, [verb, "--project-dir", str(project), *rest])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize("name", main.commands)
def test_help_of_every_verb_teaches(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"], terminal_width=100)
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"fstore {name}" in result.output
    assert all(
        option in result.output for option in ("--project-dir", "--profiles-dir", "--target")
    )
    assert max(map(len, result.output.splitlines())) <= 100


def test_help_names_every_verb() -> None:
    output = CliRunner().invoke(main, ["-h"]).output
    assert all(f"\n  {name} " in output for name in main.commands)
    assert "Exit codes" in output
    assert CliRunner().invoke(main, ["--version"]).output.strip().endswith(fstore.__version__)
    assert CliRunner().invoke(main, ["materialise"]).exit_code == 2


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


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["list", "columns"], 2, "is not one of 'views', 'services', 'entities'"),
        (["list", "--target", "prod"], 1, "prod is not a target of profile shop"),
        (["describe"], 2, "Missing argument"),
        (["sql", "-f", "v"], 1, "Give entity_df"),
        (["sql", "-e", "labels"], 1, "Give features or feature_service"),
        (["sql", "-e", "label", "-f", "v"], 1, "Did you mean labels?"),
        (["sql", "-e", "labels", "-f", "v:xx"], 1, "v:xx is not a feature"),
        (["sql", "--start", "2024-02-30", "-f", "v"], 2, "is not a time"),
        (["sql", "--start", "0001-01-01T00:00:00+05:00", "-f", "v"], 2, "is not a time"),
        (["sql", "--start", "2024-02-01", "--end", "2024-01-01", "-f", "v"], 1, "is after end"),
        (["get-historical-features", "-e", "selec 1", "-f", "v"], 1, "not SQL that DuckDB reads"),
        (["get-historical-features", "-e", "labels", "-f", "v", "-o", "/"], 2, "is a directory"),
        (
            ["get-historical-features", "-e", "v", "-f", "v", "-o", "a.CSV"],
            2,
            "name it a.parquet, or",
        ),
        (
            ["get-historical-features", "-e", "labels", "-f", "v", "-o", ""],
            1,
            ". cannot be written",
        ),
        (["get-historical-features", "-e", "labels", "-f", "v", "--save-as", "a b"], 1, "a name"),
        (["materialize", "vv"], 1, "Did you mean v?"),
        (["materialize", "--as-of", "2999-01-01"], 1, "2999-01-01"),
        (["get-online-features", "-f", "v", "-e", "k=1", "-e", "k=2"], 2, "k is given twice"),
        (["get-online-features", "-e", "k=1"], 1, "Give features or feature_service"),
    ],
)
def test_each_mistake(online: Path, arguments: list[str], code: int, words: str) -> None:
    assert words in run(online, *arguments, code=code).stderr


@pytest.mark.parametrize("rows", ["3", '"k"', "null", "[[1]]", '[{"k": [1]}]', '[{"k": 1}, {}]'])
def test_entity_rows_that_are_none(online: Path, rows: str) -> None:
    said = run(online, "get-online-features", "-f", "v", "--entity-rows", rows, code=1).stderr
    assert said.startswith("Error: entity_rows")


@pytest.mark.parametrize("content", ["{", "[]", '{"metadata": {}}', b"\xff\xfe", None])
def test_a_broken_manifest(tmp_path: Path, content: str | bytes | None) -> None:
    project = make_project(tmp_path / "p", [View("v", {"k": "BIGINT"})])
    manifest = project / "target" / "manifest.json"
    manifest.unlink()
    if content is None:
        manifest.mkdir()
    else:
        manifest.write_bytes(content.encode() if isinstance(content, str) else content)
    for verb in ("check", "list", "materialize"):
        assert "manifest.json" in run(project, verb, code=1).stderr


def test_a_broken_project(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [View("v", {"k": "BIGINT"})])
    for name in ("fstore.yml", "profiles.yml", "dbt_project.yml"):
        (project / name).write_text("{a: [")
        assert name in run(project, "list", code=1).stderr
    assert "is a file" in run(project / "profiles.yml", "list", code=2).stderr


def test_nothing_there_yet(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    assert "give a dbt model meta.fstore" in run(project, "list").stdout
    assert "exposure of type ml" in run(project, "list", "services").stdout
    assert "No entity yet" in run(project, "list", "entities").stdout
    assert json.loads(run(project, "list", "--json").stdout) == []
    assert "--save-as NAME" in run(project, "saved-datasets").stdout
    assert "fstore materialize" in run(project, "status").stdout
    assert json.loads(run(project, "status", "--json").stdout) == {"generation": None, "views": []}
    assert "fstore materialize" in run(project, "rollback", code=1).stderr
    assert "fstore materialize" in run(project, "get-online-features", "-f", "v", code=1).stderr


def test_what_is_not_built(tmp_path: Path) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}
    meta = {"entities": {"user": "k"}, "event_timestamp": "t"}
    views = [View("gone", columns, meta=meta, built=False), View("here", columns, meta=meta)]
    project = make_project(tmp_path / "p", views)
    assert "Run: dbt build --select gone" in run(project, "describe", "gone").stdout
    assert json.loads(run(project, "describe", "gone", "--json").stdout)["built"] is False
    assert "gone (wh.main.gone) is not built yet" in run(project, "materialize", code=1).stderr
    assert "Nothing is online" in run(project, "status").stdout, "none of them, for one failed"
    some = run(project, "materialize", "--keep-going", code=1)
    assert "Failed: gone: gone (wh.main.gone) is not built yet" in some.stderr
    assert "1/2 gone" in some.stderr
    assert "here" in some.stdout
    as_json = json.loads(run(project, "materialize", "--keep-going", "--json", code=1).stdout)
    assert list(as_json["failed"]) == ["gone"]
    assert [it["view"] for it in as_json["views"]] == ["here"]


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


def refuse(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


AFTERWARDS = """
import os, sys
from pathlib import Path
from fstore.cli import main
try:
    main(sys.argv[1:])
finally:
    group = Path("/proc/self/autogroup")
    told = group.read_text().split()[-1] if os.access(group, os.W_OK) else "none"
    print("niceness", os.nice(0), told, "pandas" in sys.modules)
"""


@pytest.mark.parametrize(
    ("words", "given", "niceness"),
    [
        (["materialize"], 0, 10),
        (["materialize-incremental"], 0, 10),
        (["materialize"], 3, 3),  # as in: nice -n 3 fstore materialize
        (["materialize"], 15, 15),
        (["get-online-features", "-f", "v:x", "-e", "k=1"], 0, 0),
    ],
)
def test_what_works_in_the_background_gives_way_and_takes_little(
    online: Path, tmp_path: Path, words: list[str], given: int, niceness: int
) -> None:
    if os.nice(0):
        pytest.skip("these tests have a niceness of their own")
    shutil.copytree(online, tmp_path / "p")
    done = subprocess.run(
        [sys.executable, "-c", AFTERWARDS, *words, "--project-dir", str(tmp_path / "p")],
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        preexec_fn=functools.partial(os.nice, given),
    )
    assert done.returncode == 0, done.stderr
    _, own, of_session, loaded_pandas = done.stdout.splitlines()[-1].split()
    assert int(own) == niceness
    assert of_session in ("none", "10" if niceness == 10 else "0")
    assert loaded_pandas == "False"


def test_json_is_json_whatever_a_feature_holds_online(online: Path) -> None:
    read = ("get-online-features", "-f", "v", "-e", "k=1", "--at", "2024-01-02", "--json")
    assert json.loads(run(online, *read).stdout, parse_constant=refuse)["x"] == ["NaN"]


# type, value as text: as JSON, as CSV
ODD = [
    ("BOOLEAN", "true", True, "true"),
    ("DOUBLE", "nan", "NaN", "nan"),
    ("DOUBLE", "-inf", "-Infinity", "-inf"),
    (
        "DECIMAL(38,0)",
        "12345678901234567890123456789012345678",
        *["1234567890" * 3 + "12345678"] * 2,
    ),
    ("HUGEINT", str(2**127 - 1), 2**127 - 1, str(2**127 - 1)),
    ("DATE", "2024-02-01", "2024-02-01", "2024-02-01"),
    ("DATE", "infinity", "infinity", "infinity"),
    (
        "TIMESTAMP",
        "2024-02-01 10:00:00.5",
        "2024-02-01T10:00:00.500000",
        "2024-02-01 10:00:00.500000",
    ),
    ("TIMESTAMP", "-infinity", "-infinity", "-infinity"),
    ("TIMESTAMP", "290000-01-01", "290000-01-01T00:00:00.000000", "290000-01-01T00:00:00.000000"),
    (
        "TIMESTAMPTZ",
        "2024-02-01 10:00+02",
        "2024-02-01T08:00:00+00:00",
        "2024-02-01 08:00:00+00:00",
    ),
    ("TIMESTAMPTZ", "infinity", "infinity", "infinity"),
    ("TIMESTAMP_NS", "2024-02-01 00:00:00.123456789", *["2024-02-01{}00:00:00.123456789"] * 2),
    ("TIME", "10:00", "10:00:00", "10:00:00"),
    ("VARCHAR", 'say "a, b"\n', 'say "a, b"\n', 'say "a, b"\n'),
    ("UUID", "0" * 31 + "1", *["00000000-0000-0000-0000-000000000001"] * 2),
    ("BLOB", "\\xAA", "aa", "aa"),
    ("DOUBLE[]", "[1, nan, NULL]", [1, "NaN", None], '[1.0, "NaN", null]'),
    (
        "STRUCT(a DOUBLE, b TIMESTAMP[])",
        "{'a': inf, 'b': [infinity, 2024-01-01]}",
        {"a": "Infinity", "b": ["infinity", "2024-01-01T00:00:00"]},
        '{"a": "Infinity", "b": ["infinity", "2024-01-01T00:00:00"]}',
    ),
    ("MAP(VARCHAR, INTEGER)", "{x=1}", {"x": 1}, '{"x": 1}'),
]


def test_json_and_csv_whatever_a_feature_holds(tmp_path: Path) -> None:
    columns = {f"c{place}": kind for place, (kind, *_) in enumerate(ODD)}
    row = ("1", "2024-01-01", *(value for _, value, *_ in ODD))
    meta = {"entities": {"user": "k"}, "event_timestamp": "t"}
    view = View("odd", {"k": "BIGINT", "t": "TIMESTAMP"} | columns, [row], meta)
    project = make_project(tmp_path / "p", [view])
    spine = "select unnest([1, 2]) as k, timestamp '2024-03-01' as seen_at"
    asked = ("get-historical-features", "-e", spine, "-f", "odd")
    lines = run(project, *asked, "--json").stdout.splitlines()
    known, unknown = (json.loads(line, parse_constant=refuse) for line in lines)
    one, other = csv.DictReader(io.StringIO(run(project, *asked).stdout))
    for name, (kind, _, in_json, in_csv) in zip(columns, ODD, strict=True):
        wanted = in_json.format("T") if kind == "TIMESTAMP_NS" else in_json
        assert (known[name], unknown[name]) == (wanted, None), kind
        wanted = in_csv.format(" ") if kind == "TIMESTAMP_NS" else in_csv
        assert (one[name], other[name]) == (wanted, ""), kind


def test_tables_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, online: Path) -> None:
    monkeypatch.setattr(show, "on_terminal", lambda: True)
    for width in (40, 60, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        for verb in (["list"], ["status"], ["describe", "v"], ["list", "services"]):
            lines = run(online, *verb).stdout.splitlines()
            assert max(map(len, lines)) <= width
    spine = (
        "select 1 as k, timestamp '2024-03-01' as seen_at, 'x' || i as label from range(30) r(i)"
    )
    asked = ("get-historical-features", "-e", spine, "-f", "v", "--full-feature-names")
    monkeypatch.setenv("COLUMNS", "34")
    shown = run(online, *asked).stdout
    head, *rows, hidden, more = shown.splitlines()
    assert head.split() == ["k", "seen_at", "label"]
    assert rows[0].split() == ["1", "2024-03-01", "00:00:00", "x0"]
    assert len(rows) == 20
    assert hidden == "2 more columns: v__x, v__price"
    assert more == "... 10 more rows; -o train.parquet keeps all."


@pytest.mark.parametrize(
    ("available", "wanted"),
    [(58, [4, 30, 20]), (40, [4, 16, 16]), (32, [4, 12, 12]), (31, [4, 25]), (5, [4]), (3, [4])],
)
def test_what_fits(available: int, wanted: list[int]) -> None:
    assert show.fitted([4, 30, 20], [4, 12, 12], available) == wanted


def test_a_table_is_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["[red]a[/red]\nb", 1234, None], ["ä本", None, timedelta(hours=30, microseconds=1)]]
    show.table("all", ["name", "count", "age"], rows)
    assert capsys.readouterr().out.splitlines() == [
        "all",
        "name            count             age",
        "[red]a[/red] b  1,234               -",
        "ä本                 -  1 day, 6:00:00",
    ]


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


def test_on_a_terminal(online: Path) -> None:
    ours, theirs = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "fstore", "materialize", "--project-dir", str(online)],
        stdout=theirs,
        stderr=theirs,
        check=False,
        env=os.environ | {"COLUMNS": "60", "TERM": "xterm"},
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    table = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", shown).splitlines()[-2:]
    assert table[0].split() == ["view", "rows", "keys", "seconds", "as_of"]
    assert table[1].startswith("v        2")


def test_in_the_directory_of_the_project(project: Path) -> None:
    done = command("list", "--json", cwd=project)
    assert json.loads(done.stdout)[0]["view"] == "v"
