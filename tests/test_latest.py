"""The generation query by itself: random views, read where they lie or computed once.

The rows must be the oracle's, whichever way the view is read. The draws are those of the property
tests, dense in ties, NULLs and rows of the future.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fstore.compile.clocks import Clocks
from fstore.compile.latest import latest, stored_columns
from fstore.compile.sql import render
from fstore.declarations import Declared, feature_view
from fstore.definitions import Column, FeatureView, Relation, SnapshotColumns
from tests import harness, oracle
from tests.test_golden import generation
from tests.test_properties import ASKED, RandomView, grid, number_of, said, shaped, views

EXAMPLES = ASKED or 400


def declared(built: harness.View) -> FeatureView:
    problems: list[Any] = []
    snapshot = SnapshotColumns() if built.snapshot else None
    view = feature_view(
        Declared(
            unique_id=f"model.shop.{built.name}",
            kind="snapshot" if built.snapshot else "model",
            name=built.name,
            file=f"models/{built.name}.sql",
            declared_in="models/models.yml",
            meta=dict(built.meta or {}),
            relation=Relation("memory", "main", built.name),
            snapshot=snapshot,
        ),
        problems,
    )
    assert not problems
    return view


def published(built: harness.View, k: datetime, computed: bool) -> list[tuple[Any, ...]]:
    """The keys, features and E of the rows of a generation; E as a number."""
    view = declared(built)
    columns = tuple(Column(name, kind) for name, kind in built.columns.items())
    clocks = Clocks.of(view, columns)
    connection = harness.in_memory()
    connection.register("texts", harness.text_table(built.columns, built.rows))
    body = harness.typed_select(built.columns, "texts")
    connection.execute(f"CREATE OR REPLACE TABLE {harness.quoted(built.name)} AS {body}")
    rows = connection.sql(render(latest(view, columns, k, computed=computed))).to_arrow_table()
    assert rows.column_names == [column.name for column in stored_columns(view, columns)]
    names = (*view.join_keys, *view.feature_names(columns))
    cells = [rows[name].to_pylist() for name in names]
    times = [number_of(at) for at in rows[clocks.event_time].cast("int64").to_pylist()]
    return list(zip(*cells, times, strict=True))


def wanted(view: RandomView, names: list[str], k: datetime) -> list[tuple[Any, ...]]:
    naive = view.naive
    found = generation(naive, oracle.instant(k))
    return [(*(row[name] for name in names), naive.event(row)) for row in found]


def test_generations_equal_the_oracle(capsys: pytest.CaptureFixture[str]) -> None:
    count = {"rows": 0, "of the future": 0, "less than all columns": 0}

    @shaped(EXAMPLES, 0)
    @given(views(0), grid(-1, 7), st.booleans(), st.booleans())
    def check(view: RandomView, k: datetime, few: bool, computed: bool) -> None:
        meta, features = dict(view.built.meta or {}), list(view.features)
        if few:  # then what settles a tie is more than what is stored
            features = meta["features"] = features[:1]
        built = harness.View(
            view.built.name, view.built.columns, view.built.rows, meta, snapshot=view.built.snapshot
        )
        found = published(built, k, computed)
        shown = declared(built).feature_names(
            tuple(Column(name, kind) for name, kind in built.columns.items())
        )
        truth = wanted(view, [*view.naive.keys, *shown], k)
        assert sorted(map(repr, found)) == sorted(map(repr, truth))
        count["rows"] += len(found)
        count["of the future"] += sum(row[-1] > oracle.instant(k) for row in found)
        count["less than all columns"] += few

    check()
    said(capsys, ", ".join(f"{number} {name}" for name, number in count.items()))
    assert ASKED or min(count.values()) > EXAMPLES // 10


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("features", [["x"], ["y", "x"]])
def test_a_tie_is_settled_by_columns_that_are_not_stored(
    computed: bool, features: list[str]
) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP_NS", "c": "TIMESTAMP", "y": "VARCHAR", "x": "DOUBLE"}
    late = "2024-01-01 00:00:00.000000999"
    rows = [
        [1, "2024-01-01 00:00:00", "2024-01-02", "b", 1.0],
        [1, late, "2024-01-02", "b", 2.0],  # the same E, and the same row but for x
        [1, late, "2024-01-02", "a", 9.0],
        [1, late, "2024-01-09", "z", 8.0],  # not known at K
        [2, late, None, "z", 7.0],  # never known
        [2, late, "2024-01-01", None, 6.0],
        [2, late, "2024-01-01", None, 6.0],  # the same row twice
        [None, late, "2024-01-01", "z", 5.0],
        [3, None, "2024-01-01", "z", 4.0],
    ]
    meta = {"entities": {"thing": "k"}, "event_timestamp": "t", "created_timestamp": "c"}
    view = harness.View("stats", columns, rows, meta=meta | {"features": features})
    found = published(view, datetime(2024, 1, 3, tzinfo=UTC), computed)
    assert sorted((row[0], row[-2]) for row in found) == [(1, 2.0), (2, 6.0)]
    forgetful = harness.View(
        "stats", columns, rows, meta=dict(view.meta or {}) | {"known_at": False}
    )
    found = published(forgetful, datetime(2024, 1, 3, tzinfo=UTC), computed)
    assert sorted((row[0], row[-2]) for row in found) == [(1, 8.0), (2, 6.0)]  # a NULL A is lowest
