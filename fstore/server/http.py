"""HTTP/1.1 on a socket: bytes in, whole requests to the application, its replies out.

httptools (the parser of Node.js) reads the requests; what is here is their limits, their order and
the end of a connection. Nobody's request is cut off: a connection is told to close by an answer,
and is closed without one only after it was idle (see :meth:`Hub.close`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable
from http import HTTPStatus
from typing import cast

import httptools

from fstore.server.hub import Found, Hub, Reply, Request
from fstore.server.refusals import RefusedError

HEAD_BYTES = 32_768  # of a request line and its headers
IDLE_SECONDS = 75.0  # after which a kept connection is closed
LINGER_SECONDS = 2.0  # for a caller who still sends what nobody reads, to read why
_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_ONCE = (b"host", b"authorization")  # what decides who may ask
# Asked for by clients that would rather speak HTTP/2; the answer is in HTTP/1.1, which is allowed.
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One caller's connection. Requests that come at once are answered one after the other."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()  # whole; and whether to stay
        self._asked: tuple[Request, bool] | None = None  # what is being answered
        self._is_next = False  # what waits is about to be
        self._answering: asyncio.Task[None] | None = None
        self._full = False  # the caller does not read
        self._pauses = False  # nothing is read until what waits is answered
        self._lingers = False  # nothing more is read
        self._inside = False  # a request has begun and is not whole
        self._since = time.monotonic()  # of what :meth:`check` looks at
        self._head_bytes = 0  # of a request that has begun; -1: its head is whole
        self._ended = False  # the caller sends no more
        self._url, self._headers, self._body = b"", dict[bytes, bytes](), list[bytes]()
        self._missing = self._left = 0  # bytes that the body and the head may still have

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._hub.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._hub.connections.discard(self)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            return
        if not self._inside:
            self._since = time.monotonic()
            self._head_bytes = 0
            if b"pgrade:" in data:
                head, end, body = data.partition(b"\r\n\r\n")
                data = _UPGRADE.sub(b"\r\nx-upgrade:", head) + end + body
        self._inside = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(RefusedError(400, "This server speaks HTTP/1.1 and nothing else."))
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, RefusedError):
                raise
            self._refuse(cause)
        except httptools.HttpParserError:
            self._refuse(RefusedError(400, "The request is not HTTP."))
        else:
            if self._inside and self._head_bytes >= 0:
                self._head_bytes += len(data)
                if self._head_bytes > HEAD_BYTES:
                    self._refuse(_long_head())
            if self._waiting:
                self._go_on()

    def eof_received(self) -> bool:
        """Keep the connection for what is still to be answered."""
        self._ended = True
        return self._is_busy and not self._lingers

    def pause_writing(self) -> None:
        self._full, self._since = True, time.monotonic()

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    # What the parser calls

    def on_message_begin(self) -> None:
        self._inside = True
        self._url, self._headers, self._body = b"", {}, []
        self._missing, self._left = self._hub.body_bytes, HEAD_BYTES

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._left -= len(name) + len(value)
        if self._left < 0:
            raise _long_head()
        if self._head_bytes < 0:  # a field behind the body, which says nothing of who asks
            return
        name = name.lower()
        if name in _ONCE and name in self._headers:
            raise RefusedError(400, f"The request has several headers {name.decode()}.")
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._head_bytes = -1  # the head is whole
        length = self._headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._missing:
            raise self._too_long()
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._missing -= len(body)
        if self._missing < 0:
            raise self._too_long()
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._inside = False
        self._head_bytes = 0
        self._waiting.append((self._request(), self._parser.should_keep_alive()))

    # Answers

    def _request(self) -> Request:
        path = self._url.partition(b"?")[0].decode(errors="replace")
        method = self._parser.get_method().decode() if self._url else "-"
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        own = self._hub.request_id(self._headers.get(b"x-request-id"))
        return Request(method, path, self._headers, body, own)

    def _go_on(self) -> None:
        """Have what waits answered, unless an answer is under way or the caller must read first."""
        if self._waiting and not (self._is_next or self._asked or self._full):
            self._is_next = True
            self._hub.answer_soon(self)
        if len(self._waiting) > self._is_next:
            if not self._pauses and not self._transport.is_closing():
                self._pauses = True
                self._transport.pause_reading()
        elif self._pauses and not self._transport.is_closing():
            self._pauses = False
            self._transport.resume_reading()

    def take(self) -> Request | None:
        """Return the request that :meth:`answer` will be called for; None where it is gone."""
        self._is_next = False
        if not self._waiting:
            return None
        self._asked = self._waiting.popleft()
        return self._asked[0]

    def answer(self, found: Found) -> None:
        """Send the answer to the request that was taken, now or when it is there."""
        if isinstance(found, Reply):
            self._write(found)
        else:
            self._answering = asyncio.ensure_future(self._later(found))

    def abort(self) -> None:
        """End the connection without an answer."""
        self._transport.abort()

    async def _later(self, coming: Awaitable[Reply]) -> None:
        reply = await coming
        self._answering = None
        self._write(reply)

    def _write(self, reply: Reply) -> None:
        assert self._asked is not None
        request, stay = self._asked
        self._asked, self._since = None, time.monotonic()
        stay = stay and not (self._hub.closing or self._lingers or self._ended)
        self._transport.write(self._message(request, reply, stay))
        if not stay:
            self._waiting.clear()
            self._transport.close()
        elif self._waiting or self._pauses:
            self._go_on()

    def _message(self, request: Request, reply: Reply, stay: bool) -> bytes:
        close = "" if stay else "connection: close\r\n"
        head = (
            f"{_LINE[reply.status]}date: {self._hub.date}\r\ncontent-type: {reply.kind}\r\n"
            f"content-length: {len(reply.body)}\r\n{close}{reply.more}"
            f"x-request-id: {request.id}\r\n\r\n"
        ).encode()
        return head if request.method == "HEAD" else head + reply.body

    def _refuse(self, error: RefusedError) -> None:
        """Say why no more is read from this caller, and leave time to read that."""
        self._lingers, self._since = True, time.monotonic()
        self._waiting.clear()
        if self._answering:  # its answer is the last one
            return
        request = self._request()
        reply = self._hub.refuse(request, error)
        self._transport.write(self._message(request, reply, stay=False))
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _too_long(self) -> RefusedError:
        most = self._hub.body_bytes
        return RefusedError(
            413, f"The body is longer than {most} bytes, the most this server takes."
        )

    # Time

    @property
    def _is_busy(self) -> bool:
        return bool(self._asked or self._waiting)

    def check(self, now: float) -> None:
        """Close what has taken too long."""
        waited = now - self._since
        if self._lingers:
            if waited > LINGER_SECONDS:
                self._transport.abort()
        elif self._full:
            if waited > self._hub.seconds:
                self._transport.abort()
        elif self._inside and not self._is_busy:
            if waited > self._hub.seconds:
                seconds = f"{self._hub.seconds:g} seconds"
                self._refuse(RefusedError(408, f"The request was not whole within {seconds}."))
        elif not self._is_busy and waited > IDLE_SECONDS:
            self._transport.close()

    def close_if_idle(self) -> None:
        if not self._is_busy and not self._inside and not self._full:
            self._transport.close()


def _long_head() -> RefusedError:
    return RefusedError(431, f"Headers may have {HEAD_BYTES} bytes.")
