"""What window features online must show, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.goals import Goal

Found = dict[str, Any]


def find(found: Iterable[Found], **wanted: Any) -> Found | None:
    return next((each for each in found if wanted.items() <= each.items()), None)


def ratio(ours: Found | None, theirs: Found | None, what: str) -> float | None:
    return ours[what] / theirs[what] if ours and theirs else None


def right(values: Any) -> bool:
    return {*values.values()} == {"right"} if isinstance(values, dict) else values == "right"


def goals(parts: Found) -> list[Goal]:
    """Return every goal that was measured, and whose answers were right."""
    return [*_goals_of_reads(parts), *_goals_of_http(parts), *_goals_of_pushes(parts)]


def _goals_of_reads(parts: Found) -> Iterator[Goal]:
    reads = parts.get("reads", {"values": {}, "reads": []})
    found = reads["reads"] if right(reads["values"]) else []
    ours = find(found, kind="windows", per_key=10_000, keys=1)
    what = "in process, 10 windows of a key with 10,000 events: p50"
    yield Goal("reads", what, ours["p50"] if ours else None, 50, unit=" µs", least=False)


def _goals_of_http(parts: Found) -> Iterator[Goal]:
    http = parts.get("http", {"values": "", "reads": []})
    reads = [each for each in http["reads"] if answered(each)] if right(http["values"]) else []
    most = max((each["connections"] for each in reads), default=0)
    windows, plain = (find(reads, kind=kind, connections=most) for kind in ("windows", "plain"))
    slower = ratio(plain, windows, "requests_a_second")
    words = f"HTTP, {most} connections, a key a request: plain reads a second over window reads"
    yield Goal("http", words, slower, 1.3, least=False)
    words = f"HTTP, {most} connections: p50 of a window read over a plain one"
    yield Goal("http", words, ratio(windows, plain, "p50"), 1.3, least=False)


def _goals_of_pushes(parts: Found) -> Iterator[Goal]:
    pushes = parts.get("pushes", {"values": {}, "pushes": []})
    for each in pushes["pushes"] if right(pushes["values"]) else []:
        words = f"pushes of 1,000 rows as {form(each)} to {each['keys']:,} keys, an fsync each: "
        for kind, name in (("the median call", "rows_a_second"), ("all", "mean_rows_a_second")):
            yield Goal("pushes", words + kind, each[name], 100_000, unit=" rows/s")


def answered(found: Found) -> bool:
    return not found["failures"] and [*found["statuses"]] == ["200"]


def form(found: Found) -> str:
    return "lists of dicts" if found["form"] == "dicts" else "Arrow tables"
