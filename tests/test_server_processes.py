"""The processes of the server: replaced, killed and stopped while callers keep asking."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load import Load, bodies, load, request
from fstore.server.processes import Processes, StartError
from tests.online import Online, stats
from tests.serving import Server, command, free_port, serving
from tests.test_server import refused

REQUESTS = [
    request("127.0.0.1", 1, "/get-online-features", body)
    for body in bodies(["stats:x", "stats:y"], "k", list(range(200)), 2)
]


@pytest.fixture
def online(tmp_path: Path) -> Online:
    project = Online(tmp_path, [stats([[key, "2024-01-01", key, "a"] for key in range(150)])])
    project.materialize()
    return project


@contextmanager
def loaded(server: Server, seconds: float) -> Iterator[list[Load]]:
    """Sixteen callers who ask without a pause, for so long at most; what came of it, afterwards."""
    found: list[Load] = []
    asking = threading.Thread(
        target=lambda: found.append(load("127.0.0.1", server.port, REQUESTS, 16, seconds))
    )
    asking.start()
    time.sleep(0.3)
    yield found
    asking.join()


def children(server: Server) -> set[int]:
    pid = server.process.pid
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def messages(server: Server) -> list[str]:
    return [line["message"] for line in server.log_lines() if "message" in line]


def answering(processes: Processes) -> list[subprocess.Popen[bytes]]:
    return [each.running for each in processes._answering if each is not None]


def counted(server: Server) -> float:
    """The requests for features that the metrics know of, over all processes."""
    text = server.ask("GET", "/metrics").body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "fstore_responses_total"
        and sample.labels == {"route": "/get-online-features", "status": "200"}
    )


def test_reloads_under_load_fail_no_request_and_lose_no_count(online: Online) -> None:
    with serving(online.directory, "--workers", "2") as server:
        eventually(lambda: len(children(server)) == 2)
        first = children(server)
        with loaded(server, 9) as found:
            for times in (1, 2):
                server.process.send_signal(signal.SIGHUP)
                eventually(lambda: messages(server).count("Reloaded.") == times)  # noqa: B023
        asked = found[0]
        assert not asked.failures
        assert set(asked.statuses) == {200}
        eventually(lambda: len(children(server)) == 2)
        assert not children(server) & first
        sent = len(asked.nanoseconds)
        assert sent <= counted(server) <= sent + 16  # those under way at the end
        assert len(server.lines()) >= sent


def test_what_cannot_be_read_changes_nothing(online: Online) -> None:
    with serving(online.directory) as server:
        before = children(server)
        settings = online.directory / "fstore.yml"
        for wrong, said in (
            ("server: {limits: {rowz: 1}}", "Did you mean rows?"),
            ("server: {keys: [{name: a, key: {env: NOT_SET}}]}", "NOT_SET is not set"),
        ):
            settings.write_text(wrong)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: any(said in line for line in messages(server)))  # noqa: B023
            assert messages(server)[-1].startswith("Not reloaded, all stays as it was: ")
        assert children(server) == before
        assert server.features({"k": [1]}).status == 200


def test_where_one_of_the_new_processes_cannot_start_the_old_ones_stay(
    online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {"project_dir": str(online.directory), "target": None, "profiles_dir": None}
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    processes = Processes(sockets, opened, os.environ, 1.0)
    try:
        processes.start(hurry=lambda: False)
        before, fresh = answering(processes), []
        places = iter((opened, opened | {"project_dir": str(online.directory / "gone")}))
        spawn = Processes._spawn

        def elsewhere(self: Processes, listener: socket.socket) -> Any:
            monkeypatch.setattr(self, "_opened", next(places))
            fresh.append(spawn(self, listener))
            return fresh[-1]

        monkeypatch.setattr(Processes, "_spawn", elsewhere)
        with pytest.raises(StartError, match="gone"):
            processes.replace(2.0, hurry=lambda: False)
        assert answering(processes) == before

        def the_new_ones_are_gone() -> bool:
            processes.look_after()
            return all(each.is_gone() for each in fresh)

        assert len(fresh) == 2
        eventually(the_new_ones_are_gone)
        assert answering(processes) == before
        assert all(each.poll() is None for each in before)
    finally:
        processes.kill()
        for each in sockets:
            each.close()


def test_what_cannot_take_the_place_of_one_that_died_says_why(online: Online) -> None:
    with serving(online.directory) as server:
        settings = online.directory / "fstore.yml"
        settings.write_text("server: {limits: {rowz: 1}}")
        (gone,) = children(server)
        os.kill(gone, signal.SIGKILL)
        told = "A process ended (1), for it cannot start: "
        eventually(lambda: any(line.startswith(told) for line in messages(server)))
        (line, *_) = (line for line in messages(server) if line.startswith(told))
        assert line.endswith("Did you mean rows? Another one takes its place.")
        settings.unlink()
        eventually(lambda: server.features({"k": [1]}).status == 200)


def test_a_process_that_dies_is_replaced(online: Online) -> None:
    with serving(online.directory, "--workers", "2") as server:
        eventually(lambda: len(children(server)) == 2)
        for _ in range(3):  # also one that has only begun
            gone = min(children(server))
            os.kill(gone, signal.SIGKILL)
            eventually(lambda: len(children(server) - {gone}) == 2)  # noqa: B023
        eventually(lambda: server.features({"k": [1]}).status == 200)
        assert "A process ended (-9); another one takes its place." in messages(server)


def test_processes_end_with_the_one_that_started_them(online: Online) -> None:
    with serving(online.directory) as server:
        left = children(server)
        server.process.kill()
        server.process.wait()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), 10)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", server.port), timeout=1)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_stopping_under_load_answers_what_was_asked(online: Online, stop: int) -> None:
    with serving(online.directory, "--workers", "2") as server:
        with loaded(server, 5) as found:
            server.process.send_signal(stop)
            assert server.process.wait(timeout=30) == 0
        asked = found[0]
        assert set(asked.failures) <= {"Connection refused"}, asked.failures
        assert set(asked.statuses) == {200}


def test_idle_callers_do_not_keep_it(online: Online) -> None:
    with (
        serving(online.directory) as server,
        socket.create_connection(("127.0.0.1", server.port)) as idle,
    ):
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10
        assert idle.recv(1) == b""


def test_a_port_is_served_once(online: Online) -> None:
    with serving(online.directory, "--workers", "2") as server:
        said = refused(online.directory, "--port", str(server.port), "--workers", "2")
        assert "Address already in use. Choose another --host or --port." in said


def test_ctrl_c_reaches_all_processes_and_ends_without_a_trace(
    online: Online, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(online.directory, "--port", str(free_port()), "--workers", "2"),
            stderr=file,
            start_new_session=True,  # as a terminal's: of a group of its own
        )
    eventually(lambda: b"fstore serves" in log.read_bytes())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert len(log.read_text().splitlines()) == 1
