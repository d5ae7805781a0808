"""What a push log says of each key of a view: the rows that can still be seen, and deletions.

Of a view of events every row counts. Those are kept as they lie in the log, each key with the
numbers of its rows, until somebody asks for the key: most keys that are pushed to are not asked for
before the next one is, and a number is nothing that Python's collector has to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from fstore.definitions import FeatureView
from fstore.online.entries import Entry
from fstore.online.records import RANK
from fstore.online.visible import Version, accepted, visible_from

_PLACES = 2**32  # more than an entry has rows: (which entry, which row) as one number


class Known(NamedTuple):
    """What the log says of one key."""

    versions: tuple[Version, ...] = ()
    hides: int = 0  # generations up to this one have nothing of the key
    deletion: tuple[Entry, int] | None = None  # and the key's place in it
    events: tuple[Version, ...] | list[Version] = ()  # of a view of events all, as they came


NOTHING = Known()


class KnownKeys:
    """The keys of a view that were pushed to or deleted.

    Who changes it holds the log's lock; so does who calls :attr:`get` of a view of events, which
    remembers what it has read.
    """

    def __init__(self, view: FeatureView) -> None:
        self.view = view
        self.table: dict[bytes, Known | int | list[int]] = {}  # numbers are of unread rows
        self._entries: list[Entry] = []  # of a view of events
        # A plain view has nothing unread: what is asked for at each read is the table itself.
        self.get: Callable[[bytes | None], Known | None] = (
            self._asked if view.windows else self.table.get  # type: ignore[assignment]
        )

    def items(self) -> Iterator[tuple[bytes, Known]]:
        """Yield each key with what is known of it, and remember nothing."""
        for key, found in self.table.items():
            yield key, found if isinstance(found, Known) else self._read(found)

    def take_in(self, entry: Entry) -> None:
        """Take in the rows of a push."""
        if not self.view.windows:
            for key, version in versions_of(self.view, entry):
                self._accept(key, self.table.get(key, NOTHING), version)  # type: ignore[arg-type]
            return
        table, keys = self.table, entry.layout.keys_of(entry.block, entry.count)
        first = len(self._entries) * _PLACES
        self._entries.append(entry)
        for number, key in enumerate(keys, start=first):
            before = table.get(key)
            if before is None:
                table[key] = number
            elif isinstance(before, list):
                before.append(number)
            elif isinstance(before, int):
                table[key] = [before, number]
            else:
                self._accept(key, before, self._version(number))

    def delete(self, entry: Entry) -> None:
        """Take in a deletion: what was pushed of its keys before is gone."""
        for place, key in enumerate(entry.layout.keys_of(entry.block, entry.count)):
            before = self.table.get(key, NOTHING)
            hidden = before.hides if isinstance(before, Known) else 0
            self.table[key] = Known((), max(entry.hides, hidden), (entry, place))

    def refused(self, entry: Entry) -> int:
        """Return how many rows of a push arrived before their keys were deleted."""
        count = 0
        for key, version in versions_of(self.view, entry):
            known = self.table.get(key)  # rows that nobody read were not deleted
            count += isinstance(known, Known) and is_refused(self.view, known, version)
        return count

    def _accept(self, key: bytes, known: Known, version: Version) -> None:
        if not is_refused(self.view, known, version):
            self.table[key] = with_version(self.view, known, version)

    def _asked(self, key: bytes | None) -> Known | None:
        found = self.table.get(key)  # type: ignore[arg-type]  # None is no key
        if found is None or isinstance(found, Known):
            return found
        read = self.table[key] = self._read(found)  # type: ignore[index]
        return read

    def _read(self, numbers: int | list[int]) -> Known:
        known = NOTHING
        for number in [numbers] if isinstance(numbers, int) else numbers:
            known = with_version(self.view, known, self._version(number))
        return known

    def _version(self, number: int) -> Version:
        which, place = divmod(number, _PLACES)
        entry = self._entries[which]
        event, arrival = RANK.unpack_from(entry.block.records, place * entry.layout.size)
        return Version(event, arrival, visible_from(self.view, event, arrival), entry, place)


def with_version(view: FeatureView, known: Known, version: Version) -> Known:
    """Return what is known of a key with one more row; its list of events is the same, grown."""
    versions = accepted(known.versions, version)
    if not view.windows:
        return Known(versions, known.hides, known.deletion, known.events)
    events = known.events if isinstance(known.events, list) else [*known.events]
    events.append(version)
    return Known(versions, known.hides, known.deletion, events)


def versions_of(view: FeatureView, entry: Entry) -> Iterator[tuple[bytes, Version]]:
    """Yield the rows of an entry of the view, each with its key."""
    layout, block = entry.layout, entry.block
    ranks = zip(*layout.ranks_of(block, entry.count), strict=True)
    keys = layout.keys_of(block, entry.count)
    for place, (key, (event, arrival)) in enumerate(zip(keys, ranks, strict=True)):
        yield key, Version(event, arrival, visible_from(view, event, arrival), entry, place)


def is_refused(view: FeatureView, known: Known | None, version: Version) -> bool:
    """Whether the row arrived before its key was deleted."""
    if known is None or known.deletion is None:
        return False
    arrival = version.arrival if view.created_timestamp else version.visible_from
    return arrival < known.deletion[0].received
