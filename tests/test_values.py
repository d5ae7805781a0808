"""What a number that a time or a day is kept as means: as Arrow says, and the calendar's ends."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fstore.online.values import clamped_day, clamped_time

FIRST, LAST = -62_135_596_800, 253_402_300_799  # seconds of the years 1 to 9999
SCALES = {"s": 1, "ms": 10**3, "us": 10**6}


@pytest.mark.parametrize("unit", SCALES)
@pytest.mark.parametrize("zone", [None, "UTC"])
@settings(deadline=None)
@given(data=st.data())
def test_times(unit: str, zone: str | None, data: st.DataObject) -> None:
    kind = pa.timestamp(unit, zone)
    first, last = FIRST * SCALES[unit], (LAST + 1) * SCALES[unit] - 1
    cell = data.draw(st.integers(first, last))
    assert clamped_time(cell, kind) == pa.scalar(cell, kind).as_py()
    tz = UTC if zone else None
    beyond = data.draw(st.integers(last + 1, 2**63 - 1))
    assert clamped_time(beyond, kind) == datetime.max.replace(tzinfo=tz)
    before = data.draw(st.integers(-(2**63), first - 1))
    assert clamped_time(before, kind) == datetime.min.replace(tzinfo=tz)


def test_nanoseconds_and_nothing() -> None:
    kind = pa.timestamp("ns")
    assert clamped_time(1_999, kind) == datetime(1970, 1, 1, 0, 0, 0, 1)
    assert clamped_time(None, kind) is None
    assert clamped_day(None) is None


@settings(deadline=None)
@given(st.integers(-719_162, 2_932_896))
def test_days(cell: int) -> None:
    assert clamped_day(cell) == pa.scalar(cell, pa.date32()).as_py()


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        (2_932_897, date.max),
        (2**31 - 1, date.max),
        (-719_163, date.min),
        (-(2**31) + 1, date.min),
    ],
)
def test_days_beyond_the_calendar(cell: int, day: date) -> None:
    assert clamped_day(cell) == day
