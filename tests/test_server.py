"""The HTTP server, as clients meet it: real processes on free ports."""

from __future__ import annotations

import http.client
import importlib
import json
import math
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families

from fstore.cli import main
from fstore.online.response import FeatureCells, OnlineResponse, Output, Outputs
from fstore.server.answers import Answers
from fstore.server.openapi import document
from tests.harness import Service, View
from tests.online import Online, stats
from tests.serving import READ, WRITE, Server, command, serving

SERVICE = Service("svc", features=["stats:*"])


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Online:
    rows = [[1, "2024-01-01", 10, "a"], [2, "2024-01-02 03:04:05.678901", None, "é"]]
    alone = View(
        "alone",
        {"t": "TIMESTAMP", "z": "INTEGER"},
        [["2024-01-01", 7]],
        meta={"entities": {}, "event_timestamp": "t"},
    )
    project = Online(tmp_path_factory.mktemp("served"), [stats(rows), alone], [SERVICE])
    project.materialize()
    return project


@pytest.fixture(scope="module")
def server(online: Online) -> Iterator[Server]:
    with serving(online.directory, keys=True) as server:
        yield server


def result(values: list[Any], statuses: list[str], times: list[str]) -> dict[str, Any]:
    return {"values": values, "statuses": statuses, "event_timestamps": times}


NO_TIME = "1970-01-01T00:00:00Z"


def test_features_in_feasts_form(server: Server) -> None:
    asked = {"features": ["stats:x", "stats:y"]}
    found = server.features({"k": [2, 1, 9]}, **asked)
    assert found.status == 200
    assert found.headers["content-type"] == "application/json"
    times = ["2024-01-02T03:04:05.678901Z", "2024-01-01T00:00:00Z", NO_TIME]
    assert found.json() == {
        "metadata": {"feature_names": ["k", "x", "y"]},
        "results": [
            result([2, 1, 9], ["PRESENT"] * 3, [NO_TIME] * 3),
            result([None, 10, None], ["NULL_VALUE", "PRESENT", "NOT_FOUND"], times),
            result(["é", "a", None], ["PRESENT", "PRESENT", "NOT_FOUND"], times),
        ],
    }
    full = server.features({"k": [1]}, **asked, full_feature_names=True).json()
    assert full["metadata"]["feature_names"] == ["k", "stats__x", "stats__y"]
    service = server.features({"k": [1], "more": [1]}, feature_service="svc", features=[]).json()
    assert service["metadata"]["feature_names"] == ["k", "x", "y"]


def test_no_rows_and_views_of_no_entity(server: Server) -> None:
    assert server.features({}, features=["alone:z"]).json()["results"][0]["values"] == [7]
    none = server.features({"k": []}).json()
    assert [each["values"] for each in none["results"]] == [[], []]
    both = server.features({"k": [1, 2]}, features=["stats:x", "alone:z"]).json()
    assert both["results"][2]["values"] == [7, 7]
    assert server.features({}).status == 422


