"""What the tests of the HTTP server share: a server of its own process, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import URL

READ, WRITE = "a-key-that-may-read-01", "a-key-that-may-write-1"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """``fstore serve`` on a free port, with what it wrote to standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, content, {**self.headers, **named})
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def features(self, entities: Any, **asked: Any) -> Answer:
        asked = asked or {"features": ["stats:x"]}
        return self.ask("POST", "/get-online-features", {"entities": entities, **asked})

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log about requests."""
        return [line for line in self.log_lines() if "status" in line]

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of JSON in its log."""
        found = self.log.read_text().splitlines()
        return [json.loads(line) for line in found if line.startswith("{")]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The line about a request, which is written once it is answered."""
        deadline = time.monotonic() + 10
        while True:
            found = [line for line in self.lines() if line["request_id"] == request_id]
            if found:
                return found[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def command(directory: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "fstore", "serve", "--project-dir", str(directory), *options]


@contextmanager
def serving(
    directory: Path, *options: str, keys: bool = False, log: Path | None = None
) -> Iterator[Server]:
    """Start a server, wait until it answers, and stop it after the block."""
    port, log = free_port(), log or directory / "server.log"
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FSTORE_") or name == URL
    }
    if keys:
        env |= {"FSTORE_READ_KEY": READ, "FSTORE_WRITE_KEY": WRITE}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(directory, "--port", str(port), *options), stderr=file, stdout=file, env=env
        )
    headers = {"Authorization": f"Bearer {WRITE}"} if keys else {}
    server = Server(process, port, log, headers)
    try:
        wait_until_it_answers(server)
        yield server
    finally:
        if process.poll() is None:
            server.stop()


def wait_until_it_answers(server: Server) -> None:
    """Until it says that every process is ready."""
    deadline = time.monotonic() + 60
    while b"fstore serves " not in server.log.read_bytes():
        assert server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.02)
