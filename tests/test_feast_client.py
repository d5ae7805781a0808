"""Feast's own client reads from our server, unchanged. It runs in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.harness import Service, on_demand
from tests.online import Online, stats
from tests.serving import READ, serving

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / "benchmarks" / ".venv-feast" / "bin" / "python"


def test_feasts_client_reads_from_our_server(tmp_path: Path) -> None:
    assert PYTHON.exists(), "Feast has no environment yet: make benchmarks/.venv-feast/.done"
    rows = [[1, "2024-01-01", 10, "a"], [2, "2024-01-02", None, "é"]]
    view = on_demand(
        "od", "select x + n as m from inputs", inputs=["stats:x"], request={"n": "int"}
    )
    Online(tmp_path, [stats(rows), view], [Service("svc", features=["stats:*"])]).materialize()
    with serving(tmp_path, keys=True) as server:
        script = ROOT / "tests" / "feast_client.py"
        url = f"http://127.0.0.1:{server.port}"
        env = os.environ | {"FEAST_USAGE": "False"}
        ran = subprocess.run(
            [PYTHON, script, url, READ], capture_output=True, text=True, env=env, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    both = {"k": [2, 1, 9], "x": [None, 10, None], "y": ["é", "a", None]}
    assert found["features"] == both
    assert found["full"] == {"k": [2, 1, 9], "stats__x": [None, 10, None]}
    assert found["service"] == both
    assert found["on_demand"]["m"] == [15]
    assert found["unknown"][0] == "FeatureViewNotFoundException"
    assert "Did you mean stats?" in found["unknown"][1]
    assert "k is 'x', and the join key k of stats is BIGINT" in found["mistake"][1]
