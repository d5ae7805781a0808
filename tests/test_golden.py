"""Golden SQL: the compiled text by eye, its tree, and its rows against the oracle.

Each file runs as it stands. Its head says what it shows and what was asked; then come the tables,
and behind `-- compiled:` what fstore makes of the request. `make golden` writes that part anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

from fstore.compile.latest import latest
from fstore.compile.places import Places
from fstore.compile.plans import Plan, Taken, Windowed, WindowPlan
from fstore.compile.point_in_time import point_in_time
from fstore.compile.request import FeatureRequest, resolve
from fstore.compile.spine import Spine, spineless
from fstore.compile.sql import render
from fstore.compile.withheld import withheld
from fstore.declarations import Declared, feature_service, feature_view, on_demand_view
from fstore.definitions import (
    Column,
    FeatureView,
    Registry,
    Relation,
    SnapshotColumns,
    WindowFeature,
)
from fstore.offline.on_demand import with_features
from tests import cases, oracle

FOLDER = Path(__file__).parent / "golden"
MARK = "-- compiled:\n"
PATHS = sorted(FOLDER.rglob("*.sql"))


@dataclass(frozen=True)
class Golden:
    """One file, read: what it asks and the registry that its request declares."""

    kind: str
    request: dict[str, Any]
    setup: str
    compiled: str
    registry: Registry

    @property
    def view(self) -> FeatureView:
        return self.registry.views_by_reference[self.request["view"]]


def read(path: Path) -> Golden:
    head, _, compiled = path.read_text(encoding="utf-8").partition(MARK)
    shows, asked, setup = head.split("\n", 2)
    assert shows.startswith("-- case: ")
    request = json.loads(asked.removeprefix("-- request: "))
    views = []
    for name, meta in request["views"].items():
        snapshot = name in request.get("snapshots", ())
        node = Declared(
            unique_id=f"model.shop.{name}",
            kind="snapshot" if snapshot else "model",
            name=name,
            file=f"models/{name}.sql",
            declared_in=f"models/{name}.yml",
            meta=meta,
            relation=Relation("wh", "main", name),
            snapshot=SnapshotColumns() if snapshot else None,
        )
        problems: list[Any] = []
        views.append(feature_view(node, problems))
        assert not problems
    registry = Registry("shop", tuple(views), ())
    on_demand = []
    for name, parts in request.get("on_demand", {}).items():
        meta = {"kind": "on_demand"} | {key: parts[key] for key in parts if key != "sql"}
        file, sql = f"models/{name}.sql", parts["sql"]
        node = Declared("", "model", name, file, "", meta, materialized="ephemeral", sql=sql)
        found = on_demand_view(node, registry.views_by_reference, problems := [])
        assert found is not None and not problems
        on_demand.append(found)
    registry = replace(registry, on_demand_views=tuple(on_demand))
    if "service" in request:
        meta = {"features": request["service"]}
        node = Declared("", "exposure", "service", "", "", meta, exposure_type="ml")
        service = feature_service(node, registry.views_by_reference, [])
        registry = Registry("shop", tuple(views), (service,))
    return Golden(path.parent.name, request, setup, compiled, registry)


def opened(golden: Golden) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(golden.setup)
    return connection


def columns(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[Column, ...]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
    return tuple(Column(row[0], row[1]) for row in rows)


def built(golden: Golden, connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[Column, ...]]:
    names = golden.request["views"]
    relations = {name: columns(connection, f'wh.main."{name}"') for name in names}
    return typed(golden, relations)[1]


def resolved(golden: Golden, relations: dict[str, tuple[Column, ...]]) -> FeatureRequest:
    service = "service" if "service" in golden.request else None
    features = golden.request.get("features") or (None if service else [golden.request["view"]])
    full = golden.request.get("full_feature_names")
    registry, relations = typed(golden, relations)
    return resolve(registry, relations, features, service, full)


def typed(golden: Golden, relations: dict[str, tuple[Column, ...]]) -> tuple[Registry, Any]:
    """The registry and the columns, with what on-demand views select."""
    return with_features(golden.registry, relations, golden.registry.on_demand_views)


def compile_it(golden: Golden, connection: duckdb.DuckDBPyConnection) -> exp.Expr:
    relations = built(golden, connection)
    request = golden.request
    if golden.kind == "latest":
        computed = request.get("computed", False)
        built_columns = relations[golden.view.reference]
        return latest(golden.view, built_columns, at(request["as_of"]), computed=computed)
    if golden.kind == "spineless":
        views = golden.registry.feature_views
        return spineless(views, relations, at(request["start"]), at(request["end"]))
    spine = columns(connection, "entity_df")
    asked = resolved(golden, relations)
    taken = Taken(
        Plan(request.get("plan", "bounded")),
        "",
        computed=request.get("computed", False),
        unique=request.get("unique", False),
        windows=Windowed(WindowPlan(request.get("windows", "bands")), ""),
        places=Places(*request["places"]) if "places" in request else None,
    )
    if golden.kind == "withheld":
        return withheld(asked.joins[0], relations, Spine(spine, "event_timestamp"), taken, 1)
    passed = tuple(column.name for column in spine)
    return point_in_time(
        asked,
        relations,
        Spine(spine, "event_timestamp", None, passed),
        {join.name: taken for join in asked.joins},
        include_event_timestamps=request.get("include_event_timestamps", False),
    ).in_order()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    result = connection.execute(sql)
    names = [part[0] for part in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def oracle_view(golden: Golden, view: FeatureView, connection: duckdb.DuckDBPyConnection) -> Any:
    table = f'wh.main."{view.name}"'
    types = {column.name: column.type for column in columns(connection, table)}
    # As text, for what Python's datetime does not hold: nanoseconds.
    shown = ", ".join(
        f'CAST("{name}" AS VARCHAR) AS "{name}"' if kind == "TIMESTAMP_NS" else f'"{name}"'
        for name, kind in types.items()
    )
    meta = golden.request["views"][view.name]
    held = rows(connection, f"SELECT {shown} FROM {table}")
    return oracle.View(
        columns=list(types),
        keys=view.join_keys,
        event_timestamp=view.event_timestamp,
        rows=held,
        event_key=view.event_key,
        windows={it.name: oracle_window(it, held, table, connection) for it in view.windows},
        created_timestamp=view.created_timestamp,
        known_at=view.known_at,
        delay=cases.duration(meta.get("delay")),
        backfilled_until=meta.get("backfilled_until"),
        ttl=cases.duration(meta.get("ttl")),
        valid_to=view.snapshot.valid_to if view.snapshot else None,
        is_deleted=view.snapshot.is_deleted if view.snapshot else None,
    )


def oracle_window(
    feature: WindowFeature,
    held: list[dict[str, Any]],
    table: str,
    connection: duckdb.DuckDBPyConnection,
) -> oracle.Window:
    where = None
    if feature.where is not None:
        answers = connection.execute(f"SELECT {feature.where} FROM {table}").fetchall()
        by_row = {id(row): answer for row, (answer,) in zip(held, answers, strict=True)}
        where = lambda row: by_row[id(row)]  # noqa: E731
    length = timedelta(seconds=feature.window.seconds)
    hop = None if feature.hop is None else timedelta(seconds=feature.hop.seconds)
    return oracle.Window(feature.function, feature.column, length, where, hop)


def expected(golden: Golden, connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """What the oracle says that the compiled query returns."""
    request = golden.request
    views = {
        view.name: oracle_view(golden, view, connection) for view in golden.registry.feature_views
    }
    if golden.kind == "spineless":
        return oracle.appeared(list(views.values()), request["start"], request["end"])
    if golden.kind == "latest":
        return generation(views[request["view"]], oracle.instant(request["as_of"]))
    spine = rows(connection, "SELECT * FROM entity_df")
    if golden.kind == "withheld":
        return [count_withheld(views[request["view"]], spine)]
    asked = []
    for join in resolved(golden, built(golden, connection)).joins:
        outputs = [
            output
            for output in resolved(golden, built(golden, connection)).outputs
            if output.join == join
        ]
        if not outputs:  # only an on-demand view reads it
            continue
        stamp = f"{join.name}__event_timestamp"
        asked.append(
            oracle.Asked(
                views[join.view.name],
                {output.feature: output.name for output in outputs},
                dict(join.keys),
                stamp if request.get("include_event_timestamps") else None,
            )
        )
    answer = oracle.training_rows(spine, "event_timestamp", asked)
    for name, cells in request.get("by_hand", {}).items():  # on demand, worked out by hand
        for row, cell in zip(answer, cells, strict=True):
            row[name] = cell
    return answer


def generation(view: oracle.View, k: oracle.Instant) -> list[dict[str, Any]]:
    """Per key the winner at K, and the winner of each later event time."""
    keys = sorted({tuple(row[name] for name in view.keys) for row in view.rows}, key=repr)
    found = []
    for key in keys:
        times = {view.event(row) for row in view.rows if view.matches(row, key)} - {None}
        for time in [k, *sorted(time for time in times if time > k)]:
            winner = view.latest(key, time, lambda row: view.known(row, k))
            if winner is not None and (time == k or view.event(winner) == time):
                found.append(winner)
    return found


def count_withheld(view: oracle.View, spine: list[dict[str, Any]]) -> dict[str, int]:
    late = 0
    for row in spine:
        q = oracle.instant(row["event_timestamp"])
        key = [row[name] for name in view.keys]
        newest = view.latest(key, q, lambda _: True)
        late += newest is not None and view.fresh(newest, q) and not view.known(newest, q)
    return {"withheld": late, "spine_rows": len(spine)}


def comparable(found: list[dict[str, Any]], names: list[str]) -> list[tuple[Any, ...]]:
    return [tuple(plain(row[name]) for name in names) for row in found]


def plain(value: Any) -> Any:
    return oracle.instant(value) if isinstance(value, datetime) else value


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    golden = read(path)
    with opened(golden) as connection:
        tree = compile_it(golden, connection)
        text = render(tree) + ";\n"
        if request.config.getoption("--golden"):
            head = path.read_text(encoding="utf-8").partition(MARK)[0]
            path.write_text(head + MARK + text, encoding="utf-8")
        else:
            assert text == golden.compiled, "the SQL changed: look at it, then run make golden"
        assert sqlglot.parse_one(text, dialect="duckdb") == tree
        assert_sound(tree)
        truth = expected(golden, connection)
        names = list(truth[0])
        if golden.kind == "latest":
            names = [name for name in names if name not in ("t", "loaded_at")]
        found = rows(connection, text)
        key = repr if golden.kind == "latest" else lambda _: 0  # its rows have no order
        assert sorted(comparable(found, names), key=key) == sorted(
            comparable(truth, names), key=key
        )


def assert_sound(tree: exp.Expr) -> None:
    """No node hangs in two places, and sqlglot can resolve every column."""
    for node in tree.walk():
        for child in node.iter_expressions():
            assert child.parent is node, f"{child!r} hangs in two places"
    qualify(tree.copy(), dialect="duckdb", validate_qualify_columns=False)


def test_goldens_stay_few() -> None:
    assert 0 < len(PATHS) < 60
