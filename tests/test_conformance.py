"""Every case of tests/conformance through fstore, and, where it is about rows, through the oracle.

So each expected table is held by two implementations that share no code. The form of the files is
told in tests/cases.py.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import fstore
from fstore.compile import window_tiles
from fstore.compile.plans import BY_NUMBER, Plan, WindowPlan
from fstore.offline import sizes
from tests import cases, harness, oracle
from tests.cases import Case, Table
from tests.servers import settle

CASES = cases.load_all()
OFFLINE = [case for case in CASES if not case["steps"]]
ONLINE = [case for case in CASES if case["steps"]]
ASKED = (
    "features",
    "feature_service",
    "full_feature_names",
    "include_event_timestamps",
    "event_timestamp",
)


def ids(some: Sequence[Case]) -> list[str]:
    return [case.id for case in some]


def request_of(case: Case) -> dict[str, Any]:
    return {name: case[name] for name in ASKED if case[name] is not None}


# The spine in every form that a caller may hold it in.


def as_arrow(table: Table) -> pa.Table:
    return harness.typed_table(table.columns, table.rows)


def as_pandas(table: Table) -> pd.DataFrame:
    return as_arrow(table).to_pandas()


def as_polars(table: Table) -> Any:
    return pytest.importorskip("polars").from_arrow(as_arrow(table))


def as_objects(table: Table) -> pd.DataFrame:
    """Python's own datetimes in an object column, each with the zone it was written with."""

    def parsed(text: str | None, kind: str) -> Any:
        if kind.startswith(cases.CLOCK_TYPES) and text is not None:
            return datetime.fromisoformat(text)
        return cases.value(text, kind)

    return pd.DataFrame(
        {
            name: pd.Series([parsed(row[at], kind) for row in table.rows], dtype=object)
            for at, (name, kind) in enumerate(table.columns.items())
        }
    )


def as_sql(table: Table) -> str:
    return cases.as_select(table.columns, table.rows)


def as_model(_: Table) -> str:
    return "spine_rows"


FORMS = {
    "arrow": as_arrow,
    "pandas": as_pandas,
    "polars": as_polars,
    "objects": as_objects,
    "sql": as_sql,
    "model": as_model,
}


def check_answer(answer: pa.Table, expect: Table) -> None:
    """Names, types where they are written, and every cell, row by row in order."""
    assert answer.column_names == list(expect.columns)
    held = cases.types(answer)
    wanted = {name: kind or held[name] for name, kind in expect.columns.items()}
    typed = harness.typed_table(wanted, expect.rows)
    assert held == cases.types(typed)
    assert cases.texts(answer) == cases.texts(typed)


@pytest.mark.parametrize("case", OFFLINE, ids=ids(OFFLINE))
def test_rows_equal_the_expected_ones(case: Case, tmp_path: Path) -> None:
    """In every form of the spine, by the plan that is chosen."""
    spine = Table.parse(case["spine"]) if case["spine"] else None
    extra = []
    if spine is not None and (spine.columns and all(spine.columns.values())):
        extra = [harness.View("spine_rows", spine.columns, spine.rows)]
    project = case.make(tmp_path / "project", extra)
    for form in case["forms"] or (["arrow", "sql"] if spine else ["none"]):
        given = None if spine is None else FORMS[form](spine)
        if case["error"]:
            check_refusal(lambda given=given: retrieve(project, case, given), case["error"])
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answer, frame = retrieve(project, case, given)
        said = " ".join(str(each.message) for each in caught)
        for word in case["warns"] or ():
            assert str(word) in said
        if not case["warns"]:
            assert not said
        check_answer(answer, Table.parse(case["expect"]))
        for column, dtype in (case["pandas"] or {}).items():
            assert str(frame[column].dtype) == dtype, column


def retrieve(
    project: Path, case: Case, given: Any, plan: str | None = None
) -> tuple[pa.Table, pd.DataFrame]:
    with_range = {name: moment(case[name]) for name in ("start", "end") if case[name] is not None}
    store = fstore.FeatureStore(project)
    try:
        asked = request_of(case) | with_range
        job = store.get_historical_features(given, plan=plan, **asked)
        return job.to_arrow(), job.to_df() if case["pandas"] else None
    finally:
        store.close()