def feast_error(body: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(json.loads(body))
    return found


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"entities": {"k": [1]}, "features": ["stats:z"]}, 404, "stats:z is not a feature. stats"),
        ({"entities": {"k": [1]}, "features": ["stat:x"]}, 404, "Did you mean stats?"),
        ({"entities": {"k": [1]}, "feature_service": "sv"}, 404, "Did you mean svc?"),
        ({"entities": {"k": ["x"]}, "features": ["stats:x"]}, 422, "k is 'x', and the join key k"),
        ({"entities": {"j": [1]}, "features": ["stats:x"]}, 422, "has no column k"),
        ({"entities": {"k": [1], "j": []}, "features": ["stats:x"]}, 422, "different lengths"),
        ({"entities": {"k": [1]}}, 422, "features"),
        ({"features": ["stats:x"]}, 422, "entities must be an object of lists"),
        ({"entities": {"k": 1}, "features": ["stats:x"]}, 422, "entities.k must be a list."),
        ({"entities": {"k": [1]}, "features": "stats:x"}, 422, "features must be a list of text"),
        ({"entities": {"k": [1]}, "feature_service": 5}, 422, "feature_service must be text."),
        (
            {"entities": {"k": [1]}, "features": ["stats:x"], "full_feature_names": 1},
            422,
            "full_feature_names must be true or false.",
        ),
        ([1], 422, "The body must be a JSON object."),
        (b"{", 422, "The body is not JSON"),
        (
            {"entities": {"k": list(range(10_001))}, "features": ["stats:x"]},
            413,
            "entities has 10001 rows, and this server takes 10000 at a time.",
        ),
    ],
)
def test_mistakes_of_callers(server: Server, asked: Any, status: int, said: str) -> None:
    found = server.ask("POST", "/get-online-features", asked)
    assert found.status == status
    detail = found.json()
    if status == 404:
        detail = {"detail": feast_error(found.body)["message"]}
        assert feast_error(found.body)["module"] == "feast.errors"
    assert said in detail["detail"]
    assert "Traceback" not in found.body.decode()


def test_a_body_that_is_too_long(server: Server) -> None:
    said = b"The body is longer than 16000000 bytes, the most this server takes."
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        key = server.headers["Authorization"]
        head = f"POST /push HTTP/1.1\r\nHost: a\r\nAuthorization: {key}"
        client.sendall(f"{head}\r\nContent-Length: 16000001\r\n\r\n".encode())
        assert said in client.recv(1 << 16)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        part = b"%x\r\n" % 1_000_000 + b" " * 1_000_000 + b"\r\n"
        try:
            for _ in range(20):
                client.sendall(part)
            client.sendall(b"0\r\n\r\n")
        except OSError:  # it has heard enough
            pass
        assert said in client.recv(1 << 16)


def test_paths_and_methods(server: Server) -> None:
    assert server.ask("GET", "/").status == 404
    assert "there are: /get-online-features, /push" in server.ask("GET", "/x").json()["detail"]
    wrong = server.ask("GET", "/push")
    assert (wrong.status, wrong.json()["detail"]) == (405, "/push takes POST, not GET.")
    assert server.ask("HEAD", "/health").body == b""


def test_keys(server: Server, online: Online) -> None:
    asked = {"entities": {"k": [1]}, "features": ["stats:x"]}

    def ask(path: str, key: str | None) -> Any:
        return server.ask("POST", path, asked, Authorization=key or "")

    for wrong in (None, "Bearer", "Bearer x", READ, f"Basic {READ}", f"Bearer {READ}x", "Bearer é"):
        refused = ask("/get-online-features", wrong)
        assert refused.status == 401, wrong
        assert "Authorization: Bearer" in refused.json()["detail"]
        assert refused.headers["www-authenticate"] == "Bearer"
    assert ask("/get-online-features", f"Bearer {READ}").status == 200
    assert ask("/get-online-features", f"bearer  {READ}").status == 200
    refused = ask("/push", f"Bearer {READ}")
    assert refused.status == 403
    assert refused.json()["detail"] == "The key of FSTORE_READ_KEY has no right to write."
    assert server.ask("GET", "/metrics", Authorization="").status == 401
    assert server.ask("GET", "/health", Authorization="").status == 200
    elsewhere = {"Host": "a.example", "Sec_Fetch_Site": "cross-site"}
    assert server.ask("GET", "/metrics", **elsewhere).status == 200
    assert READ not in server.log.read_text()


def test_push(server: Server) -> None:
    df = {"k": [5, 6], "t": ["2024-01-05T00:00:00Z", "2024-01-06"], "x": [50, 60], "y": ["p", None]}
    done = server.ask("POST", "/push", {"push_source_name": "stats", "df": df, "to": "online"})
    assert (done.status, done.json()) == (200, {"rows": 2, "refused": 0})
    found = server.features({"k": [5, 6]}, features=["stats:*"]).json()["results"]
    assert [each["values"] for each in found] == [[5, 6], [50, 60], ["p", None]]
    for body, status, said in (
        ({"push_source_name": "stats", "df": {"k": [1]}}, 422, "lack t, x, y of stats"),
        ({"push_source_name": "stat", "df": df}, 404, "Did you mean stats?"),
        ({"push_source_name": "stats", "df": df, "to": "on"}, 422, "to='on' is none of online"),
        ({"push_source_name": "stats", "df": df, "to": 1}, 422, "to must be online, offline"),
        ({"push_source_name": 1, "df": df}, 422, "push_source_name must be the name of"),
        (
            {"push_source_name": "stats", "df": df | {"x": [50, 1.9]}},
            422,
            "rows[1]: x is 1.9, and x of stats is INTEGER: give a whole number",
        ),
        ({"push_source_name": "stats", "df": []}, 422, "df must be an object of lists"),
    ):
        refused = server.ask("POST", "/push", body)
        assert refused.status == status
        assert said in refused.body.decode()


