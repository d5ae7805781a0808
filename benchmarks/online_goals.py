"""What the online store must show, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.goals import Goal

Results = dict[str, Any]
SQLITE, REDIS = "feast-sqlite", "feast-redis"


def goals(results: Results) -> list[Goal]:
    """Return every goal that this benchmark can measure."""
    return [*_reads(results), *_during(results), *_http(results), *_materialize(results)]


def reading(results: Results, peer: str, keys: int, features: int = 10) -> dict[str, Any] | None:
    """Return a peer's reads; None where there are none, or its values are wrong."""
    if results.get("values", {}).get(peer) != "right":
        return None
    return _first(results.get("reads", []), peer=peer, keys=keys, features=features)


def times_ours(
    results: Results, peer: str, keys: int, features: int = 10, ours_is: str = "fstore"
) -> float | None:
    """Return by how much a peer's p50 is longer than ours."""
    ours, theirs = (reading(results, each, keys, features) for each in (ours_is, peer))
    return theirs["p50"] / ours["p50"] if ours and theirs else None


def served(results: Results, peer: str, keys: int) -> dict[str, Any] | None:
    """Return what a peer's server did; None unless every answer was one, and the values right."""
    found = _first(results.get("http", []), peer=peer, keys=keys)
    good = found and found["values"] == "right" and not found["failures"]
    return found if found and good and list(found["statuses"]) == ["200"] else None


def median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def materialized(results: Results, peer: str) -> dict[str, Any] | None:
    return _first(results.get("materialize", []), peer=peer)


def _first(found: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    return next((each for each in found if wanted.items() <= each.items()), None)


def _reads(results: Results) -> Iterator[Goal]:
    for keys, must, aim in ((1, 30, None), (100, 60, 100)):
        words = f"in process, {keys} x 10: times Feast on SQLite, p50"
        yield Goal("reads", words, times_ours(results, SQLITE, keys), must, aim)
    ours = reading(results, "fstore", 1)
    words = "in process, 1 x 10: p50"
    yield Goal("reads", words, ours and ours["p50"], 12, unit=" µs", least=False)
    for keys, must in ((1, 2.5), (100, 12)):
        words = f"our Redis store, {keys} x 10: times Feast on Redis, p50"
        ratio = times_ours(results, REDIS, keys, ours_is="fstore-redis")
        yield Goal("reads", words, ratio, must)


def _during(results: Results) -> Iterator[Goal]:
    for found in results.get("during", []):
        if found["published"]:
            words = f"{found['keys']} x 10 while another process materializes: p99 over p50"
            yield Goal("during", words, found["p99"] / found["p50"], 5, least=False)


def _http(results: Results) -> Iterator[Goal]:
    for keys, must in ((1, 20), (100, 80)):
        ours, theirs = (served(results, each, keys) for each in ("fstore", SQLITE))
        ratio = ours and theirs and ours["requests_a_second"] / theirs["requests_a_second"]
        yield Goal("http", f"HTTP, {keys} keys: times Feast's requests a second", ratio, must)


def _materialize(results: Results) -> Iterator[Goal]:
    ours, theirs = (materialized(results, each) for each in ("fstore", SQLITE))
    ratio = ours and theirs and median(theirs["seconds"]) / median(ours["seconds"])
    yield Goal("materialize", "materialize: times faster than Feast to SQLite", ratio, 30)
