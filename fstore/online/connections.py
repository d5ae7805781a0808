"""Connections that wait for their next use: one thread at a time, and never those of a parent."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

A = TypeVar("A")
C = TypeVar("C")

_KEPT = 32  # idle connections; more are closed after their use
_of_parents: list[object] = []  # never touched again: the sockets are the parent's


class Connections(Generic[C]):
    """The open connections of one process to one server."""

    def __init__(self, connect: Callable[[], C], close: Callable[[C], None]) -> None:
        self._connect = connect
        self._close = close
        self._idle: deque[C] = deque()
        self._pid = os.getpid()
        weakref.finalize(self, _close_all, self._idle, close, self._pid)

    def take(self) -> tuple[C, bool]:
        """Return a connection for this thread, and whether it was used before."""
        if self._pid != os.getpid():
            _of_parents.append(self._idle)
            self._idle, self._pid = deque(), os.getpid()
            weakref.finalize(self, _close_all, self._idle, self._close, self._pid)
        try:
            return self._idle.pop(), True
        except IndexError:
            return self._connect(), False

    def ask(self, question: Callable[[C], A], is_broken: Callable[[BaseException], bool]) -> A:
        """Return the answer to what may be asked twice.

        What may be a broken connection from before is tried once more, on a new one.
        """
        connection, used = self.take()
        try:
            answer = question(connection)
        except BaseException as error:
            self.drop(connection)
            if not used or not is_broken(error):
                raise
            _close_all(self._idle, self._close, self._pid)  # they all may be broken
            connection = self._connect()
            try:
                answer = question(connection)
            except BaseException:
                self.drop(connection)
                raise
        self.give(connection)
        return answer

    def give(self, connection: C) -> None:
        """Take a connection back that can be used again."""
        if len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            self.drop(connection)

    def drop(self, connection: C) -> None:
        """Close a connection."""
        with suppress(Exception):
            self._close(connection)


def _close_all(idle: deque[C], close: Callable[[C], None], pid: int) -> None:
    if pid != os.getpid():
        return
    while idle:
        try:
            connection = idle.pop()
        except IndexError:  # taken by another thread
            return
        with suppress(Exception):
            close(connection)
