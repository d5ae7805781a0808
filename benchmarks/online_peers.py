"""The runner's end of a peer: a process that is started, asked, and stopped; and Redis for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.online_protocol import Setup

ROOT = Path(__file__).parents[1]
MODULES = {"fstore": "benchmarks.peers.online_fstore", "feast": "benchmarks.peers.online_feast"}
DATABASES = {"feast-redis": 0, "fstore-redis": 1}  # in the one Redis
REDIS_URL = "FSTORE_BENCH_REDIS"  # the environment variable that our fstore.yml names
PATIENCE = 30  # seconds for a server to come up


class PeerFailedError(Exception):
    """A peer's process ended; the sentence is its last words."""


class PeerProcess:
    """A peer that is there to be asked; stopped at the end of the block."""

    def __init__(self, name: str, python: str, setup: Setup) -> None:
        self.name = name
        module = MODULES[name.partition("-")[0]]
        log = Path(setup.scratch).with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("w+b")
        self._process = subprocess.Popen(  # noqa: S603 - the words are ours
            [python, "-m", module, setup.to_json()],
            cwd=ROOT,
            env=os.environ
            | {"PYTHONWARNINGS": "ignore", "FEAST_USAGE": "False"}
            | {REDIS_URL: f"redis://{setup.redis}/{DATABASES['fstore-redis']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, do: str, **words: Any) -> Any:
        """Send a command and return the answer; PeerFailedError where the process is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # its last words come below
            self._process.stdin.write(json.dumps({"do": do, **words}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            words_ = self._log.read().decode(errors="replace").strip().splitlines()
            raise PeerFailedError(f"{self.name}: {words_[-1][:300] if words_ else 'gone'}")
        return json.loads(line)

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process)
        self._log.close()


def stop(process: subprocess.Popen[Any]) -> None:
    """Let a process of ours end, and kill it where it does not."""
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port of this host that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[Any]) -> None:
    """Wait until somebody listens; PeerFailedError where the process ends or takes too long."""
    last = time.monotonic() + PATIENCE
    while time.monotonic() < last and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise PeerFailedError(f"{process.args!r} does not listen on port {port}")


@contextmanager
def redis(folder: Path) -> Iterator[str | None]:
    """Start a Redis of our own, which keeps nothing, and yield host:port; None without Redis."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        yield None
        return
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 - the words are ours
            [program, *words, "--dir", str(folder)], stdout=log, stderr=log
        )
        try:
            wait_for(port, server)
            yield f"127.0.0.1:{port}"
        finally:
            stop(server)


def flush(address: str, database: int) -> None:
    """Empty a database of a Redis."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(f"SELECT {database}\r\nFLUSHDB\r\n".encode())
        connection.recv(64)
