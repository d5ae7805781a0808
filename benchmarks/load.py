r"""Loads an HTTP server from one process, with as many connections as are asked: a closed loop.

    python -m benchmarks.load http://127.0.0.1:6566/get-online-features --body body.json \
        --header 'Authorization: Bearer ...' --connections 16 --seconds 10

Each connection sends its next request when the answer to the one before is whole. Nothing is
parsed but what tells where an answer ends, so that one core can load a server on another: it takes
less of it for a request than a server does, and ``processor_us`` says how much. Several bodies are
taken in turns.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE = 30.0  # seconds without any answer, after which the load has failed
_END = b"\r\n\r\n"
_BUFFER = 1 << 18  # bytes that are read at once


@dataclass
class Load:
    """What came of a load. ``nanoseconds`` are those of each answered request."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)  # of connections, by what was seen
    nanoseconds: list[int] = field(default_factory=list)
    answer_bytes: int = 0  # of the last answer
    processor: float = 0.0  # seconds that the load itself took of a core

    @property
    def requests_a_second(self) -> float:
        return len(self.nanoseconds) / self.seconds if self.seconds else 0.0

    @property
    def processor_us(self) -> float:
        """Return what a request took of the load's own core, in microseconds."""
        return self.processor / len(self.nanoseconds) * 1e6 if self.nanoseconds else 0.0

    def milliseconds(self, share: float) -> float:
        """Return the time within which this share of the requests was answered."""
        ordered = sorted(self.nanoseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6 if ordered else 0.0

    def summary(self) -> dict[str, object]:
        """Return what a person or a report looks at."""
        return {
            "requests": len(self.nanoseconds),
            "requests_a_second": round(self.requests_a_second, 1),
            "p50_ms": round(self.milliseconds(0.5), 3),
            "p99_ms": round(self.milliseconds(0.99), 3),
            "p999_ms": round(self.milliseconds(0.999), 3),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "failures": dict(self.failures),
            "answer_bytes": self.answer_bytes,
            "processor_us": round(self.processor_us, 1),
        }


class _Caller:
    """One connection, and the request that it has under way. ``buffer`` is shared by all."""

    def __init__(self, address: tuple[str, int], buffer: bytearray) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0
        self._buffer = buffer
        self._head = b""  # what came of a head that is not whole yet
        self._missing = 0  # bytes of the answer; 0: its head is not whole yet
        self.status = 0
        self.size = 0
        self.closes = False

    def ask(self, request: bytes) -> None:
        self.begun = time.perf_counter_ns()
        self.socket.sendall(request)

    def hear(self) -> bool:
        """Read what is there; whether the answer is whole. ConnectionError where it ends early."""
        count = self.socket.recv_into(self._buffer)
        if not count:
            raise ConnectionResetError("closed before the answer was whole")
        if not self._missing:
            end = self._buffer.find(_END, 0, count)
            if self._head or end < 0:
                return self._hear_in_parts(self._buffer[:count])
            self._read_head(self._buffer[:end])
            self._missing, count = self.size, count - end - len(_END)
        self._missing -= count
        return self._missing <= 0

    def _hear_in_parts(self, part: bytes) -> bool:
        self._head += part
        head, end, rest = self._head.partition(_END)
        if not end:
            return False
        self._head = b""
        self._read_head(head)
        self._missing = self.size - len(rest)
        return self._missing <= 0

    def _read_head(self, head: bytes) -> None:
        self.status = int(head[9:12])  # after HTTP/1.1
        fields = head.lower()
        place = fields.find(b"\r\ncontent-length:")
        if place < 0:
            raise ConnectionAbortedError("an answer without Content-Length")
        self.size = int(fields[place + 17 :].partition(b"\r")[0])
        self.closes = b"\r\nconnection: close" in fields


def load(
    host: str,
    port: int,
    requests: Sequence[bytes],
    connections: int = 16,
    seconds: float = 5.0,
) -> Load:
    """Ask as fast as the server answers, and return what came of it.

    An answer that says ``Connection: close`` is followed by a new connection; anything else that
    ends one early is a failure, counted by its words. ``requests`` are whole, as :func:`request`
    makes them.
    """
    found, following, buffer = Load(), cycle(requests), bytearray(_BUFFER)
    watch = select.epoll()
    callers: dict[int, _Caller] = {}

    def connect() -> None:
        try:
            caller = _Caller((host, port), buffer)
            caller.ask(next(following))
        except OSError as error:
            found.failures[_words(error)] += 1
            return
        callers[caller.socket.fileno()] = caller
        watch.register(caller.socket, select.EPOLLIN)

    def drop(place: int) -> None:
        watch.unregister(place)
        callers.pop(place).socket.close()

    begun, worked = time.perf_counter(), time.thread_time()
    for _ in range(connections):
        connect()
    last = begun + seconds
    while callers and time.perf_counter() < last:
        ready = watch.poll(PATIENCE)
        if not ready:
            found.failures[f"no answer within {PATIENCE:g} seconds"] += len(callers)
            break
        for place, _ in ready:
            caller = callers[place]
            try:
                if not caller.hear():
                    continue
                found.nanoseconds.append(time.perf_counter_ns() - caller.begun)
                found.statuses[caller.status] += 1
                if not caller.closes:
                    caller.ask(next(following))
                    continue
            except OSError as error:
                found.failures[_words(error)] += 1
            drop(place)
            connect()
    found.seconds, found.processor = time.perf_counter() - begun, time.thread_time() - worked
    for place in list(callers):
        found.answer_bytes = callers[place].size
        drop(place)
    watch.close()
    return found


def request(
    host: str, port: int, path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """Return a POST of JSON, whole."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}:{port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode() + _END + body


def bodies(
    features: Sequence[str], key: str, asked: Sequence[int], rows: int, most: int = 500
) -> Iterator[bytes]:
    """Yield bodies of get-online-features, each of the next ``rows`` keys."""
    for place in range(0, min(len(asked) - rows + 1, most * rows), rows):
        entities = {key: list(asked[place : place + rows])}
        yield json.dumps({"features": list(features), "entities": entities}).encode()


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("url")
    words.add_argument("--body", type=Path, required=True, help="a file of JSON, or one a line")
    words.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    words.add_argument("--connections", type=int, default=16)
    words.add_argument("--seconds", type=float, default=5.0)
    given = words.parse_args()
    url = urlsplit(given.url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    headers = [tuple(part.strip() for part in each.split(":", 1)) for each in given.header]
    asked = [
        request(host, port, url.path or "/", line, headers)
        for line in given.body.read_bytes().splitlines()
    ]
    found = load(host, port, asked, given.connections, given.seconds)
    print(json.dumps(found.summary(), indent=1))


if __name__ == "__main__":
    main()
