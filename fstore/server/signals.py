"""Signals, waited for one after the other in the main thread, whichever thread they reach."""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from types import FrameType
from typing import Any

STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
WATCHED = (*STOPS, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """Takes TERM, INT, HUP and CHLD over for the block."""

    def __enter__(self) -> Signals:
        self._came: deque[int] = deque()
        self._stops = 0
        self._read, self._written = os.pipe()
        for end in (self._read, self._written):
            os.set_blocking(end, False)
        self._woke_before = signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        self._before: dict[int, Any] = {each: signal.signal(each, self._note) for each in WATCHED}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._woke_before)
        os.close(self._read)
        os.close(self._written)

    def wait(self, seconds: float) -> int | None:
        """Return the next signal other than a stop; None where none comes in time."""
        if not self._came and not self._stops and select.select([self._read], [], [], seconds)[0]:
            os.read(self._read, 1024)
        return self._came.popleft() if self._came else None

    def says_stop(self) -> bool:
        """Whether TERM or INT came."""
        return self._stops > 0

    def says_hurry(self) -> bool:
        """Whether TERM or INT came again."""
        return self._stops > 1

    def _note(self, number: int, _: FrameType | None) -> None:
        if number in STOPS:
            self._stops += 1
        else:
            self._came.append(number)