def moment(text: str) -> datetime | str:
    """A datetime, naive where no zone is written; text that is none is handed over as it stands."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def check_refusal(act: Any, error: Mapping[str, Any]) -> None:
    with pytest.raises(getattr(fstore, error["class"])) as caught:
        act()
    sentence = str(caught.value)
    for word in error["words"]:
        assert str(word) in sentence, sentence


@pytest.mark.parametrize("case", answered := [c for c in OFFLINE if c["expect"]], ids=ids(answered))
def test_rows_are_the_same_by_every_plan(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_tiles, "HOT_ROWS", 2)
    monkeypatch.setattr(window_tiles, "HOT_SPINE_ROWS", 1)
    spine = Table.parse(case["spine"]) if case["spine"] else None
    project = case.make(tmp_path / "project", [])
    given = FORMS[(case["forms"] or ["arrow"])[0]](spine) if spine else None

    def check(plan: Plan | WindowPlan) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fstore.errors.FstoreWarning)
            answer, _ = retrieve(project, case, given, plan)
        check_answer(answer, Table.parse(case["expect"]))

    plans = plans_of(case)
    for plan in plans:
        check(plan)
    monkeypatch.setattr(sizes, "places_of", lambda *_: {})  # as of rows that have no numbers
    for plan in BY_NUMBER:
        if plan in plans:
            check(plan)


def plans_of(case: Case) -> list[Plan | WindowPlan]:
    """Every plan that can serve what a case asks."""
    if case["on_demand"]:  # whose inputs are of views without a ttl
        return [plan for plan in Plan if plan is not Plan.BUCKETED]
    asked = [
        (part.view, feature in part.view.windows)
        for part in case.asked(request_of(case))
        for feature in part.outputs
    ]
    of_rows = [view for view, is_window in asked if not is_window]
    every_ttl = all(view.ttl is not None for view in of_rows)
    plans: list[Plan | WindowPlan] = []
    if of_rows:
        hidden = any("rowid" in view.table.columns for view in case.views)  # the rows' numbers
        can = {Plan.BUCKETED: every_ttl, Plan.PLACED: not hidden}
        plans += [plan for plan in Plan if can.get(plan, True)]
    if any(is_window for _, is_window in asked):
        plans += WindowPlan
    return plans


@pytest.mark.parametrize(
    "case",
    ordered := [case for case in OFFLINE if case["expect"] and case["oracle"] is not False],
    ids=ids(ordered),
)
def test_rows_equal_those_of_the_oracle(case: Case) -> None:
    request = request_of(case)
    asked = case.asked(request)
    if case["spine"]:
        spine = Table.parse(case["spine"])
        rows = [dict(zip(spine.columns, row, strict=True)) for row in spine.rows]
        keyed = [{**row, **typed} for row, typed in zip(rows, spine.values(), strict=True)]
        time = case["event_timestamp"] or "event_timestamp"
    else:
        time = "event_timestamp"
        rows = keyed = oracle.appeared([part.view for part in asked], case["start"], case["end"])
    found = oracle.training_rows(keyed, time, asked)
    expect = Table.parse(case["expect"])
    kinds = output_kinds(case, request)
    for row in found:
        assert set(row) == set(expect.columns)
    wanted = [
        {
            name: oracle_cell(text, kinds.get(name, ""))
            for name, text in zip(expect.columns, row, strict=True)
        }
        for row in expect.rows
    ]
    stamps = {name for name, kind in kinds.items() if kind == "stamp"}
    outputs = {name for part in asked for name in part.outputs.values()} | stamps
    assert len(found) == len(wanted)
    for number, (mine, theirs) in enumerate(zip(found, wanted, strict=True)):
        for name in theirs:
            if name in outputs or not case["spine"]:
                got = oracle.instant(mine[name]) if kinds.get(name) == "stamp" else mine[name]
                assert same(got, theirs[name]), (number, name, got, theirs[name])


def output_kinds(case: Case, request: Mapping[str, Any]) -> dict[str, str]:
    """How to read each output's text; event timestamps are instants."""
    kinds = {} if case["spine"] else {"event_timestamp": "stamp"}
    for part, parsed in zip(case.projections(request), case.asked(request), strict=True):
        columns = part["built"].kinds
        kinds |= {name: columns[feature] for feature, name in parsed.outputs.items()}
        if not case["spine"]:
            kinds |= {key: columns[key] for key in part["built"].keys}
        if parsed.stamp:
            kinds[parsed.stamp] = "stamp"
    return kinds


