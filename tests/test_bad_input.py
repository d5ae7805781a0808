"""Every kind of bad input has its own sentence, and loses nothing that was there before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

import fstore
from fstore.cli import main
from tests.harness import View, make_project, write_manifest, write_tables, write_yaml

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
STATS = View(
    "stats",
    {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT", "y": "BIGINT"},
    [[1, "2024-01-01 00:00:00", 10, 11], [2, "2024-01-01 00:00:00", 20, 22]],
    META,
)
SPINE = pa.table({"k": [1, 2], "event_timestamp": [datetime(2024, 1, 2)] * 2})
K = datetime(2024, 1, 2, tzinfo=UTC)


def train(project: Path, spine: Any = SPINE, features: Any = ("stats:x",)) -> list[Any]:
    job = fstore.FeatureStore(project).get_historical_features(spine, list(features))
    column: list[Any] = job.to_arrow().column(features[0].partition(":")[2]).to_pylist()
    return column


def served(project: Path) -> list[Any]:
    answer = fstore.FeatureStore(project).get_online_features(
        ["stats:x"], [{"k": 1}, {"k": 2}], at=K
    )
    values: list[Any] = answer.to_dict()["x"]
    return values


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that serves: whatever goes wrong later, it must go on serving."""
    made = make_project(tmp_path / "project", [STATS])
    fstore.FeatureStore(made).materialize(as_of=K)
    assert served(made) == [10, 20]
    return made


@contextmanager
def refused(kind: type[Exception], *words: str) -> Iterator[None]:
    """The block raises an error of this kind whose sentence has all these words."""
    with pytest.raises(kind) as caught:
        yield
    for word in words:
        assert word in str(caught.value)


# The manifest.


def test_no_manifest(project: Path) -> None:
    (project / "target" / "manifest.json").unlink()
    for act in (train, lambda at: fstore.FeatureStore(at).materialize(as_of=K)):
        with refused(fstore.MissingFileError, "manifest.json", "dbt"):
            act(project)
    assert served(project) == [10, 20]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["manifest.json", "dbt parse"]),
        ('{"metadata": {"dbt_schema_ver', ["manifest.json", "dbt parse"]),
        ("[]", ["manifest.json", "not a manifest"]),
        ('{"metadata": null}', ["manifest.json", "not a manifest"]),
        ('{"nodes": {}}', ["manifest.json", "not a manifest"]),
        ("\x00\x01", ["manifest.json"]),
    ],
    ids=["empty", "half", "list", "null", "no-metadata", "binary"],
)
def test_a_manifest_that_is_none(project: Path, text: str, words: list[str]) -> None:
    (project / "target" / "manifest.json").write_text(text)
    with refused(fstore.ManifestError, *words):
        train(project)
    assert served(project) == [10, 20]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.999])
def test_a_half_written_manifest(project: Path, share: float) -> None:
    path = project / "target" / "manifest.json"
    text = path.read_text()
    path.write_text(text[: int(len(text) * share)])
    with refused(fstore.ManifestError, "not whole JSON"):
        train(project)
    path.write_text(text)
    assert train(project) == [10, 20]


@pytest.mark.parametrize("version", ["v11", "v13"])
def test_a_manifest_of_another_version(project: Path, version: str) -> None:
    path = project / "target" / "manifest.json"
    path.write_text(path.read_text().replace("manifest/v12", f"manifest/{version}"))
    with refused(fstore.ManifestError, version, "v12", "dbt"):
        train(project)


def test_a_manifest_of_another_schema(project: Path) -> None:
    write_manifest(project, [View("stats", STATS.columns, (), META, schema="prod")], [])
    for act in (train, lambda at: fstore.FeatureStore(at).materialize(as_of=K)):
        with refused(fstore.NotBuiltError, "stats", "schema prod", "another target", "dev"):
            act(project)
    assert served(project) == [10, 20]


def test_a_manifest_of_another_database(project: Path) -> None:
    path = project / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    for node in manifest["nodes"].values():
        node["database"] = "prod_wh"
    path.write_text(json.dumps(manifest))
    with refused(fstore.NotBuiltError, "stats", "prod_wh", "another target", "dev"):
        train(project)


def test_every_wrong_declaration_is_told_at_once(project: Path) -> None:
    wrong = [
        View("one", STATS.columns, (), META | {"tll": "7 days"}),
        View("two", STATS.columns, (), META | {"ttl": "7 months"}),
        View("three", STATS.columns, (), {"entities": {"user": "k"}}),
    ]
    write_manifest(project, [STATS, *wrong], [])
    with refused(fstore.DeclarationError, "one", "tll", "ttl", "two", "months", "three"):
        train(project)


# The project and its profile.


