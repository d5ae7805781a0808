"""The benchmark still runs and its peers still agree, on a hundredth of the rows.

How fast anything is, no test says: `make bench` measures.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.load import load
from benchmarks.online_page import render
from benchmarks.online_windows_goals import goals as goals_of_windows_online
from benchmarks.online_windows_report import render as render_windows_online
from benchmarks.windows_report import render as render_windows

ROOT = Path(__file__).parents[1]


def test_a_small_run_gives_right_rows_and_a_page(tmp_path: Path) -> None:
    output = tmp_path / "offline.json"
    command = [sys.executable, "-m", "benchmarks.offline", "--scale", "0.002"]
    command += ["--shapes", "a/parquet,c/sorted,f/skewed/table", "--repetitions", "1"]
    command += ["--peers", "limit,fstore,polars", "--in-process"]
    command += ["--data", str(tmp_path / "data"), "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = json.loads(output.read_text())["cases"]
    assert [case["case"] for case in cases] == ["a/parquet", "c/sorted", "f/skewed/table"]
    ran = [(run["peer"], run["plan"], run.get("rows")) for case in cases for run in case["runs"]]
    assert {rows for peer, _, rows in ran if peer != "limit"} == {"right"}
    assert {plan for peer, plan, _ in ran if peer == "fstore"} == {
        None, "pairs", "bounded", "bucketed", "asof", "placed",
    }  # fmt: skip


def test_a_small_run_online_gives_right_values_and_a_page(tmp_path: Path) -> None:
    output = tmp_path / "online.json"
    words = "--scale 0.002 --peers fstore --parts materialize,reads,http"
    words += f" --repetitions 1 --rounds 1 --seconds 0.02 --data {tmp_path / 'data'}"
    command = [sys.executable, "-m", "benchmarks.online", "--output", str(output), *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert found["values"] == {"fstore": "right"}
    assert [(each["keys"], each["features"]) for each in found["reads"]] == [
        (keys, features) for features in (10, 100) for keys in (1, 10, 100, 500)
    ]
    assert {each["values"] for each in found["http"]} == {"right"}
    assert {tuple(each["statuses"]) for each in found["http"]} == {("200",)}
    assert "## Goals" in render(found)


ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nX: y\r\nCONTENT-LENGTH:  5\r\n%b\r\nhello"
WHOLE, CLOSES = ANSWER % b"", ANSWER % b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("parts", "statuses", "failures"),
    [
        ([WHOLE], {503}, set()),
        ([WHOLE[:20], WHOLE[20:50], WHOLE[50:]], {503}, set()),
        ([WHOLE[:-6], WHOLE[-6:-2], WHOLE[-2:]], {503}, set()),
        ([CLOSES], {503}, set()),
        ([WHOLE[:-2]], set(), {"closed before the answer was whole"}),
        ([b"HTTP/1.1 200 OK\r\n\r\n"], set(), {"an answer without Content-Length"}),
    ],
    ids=["whole", "head in parts", "body in parts", "closes", "cut off", "without length"],
)
def test_the_load_reads_answers_however_they_come(
    parts: list[bytes], statuses: set[int], failures: set[str]
) -> None:
    def answer(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # the test is over
                return
            with client, suppress(OSError):  # the caller may be gone
                while client.recv(1 << 16):
                    for part in parts:
                        client.sendall(part)
                        time.sleep(0.002)
                    if parts[-1] in (CLOSES, WHOLE[:-2]):
                        break

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        found = load("127.0.0.1", listener.getsockname()[1], [b"POST / HTTP/1.1\r\n\r\n"], 1, 0.1)
        listener.shutdown(socket.SHUT_RDWR)
    assert set(found.statuses) == statuses
    assert set(found.failures) == failures
    assert found.answer_bytes in (0, 5)
    assert 0 < found.processor < 0.1


def test_a_small_run_of_windows_gives_right_rows_and_a_page(tmp_path: Path) -> None:
    output = tmp_path / "windows.json"
    command = [sys.executable, "-m", "benchmarks.windows", "--scale", "0.002", "--in-process"]
    command += ["--parts", "even,skewed,spine", "--repetitions", "1"]
    command += ["--data", str(tmp_path / "data"), "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    ran = [
        run for part in ("even", "skewed") for case in found["parts"][part] for run in case["runs"]
    ]
    assert {run.get("rows", "right") for run in ran} == {"right"}
    assert {run["plan"] for run in ran if run["peer"] == "fstore"} == {None, "bands", "mixed"}
    page = render_windows(found)
    assert "## Goals" in page
    assert "growth with spine: exponent" in page


def test_a_small_run_of_windows_online_gives_right_answers_and_a_page(tmp_path: Path) -> None:
    output = tmp_path / "windows.json"
    words = "--scale 0.002 --parts reads,http,pushes,after,state --repetitions 1 --rounds 1"
    words += f" --seconds 0.02 --data {tmp_path / 'data'} --output {output}"
    command = [sys.executable, "-m", "benchmarks.online_windows", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    parts = found["parts"]
    assert {*parts["reads"]["values"].values(), *parts["pushes"]["values"].values()} == {"right"}
    assert {parts["http"]["values"], parts["after"]["values"]} == {"right"}
    assert {each["values"] for each in parts["http"]["pushes"]} == {"right"}
    assert {each["values"] for each in parts["state"]["bytes"]} == {"right"}
    measured = [goal for goal in goals_of_windows_online(parts) if goal.measured is not None]
    assert len(measured) == 1 + 2 + 8
    assert "## Goals" in render_windows_online(found)
