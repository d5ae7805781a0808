"""What is known of pushed keys does not depend on when somebody asks for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fstore.definitions import Column
from fstore.online.entries import Entry
from fstore.online.incoming import deletion, pushable
from fstore.online.instants import micros
from fstore.online.known import Known, KnownKeys
from tests.online import NOW
from tests.test_event_blocks import view_of

COLUMNS = tuple(
    Column(name, kind)
    for name, kind in {
        "k": "BIGINT",
        "t": "TIMESTAMP",
        "id": "BIGINT",
        "x": "BIGINT",
        "y": "BOOLEAN",
    }.items()
)
EVENTS = view_of("BIGINT", where=False)
PLAIN = replace(EVENTS, windows=(), event_key=())


def entry(view: Any, step: int, keys: list[int], *, deletes: bool) -> Entry:
    received = micros(NOW) + step * 1_000_000
    if deletes:
        return deletion(view, COLUMNS, [{"k": key} for key in keys], received)
    rows = [
        {"k": key, "t": NOW + timedelta(seconds=step % 3 - 1), "id": step, "x": step, "y": None}
        for key in keys
    ]
    return pushable(view, COLUMNS, rows, received).entry()


def told(found: Known | None) -> Any:
    if found is None:
        return None
    rows = [[(each.entry.id, each.place, each.rank) for each in some] for some in found[::3]]
    return rows, found.hides, found.deletion and found.deletion[0].id


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    steps=st.lists(
        st.tuples(
            st.lists(st.integers(0, 3), min_size=1, max_size=4),  # keys
            st.integers(0, 5).map(lambda number: number == 0),  # deletes
            st.lists(st.integers(0, 3), max_size=2),  # keys asked for in between
        ),
        max_size=8,
    ),
    view=st.sampled_from([EVENTS, PLAIN]),
)
def test_what_is_asked_for_late_is_what_would_have_been_known(steps: Any, view: Any) -> None:
    asked, unasked = KnownKeys(view), KnownKeys(view)
    key_bytes: dict[int, bytes] = {}
    for number, (keys, deletes, between) in enumerate(steps):
        if deletes:
            keys = sorted({*keys})
        some = entry(view, number, keys, deletes=deletes)
        key_bytes |= zip(keys, some.layout.keys_of(some.block, some.count), strict=True)
        if not deletes:
            assert asked.refused(some) == unasked.refused(some)
        for known in (asked, unasked):
            known.delete(some) if deletes else known.take_in(some)
        for key in between:
            if key in key_bytes:
                asked.get(key_bytes[key])
    assert {k: told(v) for k, v in asked.items()} == {k: told(v) for k, v in unasked.items()}
    for key in key_bytes.values():
        assert told(asked.get(key)) == told(unasked.get(key))
        events = asked.get(key)
        assert events is not None and events is asked.get(key), "what was read is remembered"


def test_rows_that_nobody_asked_for_are_numbers() -> None:
    known = KnownKeys(EVENTS)
    known.take_in(entry(EVENTS, 0, [1, 1, 2], deletes=False))
    assert [type(each) for each in known.table.values()] == [list, int]