def test_no_project(tmp_path: Path) -> None:
    with refused(fstore.MissingFileError, "dbt_project.yml"):
        fstore.FeatureStore(tmp_path)
    with refused(fstore.ProjectError, str(tmp_path / "nowhere")):
        fstore.FeatureStore(tmp_path / "nowhere")


def test_an_unknown_target(project: Path) -> None:
    with refused(fstore.UnknownTargetError, "dve", "Did you mean dev?"):
        fstore.FeatureStore(project, target="dve")


def test_another_adapter(project: Path) -> None:
    output = {"type": "snowflake", "account": "x"}
    write_yaml(project / "profiles.yml", {"shop": {"target": "dev", "outputs": {"dev": output}}})
    with refused(fstore.ProfileError, "snowflake", "duckdb"):
        fstore.FeatureStore(project)


@pytest.mark.parametrize("path", [":memory:", "md:flights"])
def test_warehouses_that_are_no_file(project: Path, path: str) -> None:
    output = {"type": "duckdb", "path": path}
    write_yaml(project / "profiles.yml", {"shop": {"target": "dev", "outputs": {"dev": output}}})
    with refused(fstore.ProfileError, "shop.outputs.dev.path", "write path: <a file>"):
        fstore.FeatureStore(project)


# The warehouse.


def test_a_missing_warehouse(project: Path) -> None:
    (project / "wh.duckdb").unlink()
    for act in (train, lambda at: fstore.FeatureStore(at).materialize(as_of=K)):
        with refused(fstore.MissingFileError, "wh.duckdb", "dbt build"):
            act(project)
    assert not (project / "wh.duckdb").exists()
    assert served(project) == [10, 20]


@pytest.mark.parametrize("content", [b"", b"this is no database" * 500], ids=["empty", "text"])
def test_a_warehouse_that_is_no_database(project: Path, content: bytes) -> None:
    (project / "wh.duckdb").write_bytes(content)
    with refused(fstore.WarehouseError, "wh.duckdb", "not a valid DuckDB"):
        train(project)
    assert (project / "wh.duckdb").read_bytes() == content
    assert served(project) == [10, 20]


def test_a_view_that_is_not_built(project: Path) -> None:
    write_manifest(project, [STATS, View("later", STATS.columns, (), META)], [])
    with refused(fstore.NotBuiltError, "later", "wh.main.later", "dbt build --select later"):
        train(project, features=["later:x"])
    with refused(fstore.NotBuiltError, "later"):
        fstore.FeatureStore(project).materialize(as_of=K)
    assert train(project) == [10, 20]
    assert served(project) == [10, 20]


def test_an_empty_table(project: Path) -> None:
    write_tables(project, [View("stats", STATS.columns, (), META)])
    assert train(project) == [None, None]
    fstore.FeatureStore(project).materialize(as_of=K)
    assert served(project) == [None, None]


def test_a_feature_dropped_after_the_manifest(project: Path) -> None:
    alter(project, "ALTER TABLE stats DROP COLUMN x")
    with refused(fstore.UnknownNameError, "stats:x", "has: y"):
        train(project)
    assert train(project, features=["stats:y"]) == [11, 22]
    assert served(project) == [10, 20]


@pytest.mark.parametrize(("column", "role"), [("k", "join key"), ("t", "event_timestamp")])
def test_a_needed_column_dropped_after_the_manifest(project: Path, column: str, role: str) -> None:
    alter(project, f"ALTER TABLE stats DROP COLUMN {column}")
    for act in (train, lambda at: fstore.FeatureStore(at).materialize(as_of=K)):
        with refused(fstore.MissingColumnError, "stats", f"{role} {column}", "dbt run"):
            act(project)
    assert served(project) == [10, 20]


def test_a_view_over_something_that_is_gone(project: Path) -> None:
    alter(project, "CREATE TABLE raw AS FROM stats", "DROP TABLE stats")
    alter(project, "CREATE VIEW stats AS FROM raw", "DROP TABLE raw")
    with refused(fstore.FstoreError, "stats", "raw"):
        train(project)
    with refused(fstore.FstoreError, "stats", "raw"):
        fstore.FeatureStore(project).materialize(as_of=K)
    assert served(project) == [10, 20]


def test_a_view_that_fails_while_it_runs(project: Path) -> None:
    alter(project, "CREATE TABLE raw AS FROM stats", "DROP TABLE stats")
    failing = "SELECT k, t, CAST(k || 'x' AS BIGINT) AS x FROM raw"
    alter(project, f"CREATE VIEW stats AS {failing}")
    with refused(fstore.QueryError, "Conversion"):
        train(project)
    with refused(fstore.FstoreError, "stats", "Conversion"):
        fstore.FeatureStore(project).materialize(as_of=K)
    assert served(project) == [10, 20]


