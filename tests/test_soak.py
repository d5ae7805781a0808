"""Many processes on one online store, some of them killed: every read is one the model allows.

Short in the ordinary run; at full length with `make soak`.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fstore import FeatureStore
from tests import soak_load
from tests.serving import free_port
from tests.soak_load import PAIRS, SEEN, Work, clock
from tests.soak_model import SOURCE, history_of

# Who is at work, and of those who write, which part of the pairs is theirs.
SLOTS = ("serve 0", "publish 0", "write 0", "write 1", "send 2", "read 0", "read 1", "ask 0")
WRITERS = 3
KILLED = ("publish 0", "write 0", "send 2", "publish 0", "write 1", "serve 0")
STEADY = 8 * 2**20  # bytes that a process may grow by


@dataclass
class Load:
    """The processes of a run."""

    directory: Path
    pauses: dict[str, float]  # between the operations of each role
    may_be_down: bool = False
    gone: dict[str, int] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.notes = self.directory / "notes"
        self.notes.mkdir(parents=True)
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.soak_load"])
        self._numbers = iter(range(1, 10**6))
        self._running: dict[str, tuple[Work, multiprocessing.process.BaseProcess]] = {}
        project = self.directory / "project"
        soak_load.new_project(project)
        first = self.work("first 0")
        journal, serial, stamp = first.journal(), next(first.serials()), clock()
        soak_load.build(project, serial, stamp)
        journal.begin(SOURCE, None, serial, stamp, clock())
        FeatureStore(project).materialize()
        journal.end(serial, clock())
        self.gone[first.name] = clock()

    def work(self, slot: str) -> Work:
        role, place = slot.split()
        number, pause = next(self._numbers), self.pauses.get(role, 0.0)
        return Work(
            self.directory / "project", self.notes, f"{role}-{number}", number, pause, self.port,
            self.may_be_down, WRITERS, int(place),
        )  # fmt: skip

    def start(self, slot: str) -> None:
        work = self.work(slot)
        role: Callable[[Work], None] = getattr(soak_load, slot.split()[0])
        process = self._forks.Process(target=soak_load.run, args=(role, work))
        process.start()
        self._running[slot] = work, process

    def start_all(self) -> None:
        for slot in SLOTS:
            self.start(slot)
            if slot.startswith("serve"):
                self.wait_for_the_server()

    def wait_for_the_server(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                soak_load.from_server(self.work("wait 0"))([0])
            except soak_load.DOWN:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def kill(self, slot: str) -> None:
        """Kill -9 a process, with those that it started, and start one like it."""
        self._stop(slot)
        self.kills[slot.split()[0]] += 1
        self.start(slot)

    def _stop(self, slot: str) -> None:
        work, process = self._running.pop(slot)
        assert process.pid is not None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has no group yet, and has started nothing
            process.kill()
        process.join()
        self.gone[work.name] = clock()

    def stop(self) -> None:
        for slot in reversed(list(self._running)):
            self._stop(slot)

    def wrong(self) -> list[str]:
        """What the processes saw go wrong, and every read that the model does not allow."""
        found = [
            f"{path.stem}: {line}"
            for path in sorted(self.notes.glob("*.wrong"))
            for line in path.read_text().splitlines()
        ]
        history = history_of(self.notes, self.gone, PAIRS)
        for name, pair, serial, visits, began, ended in self.seen():
            allowed = history.acceptable(pair, began, ended)
            if (serial or None) not in allowed:
                found.append(f"{name}: pair {pair} gave {serial}, not {allowed}, at {began}")
            counted = history.acceptable_visits(pair, began, ended)
            if visits not in counted:
                found.append(f"{name}: pair {pair} has {visits} visits, not {counted}, at {began}")
        return found

    def seen(self) -> Iterator[tuple[str, int, int, int, int, int]]:
        for path in sorted(self.notes.glob("*.seen")):
            content = path.read_bytes()
            for values in SEEN.iter_unpack(content[: len(content) // SEEN.size * SEEN.size]):
                yield (path.stem, *values)

    def growth(self) -> dict[str, int]:
        """By how much the memory of each process grew in the last two thirds of the run."""
        grown = {}
        for path in sorted(self.notes.glob("*.memory")):
            sizes = [int(line.split()[1]) for line in path.read_text().splitlines()]
            third = len(sizes) // 3
            if third:
                grown[path.stem] = min(sizes[-third:]) - max(sizes[third : 2 * third])
        return grown


def mixed_load(directory: Path, seconds: float, publish_pause: float) -> None:
    pauses = {"publish": publish_pause, "write": 0.02, "send": 0.03, "read": 0.01, "ask": 0.01}
    load = Load(directory, pauses)
    load.start_all()
    try:
        time.sleep(seconds)
    finally:
        load.stop()
    wrong = load.wrong()
    assert not wrong, (len(wrong), wrong[:5])
    assert sum(1 for _ in load.seen()) > 100 * seconds
    assert max(load.growth().values()) < STEADY, load.growth()


def kill_again_and_again(directory: Path, kills: int, seed: int) -> None:
    chosen = random.Random(seed)
    load = Load(directory, {"read": 0.005, "ask": 0.005}, may_be_down=True)
    load.start_all()
    try:
        for number in range(kills):
            time.sleep(chosen.uniform(0.05, 0.6))
            slot = KILLED[number % len(KILLED)]
            if slot.startswith("serve"):
                load.wait_for_the_server()
            load.kill(slot)
        load.wait_for_the_server()
        time.sleep(0.5)
    finally:
        load.stop()
    assert sum(load.kills.values()) == kills
    wrong = load.wrong()
    assert not wrong, (len(wrong), wrong[:5])
    # At rest: what was acknowledged is there, seen by a process that has seen nothing before.
    last = load.work("last 0")
    soak_load.Reads(last, soak_load.from_store(last)).read(list(range(PAIRS)))
    assert not load.wrong()


def test_ten_seconds_of_mixed_load(tmp_path: Path) -> None:
    mixed_load(tmp_path, seconds=10, publish_pause=2)


def test_twelve_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, kills=12, seed=1)


@pytest.mark.soak
def test_ten_minutes_of_mixed_load(tmp_path: Path) -> None:
    mixed_load(tmp_path, seconds=600, publish_pause=20)


@pytest.mark.soak
def test_two_hundred_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, kills=200, seed=2)
