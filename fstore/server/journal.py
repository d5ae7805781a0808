"""What was answered: a line of log each, and what the metrics count.

Both are written when the turn of the event loop is over that sent the answers: once for all of
them, and with no caller waiting. A process that is killed loses the lines of one turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any

import orjson

from fstore.server import metrics
from fstore.server.answers import Told

_LINE = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


class Journal:
    """Takes notes, and writes them once the callers have their answers."""

    def __init__(self) -> None:
        self._lines: list[Mapping[str, Any]] = []
        self._seconds: dict[tuple[str, int], list[float]] = {}
        self._values: deque[Told] = deque()

    def note_values(self, told: Told) -> None:
        """Note the statuses that an answer tells; any thread may."""
        self._values.append(told)

    def note(self, route: str, status: int, seconds: float, line: Mapping[str, Any]) -> None:
        """Note an answer of the event loop that runs: what to count, and its line."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.write)
        self._lines.append(line)
        times = self._seconds.get((route, status))
        if times is None:
            times = self._seconds[route, status] = []
        times.append(seconds)

    def error(self, error: str, request_id: str | None = None) -> None:
        """Write what went wrong at once; any thread may."""
        named = {} if request_id is None else {"request_id": request_id}
        _write([{"time": datetime.now(UTC), "level": "error", **named, "error": error}])

    def write(self) -> None:
        """Count and log what was noted."""
        lines, self._lines = self._lines, []
        seconds, self._seconds = self._seconds, {}
        for (route, status), times in seconds.items():
            metrics.count_requests(route, status, times)
        sums: dict[str, list[int]] = {}
        while self._values:
            for view, counts, columns in self._values.popleft():
                known = sums.get(view)
                if known is None:
                    known = sums[view] = [0] * len(counts)
                for place, count in enumerate(counts):
                    known[place] += columns * count
        for view, known in sums.items():
            metrics.count_values(view, known)
        _write(lines)


def _write(lines: Sequence[Mapping[str, Any]]) -> None:
    with suppress(OSError):  # of a disk that is full: who asks is answered all the same
        for some in _pieces(orjson.dumps(line, option=_LINE) for line in lines):
            sys.stderr.write(some.decode())


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines together, as many as a pipe takes whole and unmixed with other processes'."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece
