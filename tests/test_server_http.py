"""What the server makes of bytes: order, limits, ends of connections; what must not leave it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fstore.errors import LockTimeoutError, OnlineStoreError
from fstore.online.lock import locked
from fstore.online.response import OnlineResponse, Outputs
from fstore.project.serving import Limits
from fstore.server.access import Access
from fstore.server.app import App
from fstore.server.http import Connection
from fstore.server.hub import TOGETHER, Hub, Reply, Request
from fstore.server.requests import rows_pushed
from tests.harness import View
from tests.online import Online, stats
from tests.serving import Server, serving

BODY = json.dumps({"entities": {"k": [1]}, "features": ["stats:x"]}).encode()
ANSWER = b'"values":[10]'


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Online:
    huge = View(
        "huge",
        {"h": "HUGEINT", "t": "TIMESTAMP", "z": "INTEGER"},
        [[str(2**65), "2024-01-01", 1], [str(2**65 + 1), "2024-01-01", 2]],
        meta={"entities": {"number": "h"}, "event_timestamp": "t"},
    )
    project = Online(tmp_path_factory.mktemp("wire"), [stats([[1, "2024-01-01", 10, "a"]]), huge])
    project.materialize()
    (project.directory / "fstore.yml").write_text("server: {limits: {seconds: 1}}\n")
    return project


@pytest.fixture(scope="module")
def server(online: Online) -> Iterator[Server]:
    with serving(online.directory) as server:
        yield server


def post(body: bytes = BODY, *headers: str, path: str = "/get-online-features") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def heard(client: socket.socket, until: bytes = b"", seconds: float = 10) -> bytes:
    """What the server sends: until these bytes, or until it closes."""
    client.settimeout(seconds)
    found = b""
    while data := client.recv(1 << 16):
        found += data
        if until and until in found:
            break
    return found


def said(server: Server, data: bytes, until: bytes = b"", *, ends: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(data)
        if ends:
            client.shutdown(socket.SHUT_WR)
        return heard(client, until)


def test_requests_that_come_at_once_are_answered_in_order(server: Server) -> None:
    rows = {"k": [7], "t": ["2024-01-05"], "x": [70], "y": ["p"]}
    push = json.dumps({"push_source_name": "stats", "df": rows}).encode()
    after = json.dumps({"entities": {"k": [7]}, "features": ["stats:x"]}).encode()
    found = said(server, post() + post(push, path="/push") + post(after) + post(), ends=True)
    places = [found.index(part) for part in (ANSWER, b'"rows":1', b'"values":[70]')]
    assert places == sorted(places)
    assert found.count(b"HTTP/1.1 200 OK") == 4
    assert found.count(b"x-request-id: ") == 4


def test_forms_of_requests(server: Server) -> None:
    head = b"POST /get-online-features HTTP/1.1\r\nHost: localhost\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
    parts = (5, BODY[:5], len(BODY) - 5, BODY[5:])
    assert ANSWER in said(server, head + chunked % parts, ANSWER)
    waits = said(server, post(BODY, "Expect: 100-continue"), ANSWER)
    assert waits.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    assert ANSWER in said(server, post(BODY, *upgrade), ANSWER)
    old = said(server, post().replace(b"HTTP/1.1", b"HTTP/1.0"))  # it closes
    assert b"connection: close" in old
    assert b"connection: close" in said(server, post(BODY, "Connection: close"))
    only_head = said(server, b"HEAD /docs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert only_head.endswith(b"\r\n\r\n")
    assert b"content-length: 0" not in only_head
    assert b"\r\ndate: " in only_head
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        for byte in post(BODY):  # however it is cut
            client.sendall(bytes([byte]))
        assert ANSWER in heard(client, ANSWER)


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"hello\r\n\r\n", b"400 Bad Request", "The request is not HTTP."),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"400 Bad Request", "speaks HTTP/1.1 and"),
        (post(BODY, f"X: {'y' * 40_000}"), b"431 Request Header", "Headers may have 32768 bytes."),
        (post()[:-5], b"408 Request Timeout", "The request was not whole within 1 seconds."),
        (
            post(BODY, "Host: localhost"),
            b"400 Bad Request",
            "The request has several headers host.",
        ),
        (
            post(BODY, "Authorization: Bearer a", "authorization: Bearer b"),
            b"400 Bad Request",
            "The request has several headers authorization.",
        ),
        (b"POST /push HTT", b"408 Request Timeout", "was not whole within 1 seconds."),
    ],
    ids=["not HTTP", "CONNECT", "long headers", "slow body", "hosts", "keys", "slow headers"],
)
def test_what_is_no_request(server: Server, data: bytes, status: bytes, words: str) -> None:
    found = said(server, data)
    assert found.startswith(b"HTTP/1.1 " + status)
    head, _, body = found.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert words in json.loads(body)["detail"]
    assert said(server, post(), ANSWER)


def test_a_caller_who_does_not_read_is_left(server: Server) -> None:
    rows = json.dumps({"entities": {"k": [1] * 10_000}, "features": ["stats:*"]}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with suppress(OSError):
            for _ in range(40):
                client.sendall(post(rows))
                time.sleep(0.1)
            pytest.fail("the server took everything in")
    assert server.features({"k": [1]}).status == 200


def test_a_push_that_waits_too_long(server: Server, online: Online) -> None:
    rows = {"k": [8], "t": ["2024-01-05"], "x": [80], "y": ["p"]}
    with locked(online.folder / "PUSHES", 5):
        found = server.ask("POST", "/push", {"push_source_name": "stats", "df": rows})
        assert server.features({"k": [1]}).status == 200  # a read does not wait
    assert found.status == 503
    said = "Not answered within 1 seconds; it may still be taken in."
    assert found.json()["detail"] == said


def test_whole_numbers_of_any_size_are_read_exactly(server: Server) -> None:
    entities = {"h": [2**65 + 1, 2**65, str(2**65 + 1)]}
    found = server.features(entities, features=["huge:z"]).json()["results"]
    assert found[1]["values"] == [2, 1, 2]
    body = json.dumps({"push_source_name": "v", "df": {"h": [2**65 + 1, 1e300]}}).encode()
    assert rows_pushed(body, 10).rows == {"h": [2**65 + 1, 1e300]}


def test_pages_of_other_hosts_may_not_ask_without_keys(server: Server) -> None:
    asked = {"entities": {"k": [1]}, "features": ["stats:x"]}
    for origin in ("http://evil.example", "http://[", "null", "", "localhost", "http://"):
        found = server.ask("POST", "/get-online-features", asked, Origin=origin)
        assert (found.status, found.json()["detail"]) == (
            403,
            "Without keys, pages of other hosts may not ask.",
        )
    own = f"http://localhost:{server.port}"
    assert server.ask("POST", "/get-online-features", asked, Origin=own).status == 200
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200)):
        found = server.ask("POST", "/get-online-features", asked, Sec_Fetch_Site=site)
        assert found.status == status
        assert server.ask("GET", "/metrics", Sec_Fetch_Site=site).status == status
    assert server.ask("GET", "/metrics", Sec_Fetch_Site="none").status == 200
    assert server.ask("GET", "/docs", Sec_Fetch_Site="cross-site").status == 200  # a link to it


def test_names_of_other_hosts_lead_nowhere_without_keys(server: Server) -> None:
    evil = (f"evil.example:{server.port}", "evil.example", "127.0.0.1.evil.example", "[", "::1")
    for host in (*evil, "localhost.evil", "127.0.0.1@evil", "localhost:x@evil"):
        for path in ("/metrics", "/health", "/docs"):
            found = server.ask("GET", path, Host=host)
            assert (found.status, path) == (403, path)
            assert "127.0.0.1" in found.json()["detail"]
        found = server.ask("POST", "/get-online-features", {}, Host=host)
        assert found.status == 403
    for host in ("localhost", "LocalHost:1", "127.0.0.1", "127.0.0.1:80", "[::1]:6566", "[::1]"):
        assert server.ask("GET", "/metrics", Host=host).status == 200, host
    assert b"200 OK" in said(server, b"GET /health HTTP/1.0\r\n\r\n")
    head = b"GET /health HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"403 Forbidden" in said(server, head + b"0\r\nHost: localhost\r\n\r\n", b"}")


class Broken:
    """A store that fails with the words of something that no caller should read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_online_features(self, *_: Any) -> Any:
        raise self.error

    def status(self) -> Any:
        raise self.error


