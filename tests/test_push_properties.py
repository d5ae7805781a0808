"""Random histories of publishes, pushes and deletions: each read equals a naive model's answer."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import View
from tests.online import NOW, STATS_META, Online

pytestmark = pytest.mark.usefixtures("store_kind")

HOUR = timedelta(hours=1)
KEYS = (1, 2, 3)
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "INTEGER"}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ttl": {"ttl": "5 hours"},
    "delay": {"delay": "3 hours"},
    "arrival": {"created_timestamp": "c"},
    "forgetful": {"created_timestamp": "c", "known_at": False, "ttl": "9 hours"},
}


@dataclass(frozen=True)
class Row:
    """Times in hours from NOW; ``order`` counts acceptances."""

    key: int
    event: int
    created: int | None
    x: int | None
    order: int = 0


@dataclass
class Model:
    """What is known online, as a list of rows: no index, no log, no generation."""

    shape: str
    published: list[Row] = field(default_factory=list)
    pushed: list[Row] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)
    deleted: dict[int, int] = field(default_factory=dict)
    accepted: int = 0

    def rank(self, row: Row) -> tuple[int, int]:
        if "created_timestamp" not in SHAPES[self.shape]:
            return row.event, 0
        return row.event, -(10**6) if row.created is None else row.created

    def arrival(self, row: Row) -> int | None:
        if self.shape in ("arrival", "forgetful"):
            return row.created
        return row.event + (3 if self.shape == "delay" else 0)

    def knows(self, row: Row, at: int) -> bool:
        arrival = self.arrival(row)
        return self.shape == "forgetful" or (arrival is not None and arrival <= at)

    def publish(self, source: list[Row], k: int, incremental: bool) -> None:
        known = [row for row in source if self.knows(row, k)]
        if incremental:
            keys = {row.key for row in known}
            dead = keys | self.hidden
            known += [row for row in self.published if row.key not in dead]
        self.accepted += 1
        self.published = [Row(r.key, r.event, r.created, r.x, self.accepted) for r in known]
        self.hidden = set()
        self.pushed = [
            push
            for push in self.pushed
            if not any(r.key == push.key and self.rank(r) >= self.rank(push) for r in known)
        ]

    def push(self, rows: list[Row], now: int) -> None:
        for row in rows:
            created = now if row.created is None else row.created
            self.accepted += 1
            new = Row(row.key, row.event, created, row.x, self.accepted)
            arrival = self.arrival(new)
            assert arrival is not None
            if arrival >= self.deleted.get(row.key, -(10**6)):
                self.pushed.append(new)

    def delete(self, key: int, now: int) -> None:
        self.pushed = [row for row in self.pushed if row.key != key]
        self.hidden.add(key)
        self.deleted[key] = now

    def read(self, key: int, at: int) -> tuple[str, int | None]:
        rows = [row for row in self.published if row.key == key and key not in self.hidden]
        rows += [row for row in self.pushed if row.key == key]
        visible = [row for row in rows if row.event <= at and self.knows(row, at)]
        if not visible:
            return "NOT_FOUND", None
        best = max(visible, key=lambda row: (*self.rank(row), row.order))
        ttl = {"ttl": 5, "forgetful": 9}.get(self.shape)
        if ttl is not None and best.event < at - ttl:
            return "OUTSIDE_MAX_AGE", None
        return ("NULL_VALUE" if best.x is None else "PRESENT"), best.x


hours = st.integers(-8, 8)
rows_of = st.lists(
    st.builds(
        Row,
        st.sampled_from(KEYS),
        hours,
        st.none() | hours,
        st.none() | st.integers(0, 10**6),
    ),
    max_size=4,
)
steps = st.lists(
    st.tuples(st.just("push"), rows_of)
    | st.tuples(st.just("source"), rows_of)
    | st.tuples(st.sampled_from(["publish", "incremental"]), st.none())
    | st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    min_size=2,
    max_size=8,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_histories_equal_the_model(shape: str) -> None:
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(first=rows_of, history=steps)
    def check(first: list[Row], history: list[tuple[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            replay(Path(directory), shape, unique(first), history)

    check()


def unique(rows: list[Row]) -> list[Row]:
    """Rows of a source: (key, E) once, for what settles its ties is another test's."""
    return list({(row.key, row.event): row for row in rows}.values())


def replay(directory: Path, shape: str, source: list[Row], history: list[tuple[str, Any]]) -> None:
    model, now = Model(shape), 0
    online = Online(directory, [view(shape, source)])
    online.materialize()
    model.publish(source, now, incremental=False)
    for number, (verb, given_) in enumerate(history, start=1):
        now, online.now = number, NOW + number * HOUR
        if verb == "source":
            source = unique(given_)
            online.change([view(shape, source)])
        elif verb == "push":
            online.push([cells(shape, row) for row in given_])
            model.push(given_, now)
        elif verb == "delete":
            online.delete(given_)
            model.delete(given_, now)
        else:
            online.materialize(incremental=verb == "incremental")
            model.publish(source, now, incremental=verb == "incremental")
        for later in (0, 1, 4):
            at = online.now + later * HOUR
            answer = online.get(["stats:x"], [{"k": key} for key in KEYS], at=at).to_dict(True)
            found = list(zip(answer["x__status"], answer["x"], strict=True))
            assert found == [model.read(key, now + later) for key in KEYS], (number, later)


def view(shape: str, rows: list[Row]) -> View:
    columns = dict(COLUMNS)
    if "created_timestamp" in SHAPES[shape]:
        columns["c"] = "TIMESTAMP"
    return View("stats", columns, [cells(shape, row) for row in rows], STATS_META | SHAPES[shape])


def cells(shape: str, row: Row) -> dict[str, Any]:
    found = {"k": row.key, "t": NOW.replace(tzinfo=None) + row.event * HOUR, "x": row.x}
    if "created_timestamp" in SHAPES[shape]:
        created = row.created
        found["c"] = None if created is None else NOW.replace(tzinfo=None) + created * HOUR
    return found
