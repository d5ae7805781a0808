"""No room left: a clear error, the last good state stays, nothing half written, a retry works.

A limit on the size of any file stands in for a full disk where nothing can be mounted; it breaks
off every write in turn, wherever it is. A small file system of its own does so as root.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fstore.errors import OnlineStoreError, OutputError
from tests.online import Online, stats

KEYS = 3_000
PUSHED = 40  # rows of a push, 300 bytes each
SIZES = (0, 100, 5_000, 13_000, 70_000, 200_000)


def source(x: int) -> list[list[Any]]:
    return [[key, "2024-01-01", x, f"{key} of the source"] for key in range(KEYS)]


def pushed(x: int, time: str) -> list[dict[str, Any]]:
    return [{"k": key, "t": time, "x": x, "y": "pushed" * 50} for key in range(PUSHED)]


LOCKS = {"LOCK", "PUSHES", "NOTICES"}  # they tell of writers, not of rows


def state(online: Online) -> dict[str, bytes]:
    """Every file that is there, but for who holds a lock."""
    found = {path.name: path.read_bytes() for path in online.folder.iterdir()}
    return {name: content for name, content in found.items() if name not in LOCKS}


@pytest.fixture
def online(tmp_path: Path) -> Online:
    project = Online(tmp_path, [stats(source(1))])
    project.materialize()
    project.push(pushed(2, "2024-01-02"))
    project.change([stats(source(3))])
    return project


def attempt(directory: Path, what: str, most: int | None) -> str:
    """In a process of its own, with no file longer than ``most``: say what was raised."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.online"])
    here, there = forks.Pipe(duplex=False)
    worker = forks.Process(target=_attempt, args=(directory, what, most, there))
    worker.start()
    there.close()
    told: str = here.recv()
    worker.join()
    here.close()
    return told


def _attempt(directory: Path, what: str, most: int | None, told: Any) -> None:
    online = Online.at(directory)
    online.x(1)
    if most is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        if what == "materialize":
            online.materialize()
        else:
            online.push(pushed(4, "2024-01-04"), to=what)
    except (OnlineStoreError, OutputError) as error:
        told.send(f"{type(error).__name__}: {error}")
    except BaseException as error:
        told.send(f"not ours: {error!r}")
    else:
        told.send("done")


@pytest.mark.parametrize("most", SIZES)
def test_materialize(online: Online, most: int) -> None:
    before = state(online)
    told = attempt(online.directory, "materialize", most)
    assert told.startswith("OnlineStoreError") and "cannot be written" in told, told
    assert state(online) == before
    assert online.x(0, PUSHED) == [2, 1]
    assert attempt(online.directory, "materialize", None) == "done"
    assert online.x(0, PUSHED) == [2, 3]


def test_push(online: Online) -> None:
    before = state(online)
    (log,) = (name for name in before if name.endswith(".log"))
    length = len(before[log])
    for more in (0, 1, 7, 100, 9_000):
        told = attempt(online.directory, "online", length + more)
        assert told.startswith("OnlineStoreError") and "cannot be written" in told, told
        assert state(online) == before
        assert online.x(0, PUSHED) == [2, 1]
    assert attempt(online.directory, "online", None) == "done"
    assert online.x(0, PUSHED) == [4, 1]


def test_a_reader_forgets_a_push_that_could_not_be_synced(
    online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, sync = Online.at(online.directory), os.fsync

    def broken(_: int) -> None:
        assert other.x(0) == [4]  # whole in the file, and not acknowledged
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OnlineStoreError, match="Input/output error"):
        online.push(pushed(4, "2024-01-04"))
    monkeypatch.setattr(os, "fsync", sync)
    assert other.x(0) == online.x(0) == [2]
    online.push(pushed(5, "2024-01-05"))
    assert other.x(0) == online.x(0) == [5]


@pytest.mark.parametrize("to", ["offline", "online_and_offline"])
def test_push_offline(online: Online, to: str) -> None:
    before = state(online)
    told = attempt(online.directory, to, 200)
    assert told.startswith("OutputError"), told
    assert state(online) == before
    assert not [path for path in online.folder.parent.rglob("pushed/**/*") if path.is_file()]
    assert attempt(online.directory, to, None) == "done"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes, where one can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("kilobytes", [0, 4, 64, 400, 800])
def test_a_disk_that_is_full(small_disk: Path, tmp_path: Path, kilobytes: int) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / ".fstore").symlink_to(small_disk)
    online = Online(project, [stats(source(1))])
    online.materialize()
    online.push(pushed(2, "2024-01-02"))
    online.change([stats(source(3))])
    before = state(online)
    fill(small_disk, kilobytes)
    told = attempt(project, "materialize", None)
    assert told.startswith("OnlineStoreError") and "cannot be written" in told, told
    assert state(online) == before
    fill(small_disk, 0)
    for _ in range(5):  # until the last page of the log is full
        told = attempt(project, "online", None)
    assert told.startswith("OnlineStoreError") and "No space left" in told, told
    assert online.x(0, PUSHED)[1] == 1
    (small_disk / "ballast").unlink()
    assert attempt(project, "online", None) == "done"
    assert attempt(project, "materialize", None) == "done"
    assert online.x(0, PUSHED) == [4, 3]


def fill(disk: Path, kilobytes: int) -> None:
    """Leave so much room."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    found = os.statvfs(disk)
    room = found.f_bavail * found.f_bsize - kilobytes * 1024
    with ballast.open("wb") as file:
        file.write(b"\0" * max(0, room))
