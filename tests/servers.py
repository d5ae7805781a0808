"""Redis and PostgreSQL for the tests: servers of their own, on free ports, that end with them.

They need redis-server, and initdb and postgres, as the distributions pack them (on Debian:
redis-server, postgresql). One that is not installed fails the tests that ask for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path

import yaml

SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, package: str) -> str:
    """The path of a server's program; PostgreSQL's are not on PATH everywhere."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or next((str(path) for path in reversed(versions)), None)
    if found is None:
        raise RuntimeError(
            f"{name} is not installed, and the tests of that online store need it: install the "
            f"distribution's package {package} (.ci/run does)."
        )
    return found


class Server(ABC):
    """A server process in a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fstore-server-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def command(self) -> list[str]: ...

    @property
    @abstractmethod
    def url(self) -> str: ...

    user: str | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, user=self.user
            )
        deadline = time.monotonic() + SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log").read_text()[-2000:]
                self.stop()
                raise RuntimeError(said)
            time.sleep(0.02)

    @abstractmethod
    def ready(self) -> bool: ...

    def kill(self) -> None:
        """As a crash does; start() brings it back with what it had on disk."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self, number: int = signal.SIGSTOP) -> None:
        """The server and its children stand still: they take what is sent, and answer nothing."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in (self.process.pid, *map(int, children.split())):
            with suppress(ProcessLookupError):  # one that its client has left may go meanwhile
                os.kill(pid, number)

    def go_on(self) -> None:
        self.pause(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class RedisServer(Server):
    """Redis that hands every command to the system before it answers: what a kill -9 leaves."""

    @property
    def command(self) -> list[str]:
        options = f"--port {self.port} --bind 127.0.0.1 --save  --appendonly yes --appendfsync no"
        return [program("redis-server", "redis-server"), *options.split(" "), *self.options]

    def __init__(self, options: Sequence[str] = ()) -> None:
        super().__init__()
        self.options = tuple(options)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class PostgresServer(Server):
    """PostgreSQL, which refuses to run as root: another user of the system then does."""

    def __init__(self) -> None:
        super().__init__()
        if os.geteuid() == 0:
            names = {each.pw_name for each in pwd.getpwall()}
            self.user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(self.folder, self.user)
        initdb = [program("initdb", "postgresql"), "--pgdata", "data", "--username", "fstore"]
        initdb += ["--auth", "trust", "--no-sync", "--encoding", "UTF8", "--no-locale"]
        done = subprocess.run(initdb, cwd=self.folder, user=self.user, capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr.decode()[-2000:])

    @property
    def command(self) -> list[str]:
        options = [f"--port={self.port}", "--listen_addresses=127.0.0.1", "--shared_buffers=64MB"]
        options += [f"--unix_socket_directories={self.folder}", "--max_connections=60"]
        options.append("--fsync=off")  # the system does not crash, only the server does
        return [program("postgres", "postgresql"), "-D", "data", *options]

    @property
    def url(self) -> str:
        return f"postgresql://fstore@127.0.0.1:{self.port}/postgres"

    def kill(self) -> None:
        """SIGQUIT: no checkpoint, and none of its processes stays."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def ready(self) -> bool:
        ask = [program("pg_isready", "postgresql"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, capture_output=True).returncode == 0


SERVERS: dict[str, Callable[[], Server]] = {"redis": RedisServer, "postgres": PostgresServer}

KINDS = ("duckdb", *SERVERS)  # of online stores
URL = "FSTORE_TEST_URL"
_used: list[str] = []  # the kind that the fixture ``store_kind`` has chosen


def use(kind: str, server: Server | None) -> None:
    """Have the projects that are made from now on use this store."""
    _used[:] = [kind]
    if server is not None:
        os.environ[URL] = server.url


def settle(directory: Path) -> None:
    """Have a project use the chosen store; on a server, under a name that no other project has."""
    if not _used or _used[0] == "duckdb":
        return
    path = directory / "fstore.yml"
    settings = yaml.safe_load(path.read_text()) if path.exists() else {}
    settings["online_store"] = {"type": _used[0], "url": {"env": URL}}
    path.write_text(yaml.safe_dump(settings))
    path = directory / "dbt_project.yml"
    project = yaml.safe_load(path.read_text())
    project["name"] = f"shop_{sha1(str(directory).encode()).hexdigest()[:12]}"
    path.write_text(yaml.safe_dump(project))
