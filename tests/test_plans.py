"""Which plan is taken, what is said of it, and that it is not an accident.

That every plan gives the same rows is held by test_conformance and test_properties.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner

import fstore
from fstore.cli import main
from fstore.compile.places import Places
from fstore.compile.plans import FEW, Plan, Sizes, choose
from fstore.compile.request import Join
from fstore.definitions import Duration, FeatureView, Relation
from fstore.offline import assembly
from tests import harness

COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "v": "BIGINT"}
META = {"entities": {"user": "k"}, "event_timestamp": "t"}
SPINE_SQL = "SELECT k, t AS event_timestamp FROM stats"


def make(directory: Path, views: Sequence[harness.View] = (), **counts: str) -> Path:
    """Make a project whose views are filled by SQL: ``name="SELECT ..."``."""
    project = harness.make_project(directory, views)
    with duckdb.connect(str(project / harness.WAREHOUSE)) as connection:
        for name, sql in counts.items():
            connection.execute(f"INSERT INTO {name} {sql}")
    return project


def spread(rows: int, keys: int, days: int = 365) -> str:
    """Rows whose keys take turns, evenly over the days."""
    step = days * 86_400_000_000 // rows
    return (
        f"SELECT i % {keys}, TIMESTAMP '2024-01-01' + to_microseconds(i * {step}), i "
        f"FROM range({rows}) AS rows(i)"
    )


def spine_of(count: int, keys: int) -> pa.Table:
    with duckdb.connect() as connection:
        return connection.sql(
            f"SELECT i % {keys} AS k, TIMESTAMP '2024-01-02' + to_hours(i % 8000) AS "
            f"event_timestamp FROM range({count}) AS rows(i)"
        ).to_arrow_table()


def taken(project: Path, spine: Any, view: str = "stats", **asked: Any) -> Any:
    with fstore.FeatureStore(project) as store:
        return store.get_historical_features(spine, [view], **asked).plans[view]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    views = [
        harness.View("stats", COLUMNS, meta=META | {"ttl": "1 day"}),
        harness.View("dimension", COLUMNS, meta=META),
        harness.View("hot", COLUMNS, meta=META | {"ttl": "1 day"}),
        harness.View(
            "joined", {}, meta=META, select="SELECT s.* FROM stats AS s JOIN dimension USING (k)"
        ),
        harness.View("filtered", {}, meta=META, select="SELECT * FROM stats WHERE v > 10"),
        harness.View(
            "world", {"w": "BIGINT", "t": "TIMESTAMP", "v": "BIGINT"}, meta=META | {"entities": {}}
        ),
    ]
    return make(
        tmp_path_factory.mktemp("plans") / "project",
        views,
        stats=spread(300_000, 1_000),
        dimension=spread(2_000, 1_000),
        hot=spread(300_000, 1),
        world=spread(100, 1),
    )


def test_for_few_spine_rows_the_winners_are_read_by_number(project: Path) -> None:
    found = taken(project, spine_of(50, 50))
    assert found.plan is Plan.PLACED
    assert found.reason == "50 spine rows are too few for a look at a sample"
    assert taken(project, f"{SPINE_SQL} WHERE v < {FEW}").plan is Plan.PLACED
    assert taken(project, f"{SPINE_SQL} WHERE v <= {FEW}").plan is not Plan.PLACED


def test_few_spine_rows_keep_the_pairs_of_rows_without_numbers(project: Path) -> None:
    assert taken(project, spine_of(50, 50), "filtered").plan is Plan.PAIRS


@pytest.mark.parametrize(
    ("select", "numbered"),
    [
        ("SELECT * FROM read_parquet('one.parquet')", True),
        ("(SELECT k, t, v FROM read_parquet('one.parquet') AS rows)", True),
        ("SELECT * FROM read_parquet('*.parquet')", False),
        ("SELECT * FROM read_parquet(['one.parquet'])", False),
        ("SELECT * FROM read_parquet('one.parquet', union_by_name = false)", True),
        ("SELECT * FROM read_parquet('one.parquet', union_by_name = true)", False),
        ("SELECT * FROM read_parquet('one.parquet', filename = false)", False),
        (
            "SELECT * FROM read_parquet('one.parquet', union_by_name = false, filename = true)",
            False,
        ),
        ("SELECT k, t, v + 0 AS v FROM read_parquet('one.parquet')", False),
        ("SELECT k, t, -v AS v FROM read_parquet('one.parquet')", False),
        ("SELECT DISTINCT * FROM read_parquet('one.parquet')", False),
        ("SELECT * EXCLUDE (v), v FROM read_parquet('one.parquet')", False),
        ("SELECT * FROM read_parquet('one.parquet') WHERE v > 0", False),
        ("SELECT * FROM read_parquet('one.parquet') USING SAMPLE 50%", False),
        ("SELECT * FROM read_parquet('one.parquet') LIMIT 1", False),
        ("SELECT *, file_row_number FROM read_parquet('one.parquet')", False),
        ("SELECT * FROM stats", False),
    ],
)
def test_a_view_of_one_file_is_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select: str, numbered: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # where the view is made; a job finds the file from the project
    views = [
        harness.View("stats", COLUMNS, meta=META),
        harness.View("filed", {}, meta=META, select="SELECT * FROM stats"),
    ]
    project = make(tmp_path, views, stats=spread(20, 10))
    with duckdb.connect(str(project / harness.WAREHOUSE)) as connection:
        for file in ("one", "two"):
            connection.execute(f"COPY stats TO '{tmp_path / file}.parquet'")
        connection.execute(f"CREATE OR REPLACE VIEW filed AS {select}")
    monkeypatch.chdir("/")
    assert (taken(project, spine_of(5, 5), "filed").plan is Plan.PLACED) is numbered


def test_without_numbers_rows_are_not_placed(project: Path) -> None:
    with pytest.raises(fstore.RequestError, match=r"joined \(models/joined.sql\) has none"):
        taken(project, spine_of(5, 5), "joined", plan="placed")


LATE = """
SELECT i % 7 AS k, TIMESTAMP '2024-01-01' + to_hours(i * 37 % 2000) AS t, i * 13 % 5 AS v,
  CASE WHEN i % 11 THEN TIMESTAMP '2024-01-01' + to_hours(i * 41 % 2500) END AS loaded, i % 3 AS w
