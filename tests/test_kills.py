"""kill -9 of a materialize at random instants: readers see the old or the new, always whole.

Ten kills in the ordinary run, a hundred with `-m soak`.
"""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from tests.harness import WAREHOUSE, View
from tests.online import STATS_META, Online, materialize_at

KEYS = 2_000
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}

# Checks each answer, until its input closes; then prints how many it saw, and what was wrong.
READER = """
import select, sys
from tests.online import *
reader = OnlineReader(jobs.DuckDBStore(Path(sys.argv[1])))
answers, wrong, newest = 0, [], 0
rows = [{"k": key} for key in range(0, int(sys.argv[2]), 97)]
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        found = reader.get(["one:x", "two:x"], None, rows, True, None, micros(NOW)).to_dict()
        values = set(found["one__x"]) | set(found["two__x"])
        if len(values) != 1 or None in values or min(values) < newest:
            wrong.append(f"{values} after {newest}")
        else:
            newest = max(values)
    except Exception as error:
        wrong.append(repr(error))
    answers += 1
print(answers, newest, wrong[:3], flush=True)
"""


def build(directory: Path, value: int) -> None:
    """What dbt would: both views anew, every row with this value."""
    with duckdb.connect(str(directory / WAREHOUSE), config={"threads": 1}) as connection:
        for name in ("one", "two"):
            connection.execute(
                f"CREATE OR REPLACE TABLE {name} AS SELECT range AS k,"
                f" TIMESTAMP '2024-01-01' AS t, {value}::BIGINT AS x FROM range({KEYS})"
            )


def kill_again_and_again(directory: Path, kills: int, seed: int) -> None:
    chosen = random.Random(seed)
    online = Online(directory, [View(name, COLUMNS, meta=STATS_META) for name in ("one", "two")])
    build(directory, 1)
    online.materialize()
    state = online.project.state_directory
    took, survived = 1.0, 0
    # Processes that start with everything imported, so that the kill falls into the work.
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.online"])
    command = [sys.executable, "-c", READER, str(state), str(KEYS)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as reader:
        for number in range(2, kills + 2):
            build(directory, number)
            here, there = forks.Pipe(duplex=False)
            writer = forks.Process(target=materialize_at, args=(directory, there))
            writer.start()
            there.close()
            assert here.recv() == "began"
            began = time.monotonic()
            if here.poll(chosen.uniform(0, took)):  # before its time was up
                survived += here.recv() == "done"
                took = 0.5 * took + 0.5 * (time.monotonic() - began)
            else:
                took *= 1.1
            writer.kill()
            writer.join()
            here.close()
            left = [path.name for path in online.folder.iterdir()]
            assert len(left) <= 3 + 3 * 8, left  # CURRENT and locks; at most three generations
        assert reader.stdin is not None
        reader.stdin.close()
        assert reader.stdout is not None
        assert reader.stderr is not None
        told, trouble = reader.stdout.read(), reader.stderr.read()
    answers, newest, wrong = told.split(maxsplit=2) if told else ("0", "0", trouble)
    assert wrong.strip() == "[]", wrong
    assert int(answers) > kills
    assert survived < kills, "no kill came in time"
    assert 1 <= int(newest) <= kills + 1
    online.materialize()
    assert online.get(["one:x", "two:x"], [{"k": 0}], full=True).to_dict() == {
        "k": [0],
        "one__x": [kills + 1],
        "two__x": [kills + 1],
    }
    assert len(list(online.folder.glob("*.duckdb*"))) == 4


def test_ten_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, kills=10, seed=1)


@pytest.mark.soak
def test_a_hundred_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, kills=100, seed=2)
