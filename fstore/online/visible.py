"""Which row of a key an online read sees: the visible-row rule for rows that are at hand.

The SQL of :mod:`fstore.compile.visibility` has settled most of it when a generation is published:
its rows are known, one a key is the row to see at K, and the others lie in the future of K. What
is left is E <= q, the ttl and a snapshot's end at each read; and pushed rows, of which each is
visible from a time of its own on. The conformance tests hold both to the same oracle.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from fstore.definitions import FeatureView
from fstore.online.entries import Entry
from fstore.online.instants import micros


class Version(NamedTuple):
    """A pushed row of a key, at its place in a log entry. Times are microseconds since 1970."""

    event: int
    arrival: int  # what settles a tie of E: the created_timestamp, else E
    visible_from: int
    entry: Entry
    place: int

    @property
    def rank(self) -> tuple[int, int]:
        """(E, A): the greater one wins."""
        return self.event, self.arrival


def known_from(view: FeatureView, event: int, arrival: int) -> int:
    """Return the first instant at which a row is known: A, as the visible-row rule compares it.

    ``arrival`` is the created_timestamp where the view declares one.
    """
    if not view.known_at:
        return -(2**63)
    delay = view.delay.seconds * 1_000_000 if view.delay else 0
    if view.created_timestamp is None:
        return event + delay
    backfilled = view.backfilled_until
    if backfilled is not None and arrival <= micros(backfilled):
        return event + delay
    return arrival


def visible_from(view: FeatureView, event: int, arrival: int) -> int:
    """Return the first instant at which a row can be seen: the later of E and A."""
    return max(event, known_from(view, event, arrival))


def plainly_seen(records: Any, at: int, ttl: int | None) -> Any:
    """Return which of an array of published rows are seen as they are; ``ttl`` is in microseconds.

    Those are the only rows of their keys, begun and not ended at the instant, and not too old. The
    others are looked at one by one, as is every row of a key that was pushed to.
    """
    seen = (records["E"] <= at) & (records["ends"] > at) & (records["followers"] == 0)
    return seen if ttl is None else seen & (records["E"] >= at - ttl)


def newest(versions: Iterable[Version], at: int) -> Version | None:
    """Return the row that wins at an instant; of equal (E, A) the one that was accepted later."""
    best: Version | None = None
    for version in versions:
        if version.visible_from <= at and (best is None or version.rank >= best.rank):
            best = version
    return best


def accepted(versions: tuple[Version, ...], new: Version) -> tuple[Version, ...]:
    """Return the rows of a key that can still be seen once ``new`` is among them.

    Those are the winner at the instant of acceptance, and what will win over it later.
    """
    if not versions:
        return (new,)
    received = new.entry.received
    if len(versions) == 1:  # as most often
        (old,) = versions
        if old.visible_from <= received and new.visible_from <= received:
            return versions if old.rank > new.rank else (new,)
    others = tuple(version for version in versions if version.rank != new.rank)
    known = (*others, new)
    current = newest(known, received)
    if current is None:
        return known
    later = (version for version in known if version.visible_from > received)
    return (current, *(version for version in later if version.rank > current.rank))