def test_health_and_docs(server: Server, online: Online) -> None:
    found = server.ask("GET", "/health").json()
    assert found["ready"] is True
    assert found["views"]["stats"]["rows"] == 2
    assert found["views"]["stats"]["as_of"] == "2024-01-10T00:00:00.000000Z"
    assert found["views"]["stats"]["age_seconds"] > 0
    assert server.ask("GET", "/openapi.json").json() == document()
    page = server.ask("GET", "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"POST /get-online-features" in page.body


def test_the_document_lists_every_status() -> None:
    always = {"200", "400", "408", "413", "431", "500"}
    more = {
        "/get-online-features": {"401", "403", "404", "422", "503"},
        "/push": {"401", "403", "404", "422", "503"},
        "/health": {"403", "503"},
        "/metrics": {"401", "403", "503"},
    }
    found = {
        path: {*operation["responses"]}
        for path, methods in document()["paths"].items()
        for operation in methods.values()
    }
    assert found == {path: always | each for path, each in more.items()}


def test_metrics(server: Server) -> None:
    def read() -> dict[tuple[str, ...], float]:
        text = server.ask("GET", "/metrics").body.decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    before = read()
    server.features({"k": [1, 2, 9]}, features=["stats:x"])
    after = read()

    def grown(*name: str) -> float:
        return after[name] - before.get(name, 0)

    route = "/get-online-features"
    assert grown("fstore_responses_total", route, "200") == 1
    assert grown("fstore_request_seconds_count", route) == 1
    cells = {s: grown("fstore_feature_values_total", s, "stats") for s in ("PRESENT", "NULL_VALUE")}
    assert cells == {"PRESENT": 1, "NULL_VALUE": 1}
    assert grown("fstore_feature_values_total", "NOT_FOUND", "stats") == 1
    assert after["fstore_store_up",] == 1
    assert after["fstore_generation",] == 1
    assert after["fstore_view_age_seconds", "stats"] > 0


TWO = {"entities": {"k": [1, 2]}, "features": ["stats:x"]}


def test_request_ids_and_the_log(server: Server) -> None:
    mine = server.ask("GET", "/health", X_Request_ID="mine-1")
    assert mine.headers["x-request-id"] == "mine-1"
    for strange in ("x" * 200, 'a"b', "a b"):
        assert server.ask("GET", "/health", X_Request_ID=strange).headers["x-request-id"] != strange
    server.ask("POST", "/get-online-features", TWO, X_Request_ID="mine-2")
    line = server.line_of("mine-2")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/get-online-features", 200)
    assert (line["rows"], line["key"]) == (2, "FSTORE_WRITE_KEY")
    assert line["ms"] > 0
    assert datetime.fromisoformat(line["time"])
    assert server.line_of("mine-1")["path"] == "/health"


OPERATIONS = [each.ok() for each in schemathesis.openapi.from_dict(document()).get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: str(each.path).strip("/"))
def test_random_requests_meet_no_500(server: Server, operation: Any) -> None:
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        url = f"http://127.0.0.1:{server.port}"
        answered = case.call(base_url=url, headers=server.headers)
        assert answered.status_code < 500

    check()


def test_values_that_json_has_no_form_for() -> None:
    times = (0, None, 2**63 - 1)
    columns = {
        "d": ("DOUBLE", (math.nan, None, math.inf)),
        "p": ("DECIMAL(4,2)", (Decimal("1.50"), None, Decimal("2.00"))),
        "h": ("HUGEINT", (2**100, None, 5)),
        "l": ("DOUBLE[]", ([1.0, math.nan], None, [])),
        "s": ("STRUCT(a TIMESTAMP)", ({"a": datetime(2024, 1, 2)}, None, {"a": None})),
        "b": ("BLOB", (b"\x00\xff", None, b"")),
        "t": ("TIMESTAMP", (datetime(2024, 1, 2), None, datetime.max)),
    }
    found = [[times, (1, 1, 1), *(values for _, values in columns.values())]]
    outputs = [
        Output(name, kind, "v", 0, place)
        for place, (name, (kind, _)) in enumerate(columns.items(), start=2)
    ]
    response = OnlineResponse({"k": ("INTEGER", (1, 2, 3))}, Outputs(tuple(outputs)), found, 3)
    body = json.loads(Answers().of(response).body)
    values = dict(
        zip(
            body["metadata"]["feature_names"],
            (each["values"] for each in body["results"]),
            strict=True,
        )
    )
    assert values == {
        "k": [1, 2, 3],
        "d": ["NaN", None, "Infinity"],
        "p": ["1.50", None, "2.00"],
        "h": [str(2**100), None, 5],
        "l": [[1.0, "NaN"], None, []],
        "s": [{"a": "2024-01-02T00:00:00.000000Z"}, None, {"a": None}],
        "b": ["00ff", None, ""],
        "t": ["2024-01-02T00:00:00.000000Z", None, "9999-12-31T23:59:59.999999Z"],
    }
    assert body["results"][1]["event_timestamps"][1:] == [NO_TIME, "9999-12-31T23:59:59.999999Z"]
    assert isinstance(response.features["d"], FeatureCells)


def test_nothing_published_yet(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats([[1, "2024-01-01", 1, "a"]])])
    with serving(tmp_path) as server:
        health = server.ask("GET", "/health")
        assert (health.status, health.json()["ready"]) == (503, False)
        refused = server.features({"k": [1]})
        assert refused.status == 503
        assert "Run: fstore materialize" in refused.json()["detail"]
        online.materialize()  # seen without a restart
        assert server.features({"k": [1]}).json()["results"][1]["values"] == [1]
        assert server.ask("GET", "/health").status == 200
        assert {"anybody"} == {each["key"] for each in server.lines() if each["rows"]}