def oracle_cell(text: str | None, kind: str) -> Any:
    return oracle.instant(text) if kind == "stamp" else cases.value(text, kind)


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float) and math.isnan(mine):
        return math.isnan(theirs)
    return mine == theirs and (mine is None) == (theirs is None)


# Online: steps in order, each one thing that happens.


@pytest.mark.usefixtures("store_kind")
@pytest.mark.parametrize("case", ONLINE, ids=ids(ONLINE))
def test_steps_online(case: Case, tmp_path: Path) -> None:
    project = case.make(tmp_path / "project")
    settle(project)
    now = {"clock": utc(case["clock"]) if case["clock"] else None}
    clock = (lambda: now["clock"]) if case["clock"] else None
    store = fstore.FeatureStore(project, clock=clock)
    published: Case | None = None
    k: str | None = None
    try:
        for step in case["steps"]:
            ((verb, what),) = step.items()
            if verb == "read":
                given = published if case["oracle"] is not False else None
                check_read(store, case, what, given, k)
            elif verb == "rows":
                case = case.with_rows(what)
                harness.write_tables(project, [view.for_harness() for view in case.views])
            elif verb == "clock":
                now["clock"] = utc(what)
            elif verb in ("materialize", "materialize_incremental"):
                run = getattr(store, verb)
                asked = what if isinstance(what, Mapping) else {"as_of": what}
                arguments = {
                    name: utc(value) if name == "as_of" else value
                    for name, value in asked.items()
                    if name != "error"
                }
                if asked.get("error"):
                    check_refusal(lambda run=run, given=arguments: run(**given), asked["error"])
                else:
                    run(**arguments)
                    published, k = case, asked["as_of"]
            else:
                raise ValueError(f"{verb} is not a step")
    finally:
        store.close()


def utc(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def check_read(
    store: fstore.FeatureStore,
    case: Case,
    read: Mapping[str, Any],
    published: Case | None,
    k: str | None,
) -> None:
    given = Table.parse(read["rows"]) if isinstance(read["rows"], str) else None
    rows = as_arrow(given).to_pylist() if given else read["rows"]
    request = {name: read[name] for name in (*ASKED[:3],) if name in read}
    at = {"at": utc(read["at"])} if "at" in read else {}

    def ask() -> Any:
        return store.get_online_features(entity_rows=rows, **request, **at)

    if read.get("error"):
        check_refusal(ask, read["error"])
        return
    answer = ask().to_dict(include_metadata=True)
    expect = Table.parse(read["expect"])
    plain = [name for name in expect.columns if not name.endswith(("__status", "__ts"))]
    assert list(ask().to_dict()) == plain
    kinds = online_kinds(case, request, given, expect)
    typed = harness.typed_table(kinds, expect.rows)
    for name, values in typed.to_pydict().items():
        got = [oracle.instant(each) if name.endswith("__ts") else each for each in answer[name]]
        values = [oracle.instant(each) if name.endswith("__ts") else each for each in values]
        assert len(got) == len(values), name
        assert all(map(same, got, values)), (name, got, values)
    if published is not None and given is not None:
        at_instant = read.get("at", case["clock"])
        wanted = Table(kinds, expect.rows).values()
        asked = published.asked(request)
        keyed = given.values()
        for mine, theirs in zip(
            oracle.online_rows(keyed, at_instant, k, asked), wanted, strict=True
        ):
            for name in set(theirs) & set(mine) - set(given.columns):
                got, want = mine[name], theirs[name]
                if name.endswith("__ts"):
                    got, want = oracle.instant(got), oracle.instant(want)
                assert same(got, want), ("oracle", name, got, want)


def online_kinds(
    case: Case, request: Mapping[str, Any], given: Table | None, expect: Table
) -> dict[str, str]:
    kinds = dict(given.columns) if given else {}
    for part, parsed in zip(case.projections(request), case.asked(request), strict=True):
        columns = part["built"].table.columns
        keys = part["built"].keys
        kinds |= {part.get("join_keys", {}).get(key, key): columns[key] for key in keys}
        kinds |= {name: columns[feature] for feature, name in parsed.outputs.items()}
    for name, written in expect.columns.items():
        if name.endswith("__status"):
            kinds[name] = "VARCHAR"
        elif name.endswith("__ts"):
            kinds[name] = "TIMESTAMPTZ"
        elif written:
            kinds[name] = written
    return {name: kinds[name] for name in expect.columns}
