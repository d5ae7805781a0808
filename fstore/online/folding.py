"""What of a push log goes on with the next generation, and what comes back with the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from fstore.definitions import FeatureView
from fstore.disk import sync, write_durably
from fstore.online.chosen import Cells
from fstore.online.entries import Entry, decoded, encoded, subset
from fstore.online.event_file import EventFile
from fstore.online.event_state import EventState
from fstore.online.image import Image
from fstore.online.known import Known
from fstore.online.pushes import PushLog
from fstore.online.records import Layout
from fstore.online.values import arrow_types, to_arrow


def retained(
    log: PushLog,
    kept: frozenset[str],
    written: Mapping[str, tuple[Image, int]],
    events: Mapping[str, tuple[EventFile, EventState]],
    number: int,
    since: int,
) -> list[Entry]:
    """Return the entries that generation ``number`` needs, in the order of the log.

    ``written`` are the new images by view, each with its K, ``events`` the new events where a
    view's rows are that. A push to such a view stays until its rows have one of its key to be seen
    in its stead (of events: its event as new), or until it was received before ``since``; a
    deletion stays as long, for what may still come late. Of the views in ``kept`` everything stays.
    """
    places: dict[str, list[int]] = {}
    entries: dict[str, Entry] = {}

    def keep(entry: Entry, place: int) -> None:
        entries[entry.id] = entry
        places.setdefault(entry.id, []).append(place)

    for reference, known in log.known.items():
        image, as_of = written.get(reference, (None, 0))
        if image is None and reference not in kept:
            continue
        find = image.finder() if image else None
        file, state = events.get(reference, (None, None))
        places_of = file.finder() if file else None
        for key, heard in known.items():
            if file and state and places_of:
                first, end = places_of(key)
                published = (file.block, first, end) if end > first else None
                heard = state.unpublished(published, heard, number, since)
            if image and find:
                heard = needed(heard, number, since, _sight(image, find(key), as_of))
            if heard.deletion:
                keep(*heard.deletion)
            for version in (*heard.versions, *heard.events):
                keep(version.entry, version.place)
    return [
        subset(entries[entry], sorted(set(places[entry])))
        for entry in sorted(entries, key=log.order.__getitem__)
    ]


def _sight(image: Image, record: int, as_of: int) -> Callable[[int], tuple[int, int] | None]:
    """Return the function from an instant to the (E, A) of the published row that is seen then.

    No read is of an instant before K.
    """
    return lambda instant: None if record < 0 else image.rank_seen(record, max(instant, as_of))


def needed(
    heard: Known, number: int, since: int, seen: Callable[[int], tuple[int, int] | None]
) -> Known:
    """Return what generation ``number`` needs of what was pushed and deleted of a key.

    ``seen`` gives the (E, A) of the row of that generation which is seen at an instant: where it is
    as great when a push comes to be seen, nobody sees the push. A row of the future, however great
    its E, is not seen yet.
    """
    deletion, versions = heard.deletion, heard.versions
    if heard.hides < number:
        if deletion and deletion[0].received < since:
            deletion = None
        versions = tuple(
            version
            for version in versions
            if version.entry.received >= since
            and ((rank := seen(version.visible_from)) is None or rank < version.rank)
        )
    return Known(versions, heard.hides, deletion, heard.events)


def united(older: Sequence[Entry], newer: Sequence[Entry]) -> list[Entry]:
    """Return what either log has: the older one's entries, which were whole, before the others."""
    known = {entry.id for entry in older}
    return [*older, *(entry for entry in newer if entry.id not in known)]


def read_log(path: Path) -> list[Entry]:
    """Return the entries of a log; none where there is no such file.

    OnlineStoreError where the log is damaged.
    """
    try:
        return decoded(path.read_bytes(), path)[0]
    except FileNotFoundError:
        return []


def write_log(path: Path, entries: Sequence[Entry]) -> None:
    """Replace a log in one step."""
    temporary = path.with_name(path.name + ".tmp")
    write_durably(temporary, b"".join(encoded(entry) for entry in entries))
    temporary.replace(path)
    sync(path.parent)


def hidden_keys(log: PushLog, view: FeatureView, generation: int) -> pa.Table:
    """Return the join keys that were deleted from a view's file of this generation."""
    known = log.known.get(view.reference)
    deletions = [
        heard.deletion
        for _, heard in (known.items() if known else ())
        if heard.deletion and heard.hides >= generation
    ]
    if not view.join_keys:
        return pa.table({"none": pa.nulls(len(deletions))})
    columns = list(zip(*_deleted(deletions), strict=True)) or [()] * len(view.join_keys)
    kinds = (
        arrow_types(tuple(column.type for column in deletions[0][0].layout.features))
        if deletions
        else [pa.null()] * len(view.join_keys)
    )
    arrays = [to_arrow(cells, kind) for cells, kind in zip(columns, kinds, strict=True)]
    return pa.table(dict(zip(view.join_keys, arrays, strict=True)))


def _deleted(deletions: Sequence[tuple[Entry, int]]) -> Iterator[tuple[object, ...]]:
    readers: dict[Layout, Cells] = {}  # deletions of one view have one layout
    for entry, place in deletions:
        cells = readers.get(entry.layout)
        if cells is None:
            names = [column.name for column in entry.layout.features]
            cells = readers[entry.layout] = Cells(entry.layout, names)
        row = cells.unpack(entry.block.records, place * entry.layout.size)
        yield cells.decode(row, entry.block.heap)[Cells.HEAD :]