class Load(threading.Thread):
    """Asks again and again over kept connections; notes whatever is not the right answer."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server, self.wrong, self.answered, self.over = server, [], 0, threading.Event()

    def run(self) -> None:
        body = json.dumps({"entities": {"k": [1]}, "features": ["stats:x"]})
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        while not self.over.is_set():
            try:
                connection.request("POST", "/get-online-features", body, self.server.headers)
                found = connection.getresponse()
                values = json.loads(found.read())["results"][1]["values"]
                if found.status != 200 or values != [10]:
                    self.wrong.append((found.status, values))
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.wrong.append(repr(error))
        connection.close()


def test_a_reload_drops_no_request_and_reads_the_settings_again(
    online: Online, tmp_path: Path
) -> None:
    with serving(online.directory, "--workers", "2", log=tmp_path / "log") as server:
        loads = [Load(server) for _ in range(4)]
        for load in loads:
            load.start()
        time.sleep(0.5)
        (online.directory / "fstore.yml").write_text("server: {limits: {rows: 2}}\n")
        try:
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 30
            while server.features({"k": [1, 1, 1]}).status != 413:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(1)
        finally:
            (online.directory / "fstore.yml").unlink()
            for load in loads:
                load.over.set()
            for load in loads:
                load.join()
        assert [load.wrong for load in loads] == [[]] * 4
        assert min(load.answered for load in loads) > 100


def test_stopping_finishes_what_is_asked(online: Online, tmp_path: Path) -> None:
    with serving(online.directory, log=tmp_path / "log") as server:
        body = json.dumps({"entities": {"k": [1]}, "features": ["stats:x"]}).encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            head = "POST /get-online-features HTTP/1.1\r\nHost: localhost"
            head += f"\r\nContent-Length: {len(body)}"
            client.sendall(head.encode() + b"\r\n\r\n" + body[:10])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            client.sendall(body[10:])
            assert b'"values":[10]' in client.recv(1 << 16)
        assert server.process.wait(timeout=30) == 0


def refused(directory: Path, *options: str, **env: str) -> str:
    """What ``fstore serve`` says where it does not start."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("FSTORE_")}
    ran = subprocess.run(
        command(directory, *options), capture_output=True, text=True, timeout=60, env=known | env
    )
    assert ran.returncode == 1, ran.stderr
    return " ".join(ran.stderr.split())


def test_it_does_not_start_where_it_should_not(online: Online) -> None:
    directory = online.directory
    assert "for anybody who can reach it: no key is set" in refused(directory, "--host", "0.0.0.0")
    said = refused(directory, FSTORE_READ_KEY="short")
    assert "server.keys (FSTORE_READ_KEY): FSTORE_READ_KEY must hold at least 16 ASCII" in said
    said = refused(directory, FSTORE_READ_KEY=WRITE, FSTORE_WRITE_KEY=WRITE)
    assert "server.keys (FSTORE_WRITE_KEY): FSTORE_WRITE_KEY holds the same key as FSTORE" in said
    assert "give each a key of its own." in said
    assert WRITE not in said
    (directory / "fstore.yml").write_text("server: {keys: [{name: a, key: {env: NOT_SET}}]}\n")
    try:
        said = refused(directory)
    finally:
        (directory / "fstore.yml").unlink()
    assert "server.keys (a): environment variable NOT_SET is not set." in said
    two = "[{name: a, key: {env: A}}, {name: b, key: {env: B}, rights: [write]}]"
    (directory / "fstore.yml").write_text(f"server: {{keys: {two}}}\n")
    try:
        said = refused(directory, A=READ, B=READ)
    finally:
        (directory / "fstore.yml").unlink()
    assert "server.keys (b): B holds the same key as A of a" in said
    assert READ not in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused(directory, "--port", str(taken.getsockname()[1]))
    assert "Choose another --host or --port." in said


def test_what_it_says_when_it_starts(online: Online, tmp_path: Path) -> None:
    with serving(online.directory, keys=True, log=tmp_path / "log") as server:
        first = server.log.read_text().splitlines()[0]
    assert first.startswith("fstore serves generation 1, 2 views at http://127.0.0.1:")
    assert first.endswith("keys of FSTORE_READ_KEY, FSTORE_WRITE_KEY)")


def test_without_the_extra_it_says_what_to_install(
    online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = importlib.import_module

    def missing(name: str) -> object:
        if name == "fstore.server.run":
            raise ModuleNotFoundError("No module named 'httptools'", name="httptools")
        return imported(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    done = CliRunner().invoke(main, ["serve", "--project-dir", str(online.directory)])
    assert done.exit_code == 1
    assert "comes with the extra: install dbt-fstore[server]" in " ".join(done.stderr.split())