def alter(project: Path, *statements: str) -> None:
    with duckdb.connect(str(project / "wh.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


# The request.


def test_a_future_as_of(project: Path) -> None:
    store = fstore.FeatureStore(project, clock=lambda: K)
    with refused(fstore.RequestError, "as_of", "2030"):
        store.materialize(as_of=datetime(2030, 1, 1, tzinfo=UTC))
    assert served(project) == [10, 20]


@pytest.mark.parametrize("as_of", ["yesterday", "2024-13-01", 5], ids=str)
def test_an_as_of_that_is_no_time(project: Path, as_of: Any) -> None:
    with refused(fstore.RequestError, str(as_of), "is not a time"):
        fstore.FeatureStore(project).materialize(as_of=as_of)
    assert served(project) == [10, 20]


NO_SPINES: list[tuple[Any, list[str]]] = [
    ([{"k": 1}], ["entity_df", "list"]),
    ({"k": [1]}, ["entity_df", "dict"]),
    (7, ["entity_df", "int"]),
    (pd.Series([1]), ["entity_df", "Series"]),
    (Path("spine.parquet"), ["entity_df"]),
    ("", ["entity_df", "empty"]),
    ("nowhere", ["nowhere"]),
    ("stat", ["stat", "Did you mean stats?"]),
    ("DROP TABLE stats", ["entity_df", "SELECT"]),
    ("SELECT 1 AS k; SELECT 2 AS k", ["entity_df"]),
    ("SELECT * FROM stats; DROP TABLE stats", ["entity_df"]),
    ("SELEC k FROM stats", ["entity_df"]),
    ("SELECT k, t FROM nowhere", ["entity_df", "nowhere"]),
    ("SELECT nothing FROM stats", ["entity_df", "nothing"]),
    ("INSERT INTO stats SELECT * FROM stats", ["entity_df", "SELECT"]),
    ("COPY stats TO 'out.csv'", ["entity_df", "SELECT"]),
    (pd.DataFrame({"k": [1, "a"], "event_timestamp": [K, K]}), ["entity_df", "k"]),
    (pd.DataFrame({"k": [1], "event_timestamp": ["soon"]}), ["entity_df", "event_timestamp"]),
    (pd.DataFrame({"k": [object()], "event_timestamp": [K]}), ["entity_df", "k"]),
    (pd.DataFrame({0: [1], "event_timestamp": [K]}), ["entity_df", "0"]),
    (
        pd.DataFrame([[1, 2, K]], columns=["k", "k", "event_timestamp"]),
        ["entity_df", "more than one", "k"],
    ),
]


@pytest.mark.parametrize(
    ("spine", "words"),
    NO_SPINES,
    ids=[f"{at}-{type(it[0]).__name__}" for at, it in enumerate(NO_SPINES)],
)
def test_a_spine_that_is_none(project: Path, spine: Any, words: list[str]) -> None:
    before = (project / "wh.duckdb").read_bytes()
    with refused(fstore.FstoreError, *words):
        train(project, spine)
    assert (project / "wh.duckdb").read_bytes() == before
    assert train(project) == [10, 20]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ("stats:x", ["features", "list"]),
        ([7], ["7"]),
        ([""], ["''"]),
        ([None], ["None"]),
        ([":x"], [":x"]),
        (["stats:x "], ["stats:x"]),
    ],
    ids=["text", "number", "empty", "none", "no-view", "blank"],
)
def test_features_that_are_none(project: Path, features: Any, words: list[str]) -> None:
    store = fstore.FeatureStore(project)
    with refused(fstore.FstoreError, *words):
        store.get_historical_features(SPINE, features)
    with refused(fstore.FstoreError, *words):
        store.get_online_features(features, [{"k": 1}], at=K)


@pytest.mark.parametrize(
    "rows",
    ["k", 7, [1], [("k", 1)], [{1: 2}]],
    ids=["text", "number", "numbers", "tuples", "names"],
)
def test_entity_rows_that_are_none(project: Path, rows: Any) -> None:
    with refused(fstore.EntityRowsError, "entity_rows"):
        fstore.FeatureStore(project).get_online_features(["stats:x"], rows, at=K)


# The disk. What needs a user who is not root, or a limit, happens in a process of its own.

