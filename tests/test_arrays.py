"""Columns of Arrow as arrays of numpy: as Arrow's own way, which loads pandas, makes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fstore.online.arrays import array_of, missing, numbers_of
from fstore.online.values import WELL_KNOWN, arrow_types, asked_arrow_types

NUMBERS = [kind for kind in WELL_KNOWN.values() if pa.types.is_primitive(kind)]
NUMBERS = [kind for kind in NUMBERS if not pa.types.is_temporal(kind)]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@pytest.mark.parametrize("cells", [[], [1, 0, 1, 1, 0, 0, 1, 0, 1], [None, 1, None, 0, 1, None]])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_numbers_and_truths(kind: pa.DataType, cells: list[int | None], first: int) -> None:
    array = pa.array(cells).cast(pa.int8()).cast(kind).slice(min(first, len(cells)))
    known = array.fill_null(pa.scalar(0, pa.int8()).cast(kind)).to_numpy(zero_copy_only=False)
    found = array_of(array)
    assert found.dtype == known.dtype
    assert found.tolist() == known.tolist()
    assert missing(array).tolist() == [cell is None for cell in cells[first:]]


def test_times() -> None:
    times = pa.array([None, 5, -7], pa.timestamp("us", "UTC"))
    assert numbers_of(times, -1).tolist() == [-1, 5, -7]
    assert numbers_of(times[1:], -1).tolist() == [5, -7]
    assert numbers_of(times[:0], -1).dtype == np.dtype("<i8")


def test_types_that_are_known_without_an_engine_are_as_it_says() -> None:
    kinds = tuple(WELL_KNOWN)
    assert arrow_types(kinds) == asked_arrow_types(kinds)
    assert arrow_types(("HUGEINT", "BIGINT")) == asked_arrow_types(("HUGEINT", "BIGINT"))
    assert arrow_types(()) == ()
