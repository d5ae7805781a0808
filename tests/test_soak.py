"""Many processes on one online store, some of them killed: every read is one the model allows.

Short in the ordinary run; at full length with `make soak`.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests import soak_load
from tests.soak_load import PAIRS, SEEN, Clock, Work
from tests.soak_model import SOURCE, history_of

READERS, WRITERS = 3, 2
STEADY = 8 * 2**20  # bytes that a process may grow by


@dataclass
class Load:
    """The processes of a run."""

    directory: Path
    publish_pause: float
    write_pause: float
    read_pause: float
    clock: Clock = field(default_factory=Clock.now)
    gone: dict[str, int] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.notes = self.directory / "notes"
        self.notes.mkdir(parents=True)
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.soak_load"])
        self._numbers = iter(range(1, 10**6))
        self._running: dict[str, tuple[Work, multiprocessing.process.BaseProcess]] = {}
        project = self.directory / "project"
        soak_load.new_project(project)
        first = self._work("first", 0)
        journal, serial, stamp = first.journal(), next(first.serials()), self.clock()
        soak_load.build(project, serial, stamp)
        journal.begin(SOURCE, None, serial, stamp, self.clock())
        first.store(self.clock).materialize()
        journal.end(serial, self.clock())
        self.gone[first.name] = self.clock()

    def _work(self, role: str, pause: float, place: int = 0) -> Work:
        number = next(self._numbers)
        name = f"{role}-{number}"
        return Work(
            self.directory / "project", self.notes, self.clock, name, number, pause, WRITERS, place
        )

    def start(self, role: str, place: int = 0) -> None:
        pauses = {
            "publish": self.publish_pause, "write": self.write_pause, "read": self.read_pause
        }  # fmt: skip
        self._start(f"{role} {place}", self._work(role, pauses[role], place))

    def _start(self, slot: str, work: Work) -> None:
        role: Callable[[Work], None] = getattr(soak_load, slot.split()[0])
        process = self._forks.Process(target=soak_load.run, args=(role, work))
        process.start()
        self._running[slot] = work, process

    def start_all(self) -> None:
        self.start("publish")
        for place in range(WRITERS):
            self.start("write", place)
        for place in range(READERS):
            self.start("read", place)

    def kill(self, slot: str) -> None:
        """Kill -9 a process, and start one like it."""
        work = self._stop(slot)
        self.kills[slot.split()[0]] += 1
        self.start(slot.split()[0], work.place)

    def _stop(self, slot: str) -> Work:
        work, process = self._running.pop(slot)
        process.kill()
        process.join()
        self.gone[work.name] = self.clock()
        return work

    def stop(self) -> None:
        for slot in list(self._running):
            self._stop(slot)

    def wrong(self) -> list[str]:
        """What the processes saw go wrong, and every read that the model does not allow."""
        found = [
            f"{path.stem}: {line}"
            for path in sorted(self.notes.glob("*.wrong"))
            for line in path.read_text().splitlines()
        ]
        history = history_of(self.notes, self.gone, PAIRS)
        for name, pair, serial, began, ended in self.seen():
            allowed = history.acceptable(pair, began, ended)
            if (serial or None) not in allowed:
                found.append(f"{name}: pair {pair} gave {serial}, not {allowed}, at {began}")
        return found

    def seen(self) -> Iterator[tuple[str, int, int, int, int]]:
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
    load = Load(directory, publish_pause, write_pause=0.02, read_pause=0.01)
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
    load = Load(directory, publish_pause=0.0, write_pause=0.0, read_pause=0.005)
    load.start_all()
    slots = ["publish 0", *(f"write {place}" for place in range(WRITERS))]
    try:
        for number in range(kills):
            time.sleep(chosen.uniform(0.05, 0.6))
            load.kill(slots[number % len(slots)])
        time.sleep(0.5)
    finally:
        load.stop()
    assert sum(load.kills.values()) == kills
    wrong = load.wrong()
    assert not wrong, (len(wrong), wrong[:5])
    # At rest: what was acknowledged is there, seen by a process that has seen nothing before.
    last = replace(load._work("read", 0), name="last")
    load.gone["last"] = load.clock()
    soak_load.Reads(last).read(list(range(PAIRS)))
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