CHILD = """
import os, resource, signal, sys
from datetime import UTC, datetime
import pyarrow as pa
import fstore
project, out, uid, limit = sys.argv[1:5]
K = datetime(2024, 1, 2, tzinfo=UTC)
many = pa.table({"k": list(range(50_000)), "event_timestamp": [datetime(2024, 1, 2)] * 50_000})

def attempt(act):
    try:
        act()
        print("done")
    except Exception as error:
        print(type(error).__name__, str(error).replace(chr(10), " "))

store = fstore.FeatureStore(project)
sql = "SELECT i AS k, TIMESTAMP '2024-01-02' AS t FROM range(50000) AS r(i)"
frame_job = store.get_historical_features(many, ["stats:x"])
sql_job = store.get_historical_features(sql, ["stats:x"])
frame_job.to_arrow()
store.get_online_features(["stats:x"], [{"k": 1}], at=K)
if int(limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
if int(uid):
    os.setgid(int(uid))
    os.setuid(int(uid))
attempt(lambda: frame_job.to_parquet(os.path.join(out, "frame.parquet")))
attempt(lambda: sql_job.to_parquet(os.path.join(out, "sql.parquet")))
attempt(lambda: store.create_saved_dataset("kept", frame_job))
attempt(lambda: store.materialize(as_of=datetime(2024, 1, 3, tzinfo=UTC)))
print(store.get_online_features(["stats:x"], [{"k": 1}], at=K).to_dict()["x"])
print(fstore.FeatureStore(project).get_historical_features(sql, ["stats:x"]).to_arrow().num_rows)
"""
NOBODY = 65534


def in_child(project: Path, out: Path, uid: int = 0, limit: int = 0) -> list[str]:
    command = [sys.executable, "-W", "error", "-c", CHILD, str(project), str(out), str(uid)]
    done = subprocess.run(
        [*command, str(limit)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="fstore-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_directory_without_write_permission(open_folder: Path) -> None:
    project = make_project(open_folder / "project", [STATS])
    fstore.FeatureStore(project).materialize(as_of=K)
    out = open_folder / "out"
    out.mkdir()
    root = os.geteuid() == 0
    if not root:
        for folder in (project / ".fstore", *(project / ".fstore").rglob("*"), project, out):
            if folder.is_dir():
                folder.chmod(0o555)
    said = in_child(project, out, uid=NOBODY if root else 0)
    if not root:
        for folder in (project, out, project / ".fstore", *(project / ".fstore").rglob("*")):
            if folder.is_dir():
                folder.chmod(0o755)
    for sentence, where in zip(
        said[:4], ["frame.parquet", "sql.parquet", "", ".fstore"], strict=True
    ):
        assert "Permission denied" in sentence, said
        assert "cannot be written" in sentence, said
        assert where in sentence, said
    assert said[4:] == ["[10]", "50000"]  # what only reads goes on
    assert list(out.iterdir()) == []
    assert served(project) == [10, 20]


def test_files_that_are_read_only(open_folder: Path) -> None:
    project = make_project(open_folder / "project", [STATS])
    fstore.FeatureStore(project).materialize(as_of=K)
    out = open_folder / "out"
    out.mkdir()
    out.chmod(0o777)
    for name in ("frame.parquet", "sql.parquet"):
        (out / name).write_text("older")
        (out / name).chmod(0o444)
    said = in_child(project, out, uid=NOBODY if os.geteuid() == 0 else 0)
    assert said[:2] == [
        f"OutputError {out / name} cannot be written: the file that is there is read-only."
        for name in ("frame.parquet", "sql.parquet")
    ]
    assert {path.read_text() for path in out.iterdir()} == {"older"}


def test_a_full_disk(project: Path, tmp_path: Path) -> None:
    rows = [[key, "2024-01-01 00:00:00", key * 7919, str(key * 104729)] for key in range(50_000)]
    write_tables(project, [View("stats", STATS.columns, rows, META)])
    out = tmp_path / "out"
    out.mkdir()
    (out / "frame.parquet").write_text("older")
    said = in_child(project, out, limit=30_000)
    for sentence in said[:4]:
        assert "cannot be written" in sentence, said
    assert said[4:] == ["[10]", "50000"]
    assert {path.name for path in out.iterdir()} == {"frame.parquet"}  # no half file is left
    assert (out / "frame.parquet").read_text() == "older"
    assert fstore.FeatureStore(project).saved_datasets() == ()
    assert served(project) == [10, 20]
    fstore.FeatureStore(project).materialize(as_of=K)
    assert served(project) == [7919, 15838]


# On the command line: the sentence alone, and the exit code.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get-online-features", "--features", "stats:xx", "--entity", "k=1"], ["stats:xx"]),
        (["materialize", "nowhere"], ["nowhere"]),
        (["describe", "stat"], ["stat", "Did you mean stats?"]),
        (["check", "--target", "dve"], ["dve", "Did you mean dev?"]),
    ],
    ids=["feature", "view", "describe", "target"],
)
def test_no_traceback_reaches_the_user(
    project: Path, arguments: list[str], words: list[str]
) -> None:
    result = CliRunner().invoke(main, [*arguments, "--project-dir", str(project)])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output


def test_no_manifest_on_the_command_line(project: Path) -> None:
    (project / "target" / "manifest.json").unlink()
    result = CliRunner().invoke(main, ["list", "--project-dir", str(project)])
    assert result.exit_code == 1
    assert "manifest.json" in result.output
