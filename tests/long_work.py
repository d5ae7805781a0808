"""A small project and slow questions to it, for tests of limits, progress and interruption."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import yaml

import fstore
from tests.harness import WAREHOUSE, View, make_project, write_yaml

COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}
META = {"entities": {"user": "k"}, "event_timestamp": "t"}
FAST = View("v", COLUMNS, [(key, "2024-01-01 00:00:00", key * 10) for key in range(100)], META)
ENDLESS = "range(10_000_000) AS a(i), range(10_000_000) AS b(j)"
SLOW = f"SELECT (i + j) % 10 AS k, TIMESTAMP '2024-01-01' AS t, i AS x FROM {ENDLESS}"
ONE = "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS event_timestamp"
STREAMING = f"SELECT i % 100 AS k, TIMESTAMP '2024-01-02' AS event_timestamp FROM {ENDLESS}"
COUNTED = f"SELECT count(*) AS k, TIMESTAMP '2024-01-02' AS event_timestamp FROM {ENDLESS}"
# About 80 MB to sort.
SORTED = (
    "SELECT i % 100 AS k, TIMESTAMP '2024-01-02' AS event_timestamp, i, "
    "repeat(md5(i::VARCHAR), 4) AS padding FROM range(500_000) AS r(i) ORDER BY hash(i)"
)
OUTPUTS: dict[str, Callable[[fstore.RetrievalJob], object]] = {
    "arrow": lambda made: made.to_arrow(),
    "batches": lambda made: list(made.to_batches()),
    "df": lambda made: made.to_df(),
}


def set_in_profile(project: Path, key: str, **values: str) -> None:
    profiles = yaml.safe_load((project / "profiles.yml").read_text())
    profiles["shop"]["outputs"]["dev"][key] = values
    write_yaml(project / "profiles.yml", profiles)


def files(directory: Path) -> list[str]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(directory)) for path in found)


def make_slow_project(directory: Path) -> Path:
    """A project of one small view, whose profile ends endless work when the disk holds 2 GB."""
    make_project(directory, [FAST])
    set_in_profile(directory, "settings", max_temp_directory_size="2GB")
    return directory


def rebuild(project: Path, select: str) -> None:
    with duckdb.connect(str(project / WAREHOUSE)) as connection:
        connection.execute(f"DROP TABLE v; CREATE VIEW v AS {select}")


def stoppable(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process that Ctrl-C reaches, also where a shell has started the tests in its background."""
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, preexec_fn=heed, **options)