FROM range(5000) AS rows(i)
"""


@pytest.mark.parametrize("clock", [{}, {"created_timestamp": "loaded"}, {"delay": "3 hours"}])
def test_rows_of_a_file_are_the_same_by_every_plan(tmp_path: Path, clock: dict[str, str]) -> None:
    file = tmp_path / "late.parquet"
    with duckdb.connect() as connection:  # many rows tie, and of some row groups none is fetched
        connection.execute(f"COPY ({LATE}) TO '{file}' (ROW_GROUP_SIZE 2048)")
    meta = META | {"ttl": "30 days"} | clock
    select = f"SELECT * FROM read_parquet('{file}')"
    project = make(tmp_path / "project", [harness.View("late", {}, meta=meta, select=select)])
    spine = spine_of(400, 9)
    with fstore.FeatureStore(project) as store:

        def rows(plan: str | None) -> list[dict[str, Any]]:
            job = store.get_historical_features(spine, ["late:v", "late:w"], plan=plan)
            assert plan or job.plans["late"].plan is Plan.PLACED
            return job.to_arrow().to_pylist()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fstore.errors.FstoreWarning)
            found = [rows(plan) for plan in (None, *Plan)]
    assert all(each == found[0] for each in found)
    assert sum(row["v"] is not None for row in found[0]) > 100


def test_a_file_that_is_replaced_meanwhile_is_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM ({spread(20, 10)}) AS rows(k, t, v)) TO '{file}'")
    select = f"SELECT * FROM read_parquet('{file}')"
    project = make(tmp_path / "project", [harness.View("filed", {}, meta=META, select=select)])
    with fstore.FeatureStore(project) as store:
        batches = store.get_historical_features(spine_of(5, 5), ["filed"]).to_batches()
        assert next(batches).num_rows == 5
        file.touch()
        with pytest.raises(fstore.errors.QueryError, match="was written to while it was read"):
            next(batches)


def test_few_rows_a_key_are_compared_with_all(project: Path) -> None:
    assert taken(project, spine_of(20_000, 1_000), "dimension").plan in (Plan.PAIRS, Plan.BOUNDED)


def test_a_short_ttl_cuts_many_rows_a_key_into_stretches(project: Path) -> None:
    found = taken(project, spine_of(50_000, 1_000))
    assert found.plan is Plan.BUCKETED
    assert "about 300,000 rows under 50,000 spine rows" in found.reason


def test_a_hot_key_without_a_bound_is_put_in_order(tmp_path: Path) -> None:
    project = make(
        tmp_path / "project", [harness.View("stats", COLUMNS, meta=META)], stats=spread(250_000, 1)
    )
    found = taken(project, spine_of(20_000, 1))
    assert found.plan is Plan.ASOF
    assert re.search(r"\d,\d{3},\d{3},\d{3} pairs of equal key", found.reason)


def test_a_hot_key_with_a_ttl_never_compares_every_pair(project: Path) -> None:
    assert taken(project, spine_of(20_000, 1), "hot").plan in (Plan.ASOF, Plan.BUCKETED)


def test_what_is_computed_is_computed_once(project: Path) -> None:
    with fstore.FeatureStore(project) as store:
        job = store.get_historical_features(spine_of(50, 50), ["joined"])
    found = job.plans["joined"]
    assert (found.plan, found.computed) == (Plan.ASOF, True)
    assert "joined is computed as it is read" in found.reason
    assert job.to_sql().count('"main"."joined"') == 1


def test_what_is_computed_is_computed_once_for_all_who_read_it(tmp_path: Path) -> None:
    """Two joins of one computed view are one part; every other join is one by itself."""
    select = "SELECT stats.k, stats.t, stats.v FROM stats JOIN one USING (k)"
    views = [
        harness.View("stats", COLUMNS, meta=META),
        harness.View("one", COLUMNS, meta=META),
        harness.View("joined", {}, meta=META, select=select),
    ]
    friend = {"view": "joined", "alias": "friend", "join_keys": {"k": "other"}, "features": ["v"]}
    service = harness.Service("both", ["stats:v", "joined:v", friend], full_feature_names=True)
    project = harness.make_project(tmp_path, views, [service])
    with duckdb.connect(str(project / harness.WAREHOUSE)) as connection:
        connection.execute(f"INSERT INTO stats {spread(100, 10)}")
        connection.execute(f"INSERT INTO one {spread(5, 5)}")
    spine = (
        "SELECT 7 - i AS k, i AS other, TIMESTAMP '2025-01-01' AS event_timestamp "
        "FROM range(8) AS rows(i)"
    )
    with duckdb.connect() as connection:
        table = connection.sql(spine).to_arrow_table()
    with fstore.FeatureStore(project) as store:
        job = store.get_historical_features(table, feature_service="both")
        parts = job.training_set.parts
        found = job.to_arrow().to_pydict()
        (batch,) = job.to_batches()  # of the whole statement, which DuckDB puts in order
    assert [part.query.count('"main"."joined"') for part in parts] == [0, 1]
    assert [part.columns for part in parts] == [(0,), (1, 2)]
    assert found == batch.to_pydict()
    assert found["stats__v"] == [97, 96, 95, 94, 93, 92, 91, 90]
    assert found["joined__v"] == [None, None, None, 94, 93, 92, 91, 90]
    assert found["friend__v"] == [90, 91, 92, 93, 94, None, None, None]


def test_text_that_arrow_cannot_move_in_one_piece_is_put_in_order_by_the_engine(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine = spine_of(50, 50).take(list(range(49, -1, -1)))
    with fstore.FeatureStore(project) as store:
        job = store.get_historical_features(spine, ["stats", "dimension"], full_feature_names=True)
        found = job.to_arrow()

        def refuse(*_: Any) -> None:
            raise pa.ArrowInvalid("offset overflow while concatenating arrays")

        monkeypatch.setattr(assembly, "in_order", refuse)
        assert job.to_arrow() == found


def test_a_filter_is_still_a_scan(project: Path) -> None:
    assert not taken(project, spine_of(50, 50), "filtered").computed


def test_a_computed_spine_is_not_run_to_plan(project: Path) -> None:
    spine = "SELECT DISTINCT k, t AS event_timestamp FROM stats"
    assert "entity_df is computed" in taken(project, spine).reason


def test_without_keys_there_is_one_way(project: Path) -> None:
    assert taken(project, spine_of(50, 50), "world").plan is Plan.ASOF


@pytest.mark.parametrize(
    ("constraint", "unique"),
    [
        ("PRIMARY KEY (k, t)", True),
        ("UNIQUE (t)", True),
        ("UNIQUE (k, t, v)", False),
        ("CHECK (v > 0)", False),
    ],
)
def test_a_constraint_says_that_nothing_ties(tmp_path: Path, constraint: str, unique: bool) -> None:
    project = make(tmp_path / "project", [harness.View("stats", COLUMNS, meta=META)])
    with duckdb.connect(str(project / harness.WAREHOUSE)) as connection:
        connection.execute(
            f"CREATE OR REPLACE TABLE stats (k BIGINT, t TIMESTAMP, v BIGINT, {constraint})"
        )
    with fstore.FeatureStore(project) as store:
        job = store.get_historical_features(spine_of(50, 50), ["stats"])
    assert job.plans["stats"].unique is unique
    assert ("stats_tied" in job.to_sql()) is not unique


def test_nanoseconds_tie_when_they_are_floored(tmp_path: Path) -> None:
    columns = COLUMNS | {"t": "TIMESTAMP_NS"}
    project = make(tmp_path / "project", [harness.View("stats", columns, meta=META)])
    with duckdb.connect(str(project / harness.WAREHOUSE)) as connection:
        connection.execute("CREATE UNIQUE INDEX no_ties ON stats (k, t)")
        connection.execute(
            "CREATE OR REPLACE TABLE stats (k BIGINT, t TIMESTAMP_NS, v BIGINT, UNIQUE (k, t))"
        )
        connection.execute(
            "INSERT INTO stats VALUES (1, '2024-01-01 00:00:00.000000001', 1), "
            "(1, '2024-01-01 00:00:00.000000002', 2)"
        )
    with fstore.FeatureStore(project) as store:
        job = store.get_historical_features(spine_of(2, 2), ["stats"])
        assert not job.plans["stats"].unique
        assert job.to_df()["v"].tolist()[1] == 2


def test_an_unknown_plan_is_refused_with_the_nearest(project: Path) -> None:
    with pytest.raises(fstore.RequestError, match=r"plan 'pears' is not one.*Did you mean pairs\?"):
        taken(project, spine_of(5, 5), plan="pears")


def test_a_forced_plan_is_for_what_it_can_be_taken_for(tmp_path: Path) -> None:
    """Of the rows of a view of events only the times are needed, and no ttl cuts those."""
    counted = META | {"aggregations": [{"windows": ["1 day"], "functions": ["count"]}]}
    rows = [(1, "2024-01-01", 7)]
    views = [
        harness.View("stats", COLUMNS, rows, META | {"ttl": "2 days"}),
        harness.View("visits", COLUMNS, rows, counted),
    ]
    spine = "SELECT 1 AS k, TIMESTAMP '2024-01-01 12:00:00' AS event_timestamp"
    with fstore.FeatureStore(harness.make_project(tmp_path / "p", views)) as store:
        job = store.get_historical_features(
            spine, ["stats:v", "visits:*"], plan="bucketed", include_event_timestamps=True
        )
        (row,) = job.to_arrow().to_pylist()
    assert (row["v"], row["count_1d"]) == (7, 1)
    assert row["stats__event_timestamp"] == row["visits__event_timestamp"]


def test_bucketed_needs_a_ttl(project: Path) -> None:
    with pytest.raises(fstore.RequestError, match=r"dimension has none: give it a ttl"):
        taken(project, spine_of(5, 5), "dimension", plan="bucketed")


def test_explain_says_which_plan_and_why(project: Path) -> None:
    with fstore.FeatureStore(project) as store:
        text = store.get_historical_features(spine_of(50, 50), ["filtered"]).explain()
        forced = store.get_historical_features(spine_of(50, 50), ["stats"], plan="asof").explain()
    assert text.startswith("filtered: pairs (about ")
    assert "s of one core (bounded " in text
    assert forced.startswith("stats: asof (asked for by plan=)")
    assert "\n╭─ CTE ─" in forced  # DuckDB's own plan


def test_the_command_line_explains_and_forces(project: Path) -> None:
    arguments = ["sql", "--project-dir", str(project), "-f", "stats", "--plan", "bounded"]
    spine = "SELECT 1 AS k, TIMESTAMP '2024-02-01' AS event_timestamp"
    plain = CliRunner().invoke(main, [*arguments, "-e", spine])
    assert plain.exit_code == 0
    assert "stats_found" in plain.stdout
    explained = CliRunner().invoke(main, [*arguments, "-e", spine, "--explain"])
    assert explained.stdout.startswith("stats: bounded (asked for by plan=)")


VIEW = FeatureView("v", Relation("d", "s", "v"), "", (), "t", ttl=Duration(1, "day"))


@pytest.mark.parametrize(
    ("sizes", "plan"),
    [
        (Sizes(5_000_000, 1_000, 50_000, 50_000, 4_000, 8_000, 10), Plan.PAIRS),
        (Sizes(5_000_000, 200_000, 4_300_000, 10**7, 800_000, 1_600_000, 100), Plan.BUCKETED),
        (Sizes(1_000_000, 1_000_000, 10**6, 10**11, 10**11, 10**11, 4), Plan.ASOF),
    ],
)
def test_the_cheapest_is_chosen(sizes: Sizes, plan: Plan) -> None:
    join = Join("v", VIEW, (("k", "k"),))
    assert choose(join, sizes, None, None, computed=False, unique=False).plan is plan


@pytest.mark.parametrize(("visible", "numbered"), [(1_600_000, True), (1_700_000, False)])
def test_row_numbers_are_kept_of_few_pairs(visible: int, numbered: bool) -> None:
    sizes = Sizes(5_000_000, 200_000, 4_300_000, 10**7, visible, visible, 100)
    join, places = Join("v", VIEW, (("k", "k"),)), Places("rowid")
    found = choose(join, sizes, None, places, computed=False, unique=False)
    assert found.plan is Plan.BUCKETED
    assert found.places == (places if numbered else None)
    assert found.reason.endswith("winners are read by their row numbers") is numbered


def test_of_many_spine_rows_some_tell_what_was_withheld(tmp_path: Path) -> None:
    columns = COLUMNS | {"loaded": "TIMESTAMP"}
    meta = META | {"created_timestamp": "loaded"}
    late = spread(2_000, 1_000).replace(", i FROM", ", i, TIMESTAMP '2030-01-01' FROM")
    project = make(tmp_path / "project", [harness.View("stats", columns, meta=meta)], stats=late)
    with fstore.FeatureStore(project) as store:
        job = store.get_historical_features(spine_of(100_000, 1_000), ["stats"])
        computed = (
            "SELECT DISTINCT i % 1000 AS k, TIMESTAMP '2024-06-01' + to_seconds(i) "
            "AS event_timestamp FROM range(100000) AS rows(i)"
        )
        for each in (job, store.get_historical_features(computed, ["stats"])):
            with pytest.warns(
                fstore.errors.FstoreWarning, match=r"of 20000 spine rows looked at \("
            ):
                each.to_arrow()
        with pytest.warns(fstore.errors.FstoreWarning, match=r"of 20000 spine rows looked at \("):
            each.to_parquet(tmp_path / "rows.parquet")