def asked(error: Exception, path: str = "/get-online-features") -> Reply:
    app = App(Broken(error), Access(()), Limits(), reads_block=False)  # type: ignore[arg-type]
    request = Request("GET" if path == "/health" else "POST", path, {}, BODY, "me")

    async def ask() -> Reply:
        (found,) = app([request])
        return found if isinstance(found, Reply) else await found

    return asyncio.run(ask())


def test_what_went_wrong_inside_stays_inside(capsys: pytest.CaptureFixture[str]) -> None:
    for error, status, words in (
        (RuntimeError("/secret"), 500, "The request failed. The server's log has it as me."),
        (OnlineStoreError("/secret gone"), 503, "The server's log has the reason as me."),
        (LockTimeoutError("/secret", 1, "p", "q"), 503, "The server's log has the reason as me."),
    ):
        reply = asked(error)
        assert reply.status == status
        assert words in json.loads(reply.body)["detail"]
        assert b"secret" not in reply.body
        logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert [line.get("level") for line in logged] == ["error", None]
        assert "/secret" in logged[0]["error"]
        assert {line["request_id"] for line in logged} == {"me"}
    health = asked(OnlineStoreError("/secret gone"), "/health")
    assert (health.status, json.loads(health.body)["ready"]) == (503, False)
    assert b"secret" not in health.body


