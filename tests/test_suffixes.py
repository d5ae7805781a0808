"""Suffixes: what each event and the later ones of its key come to, however the block is written."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fstore.online import suffixes, windows
from fstore.online.event_block import EventBlock, write_block
from fstore.online.event_layout import CHUNK, EventLayout
from fstore.online.suffixes import SuffixWriter
from fstore.online.windows import WindowPlan
from tests.test_event_blocks import VALUES, block_of, columns_of, expected, is_close, view_of

REACH = 8


def naive(values: list[int], lengths: list[int]) -> list[int]:
    """The greatest of each value and those after it, of its key and of its REACH events of it."""
    found, first = [], 0
    for length in lengths:
        for place in range(length):
            end = min(length, (place // REACH + 1) * REACH)
            found.append(max(values[first + place : first + end]))
        first += length
    return found


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    chunk=st.integers(1, 40),
    long=st.sampled_from([1, 4, REACH]),
    seed=st.integers(0, 1000),
)
def test_suffixes_do_not_depend_on_chunks(
    lengths: list[int], chunk: int, long: int, seed: int
) -> None:
    count = sum(lengths)
    values = np.random.default_rng(seed).integers(-100, 100, count)
    firsts = np.cumsum([0, *lengths[:-1]])
    found = np.full(count, 999)

    def store(_: tuple[str, int], part: np.ndarray, at: int) -> None:
        assert (found[at : at + len(part)] == 999).all(), "stored twice"
        found[at : at + len(part)] = part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suffixes, "REACH", REACH)
        patch.setattr(suffixes, "_LONG", long)
        writer = SuffixWriter(store)
        for at in range(0, count, chunk):
            begins = firsts[(firsts >= at) & (firsts < at + chunk)] - at
            writer.add(("greatest", 0), values[at : at + chunk], at, begins)
        writer.finish()
    assert found.tolist() == naive(values.tolist(), lengths)


@pytest.mark.parametrize("kind", ["BIGINT", "DOUBLE", "DECIMAL(9,2)"])
def test_windows_of_a_key_beyond_the_reach_of_a_suffix(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suffixes, "REACH", REACH)
    monkeypatch.setattr(windows, "REACH", REACH)
    view = view_of(kind, where=False)
    names = [feature.name for feature in view.windows]
    values = VALUES[kind]
    cells = [values[place % len(values)] for place in range(61)]
    block, _ = block_of(view, kind, cells, [True] * len(cells))
    read = WindowPlan(view, columns_of(kind), names).bound(block)
    for at in range(1, 170):  # windows of 100 events: from the first on, and the last ones alone
        run = cells[max(0, at - 100) : at]
        for name, cell in zip(names, read(0, len(cells), at * 100_000), strict=True):
            assert is_close(cell, expected(name.removeprefix("x_"), kind, run), run), (name, at)


def test_a_key_across_chunks_beside_others() -> None:
    """The second key begins in one chunk and ends in the next."""
    view = view_of("DOUBLE", where=False)
    layout = EventLayout.of(view, columns_of("DOUBLE"))
    count = CHUNK + 500
    cells = [float(place % 97) for place in range(count)]
    _, events = block_of(view, "DOUBLE", cells, [True] * count)
    firsts = np.array([0, CHUNK - 300, CHUNK + 200])
    content = bytearray()

    def put(part: bytes, at: int) -> None:
        content.extend(bytes(max(0, at + len(part) - len(content))))
        content[at : at + len(part)] = part

    part = block_of(view, "DOUBLE", cells[CHUNK:], [True] * 500)[1]
    part = part._replace(events=events.events[CHUNK:], arrivals=events.arrivals[CHUNK:])
    whole = block_of(view, "DOUBLE", cells[:CHUNK], [True] * CHUNK)[1]
    chunks = [(whole, firsts[:2]), (part, firsts[2:] - CHUNK)]
    length = write_block(layout, count, 0, chunks, put)
    content.extend(bytes(length - len(content)))
    read = WindowPlan(view, columns_of("DOUBLE"), ["x_sum", "x_min", "x_count"]).bound(
        EventBlock(content, layout)
    )
    for first, end in zip(firsts.tolist(), [*firsts[1:].tolist(), count], strict=True):
        for begin in range(max(first, end - 90), end):
            total, least, number = read(first, end, (begin + 100) * 100_000)
            run = cells[begin:end]
            assert (total, least, number) == (math.fsum(run), min(run), len(run))
