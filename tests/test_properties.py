"""Random projects against the oracle: training sets and online answers equal it cell by cell.

One example is a random project of four views, snapshots and aliases included, asked with two random
spines; a case is one (view, spine) pair, the spine having up to ten rows. The draws are dense on
purpose: few keys, instants at the edges of ttl, delay and arrival, so that ties, duplicates and
late rows are the rule. The same examples run every time; FSTORE_EXAMPLES=2000 runs as many new
ones, and FSTORE_SHRINK=1 makes a failing one small.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import fstore
from fstore.compile.plans import Plan
from tests import cases, harness, oracle

ASKED = int(os.environ.get("FSTORE_EXAMPLES", "0"))
SHRINK = bool(os.environ.get("FSTORE_SHRINK"))  # an example is a project: this takes minutes
SHARDS = 4  # so that two workers share the work
OFFLINE_EXAMPLES = (ASKED or 360) // SHARDS  # of eight cases each
ONLINE_EXAMPLES = (ASKED or 48) // SHARDS

START = datetime(2024, 1, 1)
HOUR = 3_600_000_000
ENTITIES = {"user": ["uid"], "shop": ["shop id"], "route": ["a", "b"]}
KEY_TYPES = {"uid": "BIGINT", "shop id": "VARCHAR", "a": "INTEGER", "b": "BIGINT"}
KEY_VALUES = {"uid": [1, 2], "shop id": ["", "NULL", "é"], "a": [1, 12], "b": [3, 23]}
OTHER = {"uid": "other uid", "shop id": "select", "a": "a2", "b": "b"}  # of aliases
FEATURES: dict[str, tuple[str, list[Any]]] = {
    "x_y": ("BIGINT", [0, 1, -(2**63), 2**63 - 1]),
    "a b": ("DOUBLE", [0.5, math.nan, math.inf, -math.inf, 1e300]),
    "größe": ("VARCHAR", ["", "a", "Z", "é", "it's"]),
    "order": ("BOOLEAN", [True, False]),
    'say "hi"': ("DECIMAL(6,2)", [Decimal("1.25"), Decimal("-0.01")]),
    "entity_row_id": ("SMALLINT", [7, 8]),
}
PLANS = st.sampled_from([None, *Plan])
ZONES = ["+00:00", "+05:45", "-08:00"]


def micros(low: int = -1, high: int = 7) -> st.SearchStrategy[int]:
    """Instants around whole hours: the hour itself, or one microsecond beside it."""
    return st.builds(
        lambda hours, beside: hours * HOUR + beside,
        st.integers(low, high),
        st.sampled_from([0, 0, 0, -1, 1]),
    )


@st.composite
def clock(draw: st.DrawFn, kind: str, null: bool = True, infinite: bool = True) -> str | None:
    """A cell of a clock column of this type, as text."""
    special = draw(st.integers(0, 24))
    if null and special == 0:
        return None
    if infinite and special in (1, 2) and kind in ("TIMESTAMP", "TIMESTAMPTZ"):
        return "infinity" if special == 1 else "-infinity"
    at = START + timedelta(microseconds=draw(micros()))
    if kind == "DATE":
        return at.date().isoformat()
    if kind == "TIMESTAMP_NS":
        return f"{at:%Y-%m-%d %H:%M:%S.%f}{draw(st.sampled_from(['000', '001', '999']))}"
    if kind == "TIMESTAMPTZ":
        zone = draw(st.sampled_from(ZONES))
        local = at.replace(tzinfo=UTC).astimezone(
            datetime.fromisoformat(f"2024-01-01T00:00{zone}").tzinfo
        )
        return local.isoformat(" ")
    return at.isoformat(" ")


CLOCKS = st.sampled_from(["TIMESTAMP", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_NS", "DATE"])


def cell(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


def key_cell(values: list[Any]) -> st.SearchStrategy[Any]:
    """Seldom NULL: a row without its keys meets nothing."""
    return st.sampled_from([None, *values * 4])


@dataclass(frozen=True)
class RandomView:
    """One view, for the project on disk and for the oracle alike."""

    built: harness.View
    naive: oracle.View
    entities: tuple[str, ...]
    features: tuple[str, ...]
    alias: bool

    @property
    def label(self) -> str:
        return f"{self.built.name}_alias" if self.alias else self.built.name

    @property
    def join_keys(self) -> dict[str, str]:
        return {key: OTHER[key] for key in self.naive.keys} if self.alias else {}

    def projection(self) -> dict[str, Any]:
        part: dict[str, Any] = {"view": self.built.name, "features": list(self.features)}
        if self.alias:
            part |= {"alias": self.label, "join_keys": self.join_keys}
        return part

    def asked(self, full: bool, stamped: bool = False) -> oracle.Asked:
        prefix = f"{self.label}__" if full or self.alias else ""
        return oracle.Asked(
            self.naive,
            {feature: prefix + feature for feature in self.features},
            self.join_keys,
            f"{self.label}__event_timestamp" if stamped else None,
        )


@st.composite
def views(draw: st.DrawFn, number: int) -> RandomView:
    entities = draw(st.lists(st.sampled_from(sorted(ENTITIES)), unique=True, max_size=2))
    keys = [key for entity in entities for key in ENTITIES[entity]]
    snapshot = draw(st.integers(0, 4)) == 0
    meta: dict[str, Any] = {"entities": {name: ENTITIES[name] for name in entities}}
    columns = {key: KEY_TYPES[key] for key in keys}
    cells: dict[str, st.SearchStrategy[Any]] = {key: key_cell(KEY_VALUES[key]) for key in keys}

    event = "dbt_valid_from" if snapshot else "happened at"
    columns[event] = "TIMESTAMP" if snapshot else draw(CLOCKS)
    cells[event] = clock(columns[event])
    if snapshot:
        columns["dbt_valid_to"] = "TIMESTAMP"
        cells["dbt_valid_to"] = st.none() | clock("TIMESTAMP")
        columns["dbt_is_deleted"] = "VARCHAR"
        cells["dbt_is_deleted"] = st.sampled_from([None, "False", "False", "True"])
    else:
        meta["event_timestamp"] = event
    if not snapshot and draw(st.booleans()):
        meta["created_timestamp"] = "loaded"
        columns["loaded"] = draw(CLOCKS)
        cells["loaded"] = clock(columns["loaded"])
        if draw(st.booleans()):
            until = draw(clock("TIMESTAMPTZ", null=False, infinite=False))
            meta["backfilled_until"] = until
    if ("created_timestamp" not in meta or "backfilled_until" in meta) and draw(st.booleans()):
        meta["delay"] = draw(st.sampled_from(["1 hour", "2 hours", "1 second"]))
    if draw(st.booleans()):
        meta["ttl"] = draw(st.sampled_from(["1 hour", "3 hours", "1 second", "1 day"]))
    if draw(st.integers(0, 3)) == 0:
        meta["known_at"] = False

    chosen = draw(st.lists(st.sampled_from(sorted(FEATURES)), min_size=1, max_size=3, unique=True))
    for name in chosen:
        columns[f"{name}{number}"] = FEATURES[name][0]
        cells[f"{name}{number}"] = cell(FEATURES[name][1])
    order = draw(st.permutations(list(columns)))
    columns = {name: columns[name] for name in order}
    fewest = draw(st.sampled_from([0, 6, 9]))
    rows = draw(st.lists(st.fixed_dictionaries(cells), min_size=fewest, max_size=9))
    features = draw(st.permutations([f"{name}{number}" for name in chosen]))

    name = draw(st.sampled_from(["plain", "select", "Spine", "entity_df"])) + str(number)
    naive = oracle.View(
        columns=list(columns),
        keys=keys,
        event_timestamp=event,
        rows=rows,
        created_timestamp=meta.get("created_timestamp"),
        known_at=meta.get("known_at", True),
        delay=cases.duration(meta.get("delay")),
        backfilled_until=meta.get("backfilled_until"),
        ttl=cases.duration(meta.get("ttl")),
        valid_to="dbt_valid_to" if snapshot else None,
        is_deleted="dbt_is_deleted" if snapshot else None,
    )
    built = harness.View(name, columns, rows, meta, snapshot=snapshot)
    return RandomView(built, naive, tuple(entities), tuple(features), draw(st.integers(0, 3)) == 0)


@dataclass(frozen=True)
class Spine:
    columns: Mapping[str, str]
    rows: list[oracle.Row]
    time: str
    as_sql: bool


@st.composite
def spines(draw: st.DrawFn, max_size: int = 10) -> Spine:
    """A spine with the key columns of every view and alias, and one column of its own."""
    as_sql = draw(st.booleans())
    kind = draw(st.sampled_from(["TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_NS", "DATE"]))
    time = draw(st.sampled_from(["event_timestamp", "asked at"]))
    columns = dict(KEY_TYPES)
    columns |= {OTHER[key]: KEY_TYPES[key] for key in KEY_TYPES}
    columns |= {time: kind, "label": "BIGINT"}
    cells = {name: key_cell(KEY_VALUES[key]) for key in KEY_TYPES for name in (key, OTHER[key])}
    cells |= {time: clock(kind, infinite=as_sql), "label": st.integers(0, 1)}
    names = draw(st.permutations(list(columns)))
    fewest = draw(st.sampled_from([0, max_size // 2]))
    rows = draw(st.lists(st.fixed_dictionaries(cells), min_size=fewest, max_size=max_size))
    twice = draw(st.lists(st.sampled_from(rows), max_size=2)) if rows else []
    return Spine({name: columns[name] for name in names}, rows + twice, time, as_sql)


def projects() -> st.SearchStrategy[tuple[RandomView, ...]]:
    return st.tuples(*(views(number) for number in range(4)))


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float) and math.isnan(mine):
        return math.isnan(theirs)
    return type(mine) is type(theirs) and mine == theirs


def make(directory: Path, some: tuple[RandomView, ...]) -> Path:
    services = [harness.Service("all", [view.projection() for view in some])]
    if lasting := [view for view in some if view.naive.ttl is not None]:
        services.append(harness.Service("with ttl", [view.projection() for view in lasting]))
    return harness.make_project(directory, [view.built for view in some], services)


def shaped(examples: int, shard: int) -> Any:
    """Fixed examples, a shard's own; or new ones where FSTORE_EXAMPLES asks."""
    chosen = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if SHRINK else [])],
        suppress_health_check=list(HealthCheck),
    )
    return chosen if ASKED else lambda test: seed(shard)(chosen(test))


