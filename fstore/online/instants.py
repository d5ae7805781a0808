"""Instants as the online store counts them: microseconds since 1970 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Return an aware instant as microseconds since 1970.

    >>> micros(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    since = moment - EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def moment(count: int) -> datetime:
    """Return the instant, aware; the end of Python's calendar for what lies beyond it.

    >>> moment(86400000000).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    try:
        return EPOCH + count * _MICROSECOND
    except OverflowError:
        return (datetime.max if count > 0 else datetime.min).replace(tzinfo=UTC)
