"""The bodies of online answers against the same form built naively; what is counted and logged."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from select import PIPE_BUF
from typing import Any

import pytest

from fstore.online.instants import moment
from fstore.online.response import OnlineResponse, Output, Outputs
from fstore.server import metrics
from fstore.server.answers import STATUSES, Answers
from fstore.server.encoding import times_as_json
from fstore.server.journal import Journal

NO_TIME = "1970-01-01T00:00:00Z"
ENDS = {math.inf: "Infinity", -math.inf: "-Infinity"}
CELLS: dict[str, list[Any]] = {
    "DOUBLE": [1.5, -2.0, 1e300],
    "BIGINT": [1, -(2**63), 2**63 - 1],
    "BOOLEAN": [True, False],
    "VARCHAR": ["a", "null", "],[", 'n"\\é'],
    "INTEGER[]": [[1, None], []],
}


def shown(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return ENDS.get(value, "NaN")
    return value


def stamp(micros: int | None) -> str:
    return NO_TIME if micros is None else moment(micros).isoformat().replace("+00:00", "Z")


def naive(response: OnlineResponse) -> tuple[Any, dict[str, Counter[str]]]:
    results, counts = [], {}
    for _, values in response.keys.values():
        statuses = ["NOT_FOUND" if value is None else "PRESENT" for value in values]
        results.append(([shown(value) for value in values], statuses, [NO_TIME] * len(values)))
    for cells in response.features.values():
        counts.setdefault(cells.view, Counter()).update(cells.statuses)
        stamps = [stamp(each) for each in cells.times]
        results.append(([shown(value) for value in cells.values], cells.statuses, stamps))
    columns = ("values", "statuses", "event_timestamps")
    document = {
        "metadata": {"feature_names": [*response.keys, *response.features]},
        "results": [dict(zip(columns, result, strict=True)) for result in results],
    }
    return document, counts


def some_response(drawn: random.Random, rows: int) -> OnlineResponse:
    """A response of one to three joins: rows that are found or not, NULL, NaN and infinity."""
    found, outputs = [], []
    for join in range(drawn.randint(1, 3)):
        row_kinds = drawn.choices(["found", "stale", "none"], (8, 1, 1), k=rows)
        times = [None if kind == "none" else drawn.randrange(2 * 10**15) for kind in row_kinds]
        fresh = [9 if kind == "found" else None for kind in row_kinds]
        columns: list[Any] = [times, fresh]
        for _ in range(drawn.randint(1, 4)):
            kind, odd = drawn.choice([*CELLS]), drawn.choice([0.0, 0.0, 0.3])
            cells = CELLS[kind] + ([math.nan, math.inf] if kind == "DOUBLE" and odd else [])
            columns.append(
                [
                    None if one is None or drawn.random() < odd else drawn.choice(cells)
                    for one in fresh
                ]
            )
            view = f"v{join % 2}"
            outputs.append(Output(f"f{len(outputs)}", kind, view, join, len(columns) - 1))
        if drawn.random() < 0.2:  # a window's count of a key that has no events
            columns.append([0] * rows)
            outputs.append(Output(f"f{len(outputs)}", "BIGINT", view, join, len(columns) - 1))
        found.append(columns)
    if drawn.random() < 0.3:
        drawn.shuffle(outputs)
    keys = {"k": ("BIGINT", [drawn.choice([None, 1, 2]) for _ in range(rows)])}
    return OnlineResponse(keys, Outputs(tuple(outputs)), found, rows)


@pytest.mark.parametrize("rows", [0, 1, 2, 15, 16, 40])
def test_bodies_are_those_of_the_naive_form(rows: int) -> None:
    answers, drawn = Answers(), random.Random(rows)
    for _ in range(150):
        response = some_response(drawn, rows)
        document, counts = naive(response)
        answer = answers.of(response)
        assert json.loads(answer.body) == document
        told: dict[str, Counter[str]] = {}
        for view, sums, columns in answer.told:
            there = zip(STATUSES, sums, strict=True)
            told.setdefault(view, Counter()).update({each: n * columns for each, n in there if n})
        told = {view: +sums for view, sums in told.items()}
        assert told == counts
        assert answers.of(response) == answer


def test_what_answers_have_in_common_is_kept_for_so_many() -> None:
    answers, drawn = Answers(), random.Random(0)
    responses = [some_response(drawn, 1) for _ in range(600)]
    for response in (*responses, *responses):
        assert json.loads(answers.of(response).body) == naive(response)[0]


@pytest.mark.parametrize("rows", [1, 20])
def test_times_beyond_the_calendar(rows: int) -> None:
    for micros, said in (
        (2**63 - 1, "9999-12-31T23:59:59.999999Z"),
        (-(2**63 - 1), "0001-01-01T00:00:00Z"),
        (None, NO_TIME),
        (1, "1970-01-01T00:00:00.000001Z"),
    ):
        assert json.loads(times_as_json([micros] * rows)) == [said] * rows


def test_many_amounts_are_observed_as_each_would_be() -> None:
    amounts = [0.0, 0.00025, 0.0003, 0.0005, 0.2, 30.0, 31.0, 0.0003]
    one_by_one, together = (
        metrics._Histogram("seconds", "Seconds", buckets=metrics._BUCKETS, registry=None)
        for _ in range(2)
    )
    for amount in amounts:
        one_by_one.observe(amount)
    together.observe_all(amounts)

    def samples(histogram: metrics._Histogram) -> dict[Any, float]:
        (family,) = histogram.collect()
        return {
            (each.name, each.labels.get("le")): round(each.value, 9)
            for each in family.samples
            if not each.name.endswith("_created")
        }

    assert samples(together) == samples(one_by_one)


def test_lines_are_written_once_a_turn_whole_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("sys.stderr.write", written.append)
    journal = Journal()

    async def two_turns() -> int:
        for number in range(100):
            journal.note("other", 404, 0.001, {"request_id": f"{number:>0100}"})
        before = len(written)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        journal.note("other", 404, 0.001, {"request_id": "100"})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return before

    assert asyncio.run(two_turns()) == 0
    assert 1 < len(written) < 10
    assert max(map(len, written)) <= PIPE_BUF
    assert all(each.endswith("\n") for each in written)
    lines = [json.loads(line) for each in written for line in each.splitlines()]
    assert [int(line["request_id"]) for line in lines] == [*range(101)]