AFTER_START = """
import asyncio, json, sys
from fstore import FeatureStore
from fstore.project.serving import Limits
from fstore.server.access import Access
from fstore.server.app import App
from fstore.server.hub import Request
from fstore.server.worker import prepare

store = FeatureStore(sys.argv[1])
prepare(store)
app = App(store, Access(()), Limits(), reads_block=False)
before = set(sys.modules)
body = {"entities": {"k": [1]}, "features": ["stats:x"]}
async def ask():
    return app([Request("POST", "/get-online-features", {}, json.dumps(body).encode(), "me")])

(reply,) = asyncio.run(ask())
assert b'"values":[10]' in reply.body, reply
print(json.dumps(sorted(name for name in set(sys.modules) - before if "sqlglot" in name)))
"""


def test_a_request_loads_no_sqlglot_and_needs_no_warehouse(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats([[1, "2024-01-01", 10, "a"]])])
    online.materialize()
    (tmp_path / "wh.duckdb").unlink()
    (tmp_path / "target" / "manifest.json").unlink()
    ran = subprocess.run(
        [sys.executable, "-c", AFTER_START, str(tmp_path)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == []


class Wire(asyncio.Transport):
    """What a connection writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.aborted, self.reads = b"", False, True

    def write(self, data: Any) -> None:
        self.said += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def connected(application: Any, count: int) -> tuple[list[Connection], list[Wire]]:
    hub = Hub(application, lambda request, error: Reply(error.status, b""), 1000, 1)
    connections, wires = [Connection(hub) for _ in range(count)], [Wire() for _ in range(count)]
    for connection, wire in zip(connections, wires, strict=True):
        connection.connection_made(wire)
    return connections, wires


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_of_one_turn_are_answered_together() -> None:
    asked: list[list[bytes]] = []

    def application(requests: Any) -> list[Reply]:
        asked.append([request.body for request in requests])
        return [Reply(200, request.body) for request in requests]

    async def run() -> list[Wire]:
        connections, wires = connected(application, TOGETHER + 3)
        for place, connection in enumerate(connections):
            connection.data_received(post(b"%d" % place) + post(b"more"))
        connections[1].connection_lost(None)
        connections[2].data_received(b"garbage")
        assert not asked
        assert not any(wire.reads for wire in wires)
        await turns(6)
        assert wires[0].reads
        return wires

    wires = asyncio.run(run())
    places = [b"%d" % place for place in range(TOGETHER + 3) if place not in (1, 2)]
    first = TOGETHER - 2
    assert asked[0] == places[:first]
    assert asked[1] == places[first:] + [b"more"] * (TOGETHER - 3)  # whoever came first
    assert sum(map(len, asked)) == 2 * len(places)
    assert wires[1].said == b""
    assert wires[2].said.startswith(b"HTTP/1.1 400 Bad Request")
    for place, wire in enumerate(wires):
        if place not in (1, 2):
            assert wire.said.count(b"HTTP/1.1 200 OK") == 2
            assert wire.said.index(b"\r\n\r\n%d" % place) < wire.said.index(b"\r\n\r\nmore")


def test_an_application_that_fails_leaves_nobody_waiting() -> None:
    def application(_: Any) -> list[Reply]:
        raise RuntimeError("broken")

    async def run() -> list[Wire]:
        seen: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
        connections, wires = connected(application, 2)
        for connection in connections:
            connection.data_received(post())
        await turns(2)
        assert [str(context["exception"]) for context in seen] == ["broken"]
        return wires

    assert [wire.aborted for wire in asyncio.run(run())] == [True, True]


def test_what_fails_in_one_request_fails_in_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    class Picky:
        def get_online_features(self, features: Any, *_: Any) -> Any:
            if features == ["bad:x"]:
                raise RuntimeError("broken")
            return OnlineResponse({"k": ("BIGINT", [1])}, Outputs(()), [], 1)

    app = App(Picky(), Access(()), Limits(), reads_block=False)  # type: ignore[arg-type]
    bodies = [BODY, BODY.replace(b"stats:x", b"bad:x"), b"{", BODY]

    async def run() -> list[int]:
        found = app([Request("POST", "/get-online-features", {}, body, "id") for body in bodies])
        await turns(2)
        return [each.status for each in found if isinstance(each, Reply)]

    assert asyncio.run(run()) == [200, 500, 422, 200]
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.get("status") for line in lines] == [None, 200, 500, 422, 200]
