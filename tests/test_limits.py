"""What a session may use: from fstore.yml, flags and Python, and what is said when it runs out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

import fstore
from fstore.cli import main
from fstore.offline.failure import query_error
from tests.harness import write_yaml
from tests.long_work import ONE, OUTPUTS, SORTED, files, make_slow_project, rebuild, set_in_profile

# What a session may use, told by the session.
TOLD = ONE + "".join(
    f", current_setting('{name}') AS {name}" for name in ("memory_limit", "threads")
)
TOLD += ", current_setting('temp_directory') AS temp_directory"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_slow_project(tmp_path / "p")


def cli(project: Path, *arguments: str, code: int = 0) -> Result:
    verb, *rest = arguments
    result = CliRunner(env={"FORCE_COLOR": None}).invoke(
        main, [verb, "--project-dir", str(project), *rest]
    )
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def told(project: Path, *flags: str) -> dict[str, Any]:
    asked = ("get-historical-features", "-e", TOLD, "-f", "v:x", "--json", *flags)
    answer: dict[str, Any] = json.loads(cli(project, *asked).stdout)
    return answer


def test_limits_of_fstore_yml_and_of_flags(project: Path, tmp_path: Path) -> None:
    found = told(project)
    assert found["temp_directory"] == str(project / ".fstore" / "dev" / "tmp")
    write_yaml(project / "fstore.yml", {"memory_limit": "512MiB", "temp_directory": "spill"})
    found = told(project, "--threads", "1")
    assert (found["memory_limit"], found["threads"]) == ("512.0 MiB", 1)
    assert found["temp_directory"] == str(project / "spill")
    flags = ("--memory-limit", "256MiB", "--temp-directory", str(tmp_path / "a" / "b"))
    found = told(project, *flags)
    assert (found["memory_limit"], found["temp_directory"]) == (
        "256.0 MiB",
        str(tmp_path / "a" / "b"),
    )
    for verb in ("materialize", "materialize-incremental"):
        assert "100" in cli(project, verb, *flags, "--threads", "1").stdout


def test_limits_from_python(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_yaml(project / "fstore.yml", {"memory_limit": "512MiB", "threads": 1})
    monkeypatch.chdir(project.parent)
    store = fstore.FeatureStore(project, threads=2, temp_directory=Path("near"))
    settings = store.project.settings
    assert (settings.memory_limit, settings.threads) == ("512MiB", 2)
    assert settings.temp_directory == str(project.parent / "near")
    with pytest.raises(fstore.RequestError, match=r"^memory_limit: 'lots' is not a size; write"):
        fstore.FeatureStore(project, memory_limit="lots")
    with pytest.raises(fstore.RequestError, match=r"^threads: must be a whole number from 1"):
        fstore.FeatureStore(project, threads=0)


@pytest.mark.parametrize("limit", ["1KB", "100KB"])
def test_a_limit_that_not_even_an_empty_session_can_keep(project: Path, limit: str) -> None:
    with (
        fstore.FeatureStore(project, memory_limit=limit, threads=2) as store,
        pytest.raises(fstore.OutOfMemoryError) as caught,
    ):
        store.get_historical_features("SELECT 1 AS k, now() AS event_timestamp", ["v"])
    assert str(caught.value).startswith(
        f"An empty session of DuckDB needs more than memory_limit, which is {limit} (for 2 threads)"
    )


@pytest.mark.parametrize("key", ["settings", "config_options"])
def test_a_profile_has_its_say_on_limits(project: Path, key: str) -> None:
    set_in_profile(project, key, temp_directory="/of/the/profile", memory_limit="300MiB")
    found = told(project)
    assert (found["temp_directory"], found["memory_limit"]) == ("/of/the/profile", "300.0 MiB")
    assert told(project, "--memory-limit", "1GiB")["memory_limit"] == "1.0 GiB"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--memory-limit", "lots"), "'lots' is not a size: write 4GB or 80%"),
        (("--memory-limit", "0GB"), "'0GB' is not a size: write 4GB or 80%"),
        (("--threads", "0"), "0 is not in the range 1<=x<=1024"),
    ],
)
@pytest.mark.parametrize("verb", ["get-historical-features", "materialize"])
def test_flags_that_are_wrong(project: Path, verb: str, flags: tuple[str, str], words: str) -> None:
    assert words in cli(project, verb, *flags, code=2).stderr


def test_a_temp_directory_that_cannot_be_used(project: Path) -> None:
    (project / "taken").write_text("a file")
    words = rf"temp_directory {project}/taken/x cannot be used: .*Not a directory.* Name another"
    with pytest.raises(fstore.ProjectError, match=words):
        fstore.FeatureStore(project, temp_directory=project / "taken" / "x").materialize()
    flags = ("--temp-directory", str(project / "taken" / "x"))
    asked = ("get-historical-features", "-e", ONE, "-f", "v:x", *flags)
    assert "cannot be used" in cli(project, *asked, code=1).stderr


def checksum(path: Path) -> object:
    """Of the rows in their order."""
    rows = "read_parquet(?, file_row_number = true)"
    query = f"SELECT count(*), sum(hash(file_row_number, i, x, padding)) FROM {rows}"
    with duckdb.connect() as connection:
        return connection.execute(query, [str(path)]).fetchone()


def test_what_exceeds_memory_goes_to_disk_and_leaves(project: Path, tmp_path: Path) -> None:
    def make(name: str, **limits: Any) -> Path:
        store = fstore.FeatureStore(project, threads=2, **limits)
        return store.get_historical_features(SORTED, ["v:x"]).to_parquet(tmp_path / name)

    before = files(project)
    whole = make("whole.parquet")
    assert checksum(make("spilled.parquet", memory_limit="120MB")) == checksum(whole)
    assert files(project) == before
    assert not (project / ".fstore" / "dev" / "tmp").exists()
    own = tmp_path / "own"
    make("own.parquet", memory_limit="120MB", temp_directory=own)
    assert files(own) == []

    (project / ".fstore" / "dev").rmdir()
    (project / ".fstore").rmdir()
    (project / ".fstore").write_text("in the way")
    with pytest.raises(fstore.OutOfMemoryError, match="there is no temp_directory") as caught:
        make("none.parquet", memory_limit="120MB")
    assert str(caught.value).startswith(
        "The query needs more than memory_limit, which is 114.4 MiB (for 2 threads), and there is "
        "no temp_directory for the rest. Choose a temp_directory that can be written to, or a "
        "higher memory_limit: in fstore.yml, or as options of the command. DuckDB: Out of Memory"
    )
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert not list(tmp_path.glob("*none*")) + list(tmp_path.glob(".*none*"))


@pytest.mark.parametrize("output", OUTPUTS)
def test_memory_that_is_too_small_even_so(project: Path, output: str) -> None:
    store = fstore.FeatureStore(project, memory_limit="8MB", threads=1)
    made = store.get_historical_features(SORTED, ["v:x"])
    with pytest.raises(fstore.OutOfMemoryError) as caught:
        OUTPUTS[output](made)
    tmp = project / ".fstore" / "dev" / "tmp"
    assert str(caught.value).startswith(
        "The query needs more than memory_limit, which is 7.6 MiB (for 1 threads), though all that "
        f"may go to temp_directory ({tmp}) does. Choose a higher memory_limit, or fewer threads"
    )
    assert (caught.value.memory_limit, caught.value.threads) == ("7.6 MiB", 1)
    assert caught.value.temp_directory == str(tmp)
    assert not caught.value.disk_full
    assert files(project / ".fstore") == []


def test_a_disk_that_is_too_small(project: Path, tmp_path: Path) -> None:
    set_in_profile(project, "settings", max_temp_directory_size="10MB")
    asked = ("get-historical-features", "-e", SORTED, "-f", "v:x", "--memory-limit", "50MB")
    said = cli(project, *asked, "--threads", "2", "-o", str(tmp_path / "a.parquet"), code=1).stderr
    tmp = project / ".fstore" / "dev" / "tmp"
    assert (
        "Error: The query needs more than memory_limit, which is 47.6 MiB (for 2 threads), and the "
        f"rest does not fit into temp_directory, which is {tmp}. Choose a temp_directory with more "
        "room, or a higher memory_limit: in fstore.yml, or as options of the command. DuckDB: Out "
        "of Memory Error: failed to offload data block"
    ) in said
    assert not list(tmp_path.glob("*.parquet"))


def test_a_disk_that_others_fill() -> None:
    place = "/x/duckdb_temp_1_0_storage_DEFAULT-6.tmp"
    words = f'IO Error: Could not write file "{place}": No space left'
    with duckdb.connect() as connection:
        error = query_error(connection, OSError(f"{words} on device"))
        assert isinstance(error, fstore.OutOfMemoryError)
        assert error.disk_full
        assert str(error).endswith(f"DuckDB: {words} on device")
        elsewhere = query_error(connection, OSError("/x/a.parquet: No space left on device"))
        assert not isinstance(elsewhere, fstore.OutOfMemoryError)


def test_a_materialize_that_lacks_memory(project: Path) -> None:
    store = fstore.FeatureStore(project, memory_limit="12MB", threads=1)
    rebuild(project, "SELECT i AS k, TIMESTAMP '2024-01-01' AS t, i AS x FROM range(3000000) r(i)")
    with pytest.raises(fstore.OutOfMemoryError, match=r"v \(models/v.sql\).* memory_limit, which"):
        store.materialize()
    assert store.status() is None
    assert files(project / ".fstore") == ["dev/.gitignore", "dev/online/LOCK"]
