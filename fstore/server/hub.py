"""What the connections of one process share: requests on their way to the application, and limits.

The requests that are whole at the end of a turn of the event loop go to the application together,
one of each connection (docs/decisions/0014): nobody waits longer for it, for the event loop sends
answers when a turn is over, in any case.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from fstore.server.refusals import RefusedError

if TYPE_CHECKING:
    from fstore.server.http import Connection

TOGETHER = 16  # requests that the application has at a time
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")


class Request(NamedTuple):
    """A request that is whole. Names of headers are small; ``id`` is the caller's, or a new one."""

    method: str
    path: str  # without the query
    headers: dict[bytes, bytes]
    body: bytes
    id: str


class Reply(NamedTuple):
    """What goes back: status, body and its type, more lines of the head; rows that were asked."""

    status: int
    body: bytes
    kind: str = "application/json"
    rows: int | None = None
    more: str = ""


Found = Reply | Awaitable[Reply]
Application = Callable[[Sequence[Request]], Sequence[Found]]


class Hub:
    """The connections of one process, their application and limits, and the time of day."""

    def __init__(
        self,
        application: Application,
        refuse: Callable[[Request, RefusedError], Reply],
        body_bytes: int,
        seconds: float,
    ) -> None:
        self.application, self.refuse = application, refuse
        self.body_bytes, self.seconds = body_bytes, seconds
        self.connections: set[Connection] = set()
        self.closing = False
        self.date = ""
        self._name, self._numbers = os.urandom(8).hex(), count()
        self._ready: list[Connection] = []

    def request_id(self, given: bytes | None) -> str:
        """Return the id that a caller gives a request, where it is one; else one of its own."""
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return f"{self._name}{next(self._numbers):08x}"

    def answer_soon(self, connection: Connection) -> None:
        """Have the connection's next request answered, with all others of this turn."""
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._answer)
        self._ready.append(connection)

    def _answer(self) -> None:
        some, self._ready = self._ready[:TOGETHER], self._ready[TOGETHER:]
        if self._ready:  # these come once the answers to the first are sent
            asyncio.get_running_loop().call_soon(self._answer)
        taken = [(each, each.take()) for each in some]
        whole = [(each, request) for each, request in taken if request is not None]
        try:
            found = self.application([request for _, request in whole])
        except Exception:  # the application answers errors; one of its own leaves nobody waiting
            for connection, _ in whole:
                connection.abort()
            raise
        for (connection, _), reply in zip(whole, found, strict=True):
            connection.answer(reply)

    async def watch(self) -> None:
        """Close, once a second, the connections that have taken too long."""
        while True:
            now = time.monotonic()
            self.date = formatdate(usegmt=True)
            for connection in tuple(self.connections):
                connection.check(now)
            await asyncio.sleep(1)

    async def close(self, idle_seconds: float, seconds: float) -> None:
        """Let every connection end: after its next answer, or when it was idle for so long."""
        self.closing = True
        begun = time.monotonic()
        while self.connections and time.monotonic() < begun + seconds:
            if time.monotonic() > begun + idle_seconds:
                for connection in tuple(self.connections):
                    connection.close_if_idle()
            await asyncio.sleep(0.02)