def said(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print past pytest's capture; workers of xdist print nowhere, their asserts still hold."""
    with capsys.disabled():
        print(f"\n{text}")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_training_sets_equal_the_oracle(shard: int, capsys: pytest.CaptureFixture[str]) -> None:
    count = {"pairs": 0, "cells": 0, "not null": 0}
    by_plan = dict.fromkeys((None, *Plan), 0)

    @shaped(OFFLINE_EXAMPLES, shard)
    @given(projects(), st.tuples(spines(), spines()), st.booleans(), st.booleans(), PLANS)
    def check(
        some: tuple[RandomView, ...],
        given_spines: tuple[Spine, ...],
        full: bool,
        stamped: bool,
        plan: Plan | None,
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            project = make(Path(folder) / "project", some)
            service = "all"
            if plan is Plan.BUCKETED and any(view.naive.ttl is not None for view in some):
                service, some = "with ttl", tuple(v for v in some if v.naive.ttl is not None)
            elif plan is Plan.BUCKETED:
                plan = None
            for spine in given_spines:
                got = retrieved(project, spine, service, plan, full, stamped)
                by_plan[plan] += len(some)
                asked = [view.asked(full, stamped) for view in some]
                wanted = oracle.training_rows(spine.rows, spine.time, asked)
                compare(got, wanted, spine)
                count["pairs"] += len(some)
                count["cells"] += sum(len(row) for row in wanted)
                count["not null"] += sum(
                    row[name] is not None
                    for row in wanted
                    for part in asked
                    for name in part.outputs.values()
                )

    check()
    said(
        capsys,
        f"shard {shard}: {count['pairs']} (view, spine) pairs, {count['cells']} cells compared, "
        f"{count['not null']} of them features with a value; by plan "
        + ", ".join(f"{plan or 'chosen'} {by_plan[plan]}" for plan in (None, *Plan)),
    )
    assert ASKED or count["pairs"] >= 2000 / SHARDS
    assert ASKED or all(cases >= 40 / SHARDS for cases in by_plan.values())


def retrieved(
    project: Path, spine: Spine, service: str, plan: Plan | None, full: bool, stamped: bool
) -> Any:
    store = fstore.FeatureStore(project)
    if spine.as_sql:
        given_spine = cases.as_select(spine.columns, spine.rows)
    else:
        given_spine = harness.typed_table(spine.columns, spine.rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fstore.errors.FstoreWarning)
        job = store.get_historical_features(
            given_spine,
            feature_service=service,
            plan=plan,
            event_timestamp=spine.time,
            full_feature_names=full,
            include_event_timestamps=stamped,
        )
        answer = job.to_arrow()
    given_table = harness.typed_table(spine.columns, spine.rows)
    assert cases.texts(answer.select(given_table.column_names)) == cases.texts(given_table)
    return answer


def compare(answer: Any, wanted: list[oracle.Row], spine: Spine) -> None:
    assert answer.num_rows == len(wanted)
    added = [name for name in wanted[0] if name not in spine.columns] if wanted else []
    assert not wanted or answer.column_names == [*spine.columns, *added]
    for name in added:
        column = answer[name]
        if name.endswith("__event_timestamp"):  # as numbers: Python has no infinite datetimes
            got = [number_of(at) for at in column.cast("int64").to_pylist()]
        else:
            got = column.to_pylist()
        for number, (mine, row) in enumerate(zip(got, wanted, strict=True)):
            assert same(mine, row[name]), (number, name, mine, row)


def number_of(at: int | None) -> oracle.Instant | None:
    """DuckDB's infinities are the ends of its integers."""
    ends = {2**63 - 1: math.inf, 1 - 2**63: -math.inf}
    return None if at is None else ends.get(at, at)


def read_back(at: datetime | None) -> oracle.Instant | None:
    """An event time of an online answer, where an infinity is the first or last datetime."""
    if at is None:
        return None
    naive = at.replace(tzinfo=None)
    ends = {datetime.min: -math.inf, datetime.max: math.inf}
    return ends.get(naive, oracle.instant(at))


def grid(low: int, high: int) -> st.SearchStrategy[datetime]:
    return micros(low, high).map(lambda at: START.replace(tzinfo=UTC) + timedelta(microseconds=at))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_online_answers_equal_the_oracle(shard: int, capsys: pytest.CaptureFixture[str]) -> None:
    count = {"pairs": 0, "FOUND": 0, "NOT_FOUND": 0, "OUTSIDE_MAX_AGE": 0}

    @shaped(ONLINE_EXAMPLES, shard)
    @given(
        projects(),
        spines(),
        st.tuples(grid(-1, 4), grid(-1, 7)).map(sorted),
        st.lists(grid(0, 30), min_size=2, max_size=2),
        st.booleans(),
        st.lists(st.booleans(), min_size=9, max_size=9),
        st.booleans(),
    )
    def check(
        some: tuple[RandomView, ...],
        spine: Spine,
        instants: list[datetime],
        reads: list[datetime],
        incremental: bool,
        early: list[bool],
        full: bool,
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            project = make(Path(folder) / "project", some)
            store = fstore.FeatureStore(project)
            if incremental:  # some rows now, the others later: together as if all at once
                harness.write_tables(project, [thinned(view.built, early) for view in some])
                store.materialize(as_of=instants[0])
                harness.write_tables(project, [view.built for view in some])
                store.materialize_incremental(as_of=instants[1])
            else:
                store.materialize(as_of=instants[1])
            k = instants[1]
            for read in reads:
                t = max(k, read)
                rows = [{name: row[name] for name in needed(some)} for row in spine.rows]
                if not rows:
                    continue
                answer = store.get_online_features(
                    feature_service="all", entity_rows=rows, full_feature_names=full, at=t
                ).to_dict(include_metadata=True)
                asked = [view.asked(full) for view in some]
                wanted = oracle.online_rows(rows, t, k, asked)
                for name in {name for row in wanted for name in row} - set(needed(some)):
                    for number, row in enumerate(wanted):
                        mine, theirs = answer[name][number], row[name]
                        if name.endswith("__ts"):
                            mine = read_back(mine)
                        assert same(mine, theirs), (name, number, row, mine, theirs)
                count["pairs"] += len(some)
                for view in some:
                    for row in rows:
                        keys = view.asked(full).key(row)
                        count[view.naive.online(keys, oracle.instant(t), oracle.instant(k))[0]] += 1

    check()
    told = ", ".join(f"{number} {name}" for name, number in count.items())
    said(capsys, f"shard {shard}, online (view, rows) {told}")


def thinned(view: harness.View, early: list[bool]) -> harness.View:
    rows = [row for row, now in zip(view.rows, early, strict=False) if now]
    return harness.View(view.name, view.columns, rows, view.meta, snapshot=view.snapshot)


def needed(some: tuple[RandomView, ...]) -> list[str]:
    """The columns that the request's rows must have."""
    return list(
        dict.fromkeys(view.join_keys.get(key, key) for view in some for key in view.naive.keys)
    )
