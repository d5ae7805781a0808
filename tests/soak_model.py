"""What each read may return, given what was done to the store: the model of the soak tests.

Keys come in pairs that always change together, and every row of a pair has a serial number of its
own. Visits are events of a pair: a window counts those that were pushed, each once however often it
was, and those that the source has. An operation is known by when it began and when it ended; one
whose process was killed ended unacknowledged at the latest when the process was gone, and may have
happened or not. Instants are microseconds of one clock, which is also the store's.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PUSH, DELETE, SOURCE, VISIT = "push", "delete", "source", "visit"


def visits_in_source(serial: int) -> int:
    """Return how many visits every key has in the source of this serial."""
    return 1 + serial % 7


@dataclass(frozen=True)
class Operation:
    """A push (of a row or a visit) or deletion of a pair, or a materialize of all (``pair`` None).

    ``stamp`` is the row's event time, or when the deletion was received.
    """

    kind: str
    pair: int | None
    serial: int
    stamp: int
    began: int
    ended: int
    acknowledged: bool


@dataclass
class _Pair:
    rows: list[Operation]  # in order of stamp: pushes of the pair, and every materialize
    deletions: list[Operation]  # one after the other: a pair has one writer at a time
    stamps: list[int] = field(init=False)
    deleted: list[int] = field(init=False)  # when each deletion began

    def __post_init__(self) -> None:
        self.rows.sort(key=lambda row: row.stamp)
        self.stamps = [row.stamp for row in self.rows]
        self.deleted = [each.began for each in self.deletions]

    def deletions_of(self, row: Operation, until: int) -> list[Operation]:
        """Return the deletions begun by then that may have to do with a row."""
        first = bisect_right(self.deleted, min(row.stamp, row.began)) - 1
        return self.deletions[max(0, first) : bisect_right(self.deleted, until)]


@dataclass
class _Visits:
    pushes: list[Operation]
    began: list[int] = field(init=False)
    done: list[int] = field(init=False)  # when those that were acknowledged ended

    def __post_init__(self) -> None:
        self.began = sorted(each.began for each in self.pushes)
        self.done = sorted(each.ended for each in self.pushes if each.acknowledged)


class History:
    """Everything that was done, to be asked what a read may have seen."""

    def __init__(self, operations: Iterable[Operation], pairs: int) -> None:
        done = sorted(operations, key=lambda each: each.began)
        self.sources = [each for each in done if each.kind == SOURCE]
        by_pair: list[_Pair] = []
        for pair in range(pairs):
            mine = [each for each in done if each.pair == pair]
            pushes = [each for each in mine if each.kind == PUSH]
            deletions = [each for each in mine if each.kind == DELETE]
            by_pair.append(_Pair([*pushes, *self.sources], deletions))
        self._pairs = by_pair
        self._began = [each.began for each in self.sources]
        self._visits = [
            _Visits([each for each in done if each.kind == VISIT and each.pair == pair])
            for pair in range(pairs)
        ]

    def acceptable(self, pair: int, began: int, ended: int) -> set[int | None]:
        """Return the serials that a read of a pair in this time may return; None is no row.

        The newest row that is certainly there bounds it from below: rows of a later stamp, which
        had begun when the read ended, may be there, too. Nothing may be returned only where no row
        is certainly there.
        """
        known = self._pairs[pair]
        newest = _last_done(self.sources, self._began, began)
        deletion = _last_done(known.deletions, known.deleted, began)
        oldest = min(newest.stamp, deletion.stamp) if newest and deletion else 0
        found: set[int | None] = set()
        for place in range(bisect_right(known.stamps, ended) - 1, -1, -1):
            row = known.rows[place]
            if row.stamp < oldest:
                break  # pushes of before are deleted, and sources of before replaced
            if row.began > ended or (row.kind == SOURCE and newest and row.began < newest.began):
                continue
            deletions = known.deletions_of(row, ended)
            if any(_hides(each, row) and _is_done(each, began) for each in deletions):
                continue
            found.add(row.serial)
            if _is_done(row, began) and not any(_may_hide(each, row) for each in deletions):
                return found
        return found | {None}

    def acceptable_visits(self, pair: int, began: int, ended: int) -> set[int]:
        """Return how many visits a read of a pair in this time may count.

        Those of one source, the last that is certainly there or one begun since, and pushed ones:
        all that were acknowledged before the read, and of those begun before its end any number.
        """
        newest = _last_done(self.sources, self._began, began)
        sources = {
            visits_in_source(each.serial)
            for each in self.sources[: bisect_right(self._began, ended)]
            if newest is None or each.began >= newest.began
        }
        pushed = self._visits[pair]
        low, high = bisect_right(pushed.done, began), bisect_right(pushed.began, ended)
        return {source + more for source in sources for more in range(low, high + 1)}


def _last_done(operations: list[Operation], began: list[int], at: int) -> Operation | None:
    """Return the last of operations, in order, that was certainly done at an instant."""
    for place in range(bisect_right(began, at) - 1, -1, -1):
        if _is_done(operations[place], at):
            return operations[place]
    return None


def _is_done(operation: Operation, at: int) -> bool:
    return operation.acknowledged and operation.ended <= at


def _hides(deletion: Operation, row: Operation) -> bool:
    """Whether a deletion, once done, certainly hides a row."""
    if row.kind == PUSH:
        return row.stamp < deletion.stamp
    return row.ended < deletion.began


def _may_hide(deletion: Operation, row: Operation) -> bool:
    """Whether a deletion that has begun may hide a row: one being published, it may or may not."""
    if row.kind == PUSH:
        return row.stamp < deletion.stamp
    return row.began <= deletion.ended


class Journal:
    """What one process does, in a file that outlives it: a line before and after each operation."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, kind: str, pair: int | None, serial: int, stamp: int, at: int) -> None:
        self._write([kind, pair, serial, stamp, at])

    def end(self, serial: int, at: int) -> None:
        self._write([serial, at])

    def give_up(self, serial: int, at: int) -> None:
        """It is not going on any more, and whether it was done is not known."""
        self._write([serial, at, False])

    def _write(self, line: list[Any]) -> None:
        note(self._path, json.dumps(line))


def note(path: Path, line: str) -> None:
    """Add a line to a file, in one step."""
    with path.open("ab", buffering=0) as file:
        file.write(line.encode() + b"\n")


def read_journal(path: Path, gone: int) -> list[Operation]:
    """Return the operations of a process that was gone at this instant."""
    begun: dict[int, list[Any]] = {}
    ended: dict[int, int] = {}
    given_up: dict[int, int] = {}
    for line in path.read_bytes().splitlines():
        words = json.loads(line)
        if len(words) == 2:
            ended[words[0]] = words[1]
        elif len(words) == 3:
            given_up[words[0]] = words[1]
        else:
            begun[words[2]] = words
    return [
        Operation(
            kind, pair, serial, stamp, began, ended=ended.get(serial, given_up.get(serial, gone)),
            acknowledged=serial in ended,
        )
        for serial, (kind, pair, _, stamp, began) in begun.items()
    ]  # fmt: skip


def history_of(folder: Path, gone: Mapping[str, int], pairs: int) -> History:
    """Return what the journals of a folder tell; ``gone`` says when each's process was gone."""
    operations = [
        each for path in folder.glob("*.journal") for each in read_journal(path, gone[path.stem])
    ]
    return History(operations, pairs)
