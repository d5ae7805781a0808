"""What a server holds of a key: one value with all its rows, read without any other.

    rows      what was published: records in order of E, then their heap (Layout.together)
    pushes    each as one such row
    table     for each push: from when on it is visible, when it was received, its length
    end       how long ``rows`` is, how many pushes there are, the deletion; 1, or 2 for events

A key that was neither pushed nor deleted has its rows and a 0 alone. Of a view of events every push
is held, of another those that can still be seen. The events that were published are a value of
their own (fstore.online.event_block), which a push does not write again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from fstore.definitions import FeatureView
from fstore.online.entries import DELETE, PUSH, Entry, converted
from fstore.online.folding import needed
from fstore.online.known import NOTHING, Known, is_refused, versions_of, with_version
from fstore.online.lookup import Found
from fstore.online.records import NEVER, RANK, Block, Layout
from fstore.online.visible import Version, accepted, visible_from

_END = struct.Struct("<IIqqB")  # length of the rows, pushes, deletion's receipt (NEVER), its hides
_PUSH = struct.Struct("<qqI")
_NO_KEYS = Layout((), ())
PLAIN = b"\0"  # the end of a value that has published rows alone
_STATES, _EVENTS = 1, 2  # what the pushes are
UNHIDDEN = 2**63  # a generation that no deletion hides: what one hid is not in the value


class Held(NamedTuple):
    """The published rows of a key, and what was pushed and deleted since."""

    rows: bytes = b""
    known: Known = NOTHING


def encoded(held: Held) -> bytes:
    """Return the value to keep; empty where there is nothing to be kept."""
    deletion, events = held.known.deletion, held.known.events
    versions = events or held.known.versions
    if deletion is None and not versions:
        return held.rows + PLAIN if held.rows else b""
    pushes = [_content(version) for version in versions]
    table = [
        _PUSH.pack(version.visible_from, version.entry.received, len(content))
        for version, content in zip(versions, pushes, strict=True)
    ]
    received = NEVER if deletion is None else deletion[0].received
    kind = _EVENTS if events else _STATES
    end = _END.pack(len(held.rows), len(versions), received, held.known.hides, kind)
    return b"".join((held.rows, *pushes, *table, end))


def decoded(value: bytes | None, layout: Layout) -> Held:
    """Return what :func:`encoded` made."""
    if not value:
        return Held()
    if not value[-1]:
        return Held(value[:-1])
    length, count, deleted, hides, kind = _END.unpack_from(value, len(value) - _END.size)
    table, at = len(value) - _END.size - count * _PUSH.size, length
    versions = []
    for place in range(count):
        visible, received, size = _PUSH.unpack_from(value, table + place * _PUSH.size)
        versions.append(_version(layout, value[at : at + size], visible, received))
        at += size
    deletion = None if deleted == NEVER else (_deletion(deleted, hides), 0)
    if kind == _STATES:
        return Held(value[:length], Known(tuple(versions), hides, deletion))
    seen: tuple[Version, ...] = ()
    for version in versions:
        seen = accepted(seen, version)
    return Held(value[:length], Known(seen, hides, deletion, tuple(versions)))


def found(value: bytes | None, layout: Layout) -> Found:
    """Return what a read needs to know of a key whose value this is."""
    if value is None:
        return -1, None, None
    if not value[-1]:
        return 0, value, None
    held = decoded(value, layout)
    return (0 if held.rows else -1), value, held.known


def _content(version: Version) -> bytes:
    content: bytes = version.entry.block.records
    return content


def _version(layout: Layout, content: bytes, visible: int, received: int) -> Version:
    event, arrival = RANK.unpack_from(content)
    entry = Entry(PUSH, "", received, layout, 1, Block(content, content), id="")
    return Version(event, arrival, visible, entry, 0)


def _deletion(received: int, hides: int) -> Entry:
    return Entry(DELETE, "", received, _NO_KEYS, 1, Block(b"", b""), hides, id="")


def pushed_rows(view: FeatureView, layout: Layout, entry: Entry) -> dict[bytes, list[Version]]:
    """Return the rows of a push by key, each by itself; those of other keys' types are none."""
    if not layout.has_keys_of(entry.layout):
        return {}
    keyed = [(key, version) for key, version in versions_of(view, entry)]
    block = entry.block if entry.layout == layout else converted(entry, layout)
    rows: dict[bytes, list[Version]] = {}
    for (key, version), content in zip(keyed, layout.apart(block, entry.count), strict=True):
        own = _version(layout, content, version.visible_from, entry.received)
        rows.setdefault(key, []).append(own)
    return rows


def with_pushes(view: FeatureView, held: Held, pushes: Sequence[Version]) -> tuple[Held, int]:
    """Return what is held once the pushes are in, and how many of them are refused."""
    known, refused = held.known, 0
    for version in pushes:
        if is_refused(view, known, version):
            refused += 1
        else:
            known = with_version(view, known, version)
    return Held(held.rows, known), refused


def without_rows(held: Held, received: int, hides: int) -> Held:
    """Return what is held once the key is deleted."""
    hides = max(hides, held.known.hides)
    return Held(b"", Known((), hides, (_deletion(received, hides), 0)))


def redeclared(view: FeatureView, layout: Layout, known: Known) -> Known:
    """Return what was pushed and deleted as the view is declared now, in its layout of now."""
    fresh = Known((), known.hides, known.deletion)
    for version in known.events or known.versions:
        entry = version.entry
        content = _content(version)
        if entry.layout != layout:
            if not layout.has_keys_of(entry.layout):
                return NOTHING
            (content,) = layout.apart(converted(entry, layout), 1)
        visible = visible_from(view, version.event, version.arrival)
        again = _version(layout, content, visible, entry.received)
        fresh = with_pushes(view, Held(b"", fresh), [again])[0].known
    return fresh


def folded(layout: Layout, rows: bytes, known: Known, number: int, as_of: int, since: int) -> Held:
    """Return what generation ``number`` holds of a key, for which ``rows`` were written."""

    def seen(instant: int) -> tuple[int, int] | None:
        return layout.rank_seen(rows, max(instant, as_of)) if rows else None

    left = needed(known, number, since, seen)
    return Held(b"" if known.hides >= number else rows, left)


def united(view: FeatureView, layout: Layout, older: Held, newer: Known, number: int) -> Held:
    """Return what an older generation holds, with what was pushed and deleted since."""
    rows, known = older
    newer = redeclared(view, layout, newer)
    if newer.deletion and (
        known.deletion is None or known.deletion[0].received < newer.deletion[0].received
    ):
        known = Known((), newer.hides, newer.deletion)
    if known.hides >= number:
        rows = b""
    there = {(each.rank, each.entry.received, _content(each)) for each in known.events}
    pushes = [
        each
        for each in newer.events or newer.versions
        if (each.rank, each.entry.received, _content(each)) not in there
    ]
    return with_pushes(view, Held(rows, known), pushes)[0]
