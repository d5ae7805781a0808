"""The HTTP server while its online store does not answer."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests import servers
from tests.online import Online, stats
from tests.serving import Server, serving


def scraped(server: Server) -> dict[tuple[str, ...], float]:
    began = time.monotonic()
    answer = server.ask("GET", "/metrics")
    assert time.monotonic() - began < 2.5  # of which it waits one second
    assert answer.status == 200, answer.body
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_the_counts_are_there_while_the_store_is_not(own: servers.Server, tmp_path: Path) -> None:
    online = Online(tmp_path, [stats([[1, "2024-01-01", 10, "a"]])])
    online.materialize()
    with serving(tmp_path) as server:
        assert server.features({"k": [1]}).status == 200
        found = scraped(server)
        assert found["fstore_store_up",] == 1
        assert ("fstore_view_age_seconds", "stats") in found
        own.pause()
        try:
            found = scraped(server)
        finally:
            own.go_on()
        assert found["fstore_store_up",] == 0
        own.kill()
        assert server.features({"k": [1]}).status == 503
        found = scraped(server)
        assert found["fstore_store_up",] == 0
        assert found["fstore_responses_total", "/get-online-features", "503"] == 1
        assert found["fstore_responses_total", "/get-online-features", "200"] == 1
        assert ("fstore_view_age_seconds", "stats") not in found
        assert ("fstore_generation",) not in found
        assert any("error" in line for line in server.log_lines())
        own.start()
        assert scraped(server)["fstore_store_up",] == 1
