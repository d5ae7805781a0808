"""The reference project end to end: dbt builds it, and fstore answers as the data's clocks say."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pytest

from demo.clock import Clock
from demo.compare import KEYS, answers_side_by_side, count_differences
from demo.decay import PAIRS, minute_by_minute
from demo.events import EVENTS, events, window_features
from demo.ingest import RAW_FILES, ingest
from fstore import FeatureStore

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DBT = ("dbt_project.yml", "profiles.yml", "macros", "models", "seeds", "snapshots")
SPINE = "flight_predictions"
SERVICE = "late_arrival_model"
DEPARTURES = "departure_predictions"
AT_DEPARTURE = "late_arrival_at_departure"
# A quiet night, the hour before clocks went forward, a summer afternoon of storms, Christmas.
INSTANTS = (
    datetime(2013, 1, 15, 8, 0, tzinfo=UTC),
    datetime(2013, 3, 10, 6, 30, tzinfo=UTC),
    datetime(2013, 7, 22, 22, 15, tzinfo=UTC),
    datetime(2013, 12, 24, 19, 0, tzinfo=UTC),
)


def dbt_build(project: Path, *options: str) -> None:
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "build", *options]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Build the project once, with the snapshot taken in July and again at the year's end."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # of all workers of this session
    project = shared / "reference_project"
    with (shared / "reference_project.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (project / "done").exists():
            project.mkdir()
            for name in DBT:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, project / name)
            ingest(project)
            dbt_build(
                project,
                *("--select", "+plane_operators", "--indirect-selection", "buildable"),
                *("--vars", "snapshot_at: '2013-07-01 00:00:00'"),
            )
            dbt_build(project)
            (project / "done").touch()
    return project


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """Return a copy of the built project whose online store is the test's own."""
    for name in (*DBT[:2], "target", "data"):
        copy = shutil.copytree if (built / name).is_dir() else shutil.copy
        copy(built / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def warehouse(built: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(built / "data" / "flights.duckdb", read_only=True) as connection:
        yield connection


def test_ingest_writes_the_raw_files_once(tmp_path: Path) -> None:
    assert [path.name for path in ingest(tmp_path)] == list(RAW_FILES)
    assert ingest(tmp_path) == []
    torn = tmp_path / "data" / "raw" / "weather.csv"
    torn.write_bytes(torn.read_bytes()[:1000])
    assert ingest(tmp_path) == [torn]


def test_every_view_is_served_or_labelled_leaky(built: Path) -> None:
    store = FeatureStore(built)
    served = {
        projection.view
        for service in store.feature_services()
        for projection in service.projections
    }
    for view in store.feature_views():
        is_leaky = view.name.endswith("_leaky")
        assert view.online is not is_leaky
        assert (view.name in served) is not is_leaky
    assert {view.name for view in store.on_demand_views()} <= served
    assert not [found for found in store.check() if found.is_error]  # runs the examples


def test_clocks_agree_with_the_file(warehouse: duckdb.DuckDBPyConnection) -> None:
    ((flights, landed, plausible, on_delay),) = warehouse.sql("""
        select
            count(*),
            count(landed_at),
            count(*) filter (
                where date_diff('minute', departed_at, landed_at) - air_minutes between 5 and 240
            ),
            count(*) filter (
                where date_diff('minute', scheduled_arrival_at, landed_at) = arr_delay_minutes
            )
        from flight_clocks
    """).fetchall()
    assert (flights, landed, plausible) == (336_776, 327_346, 327_346)
    assert on_delay == landed - 1  # one scheduled arrival in the night that clocks went forward


def test_training_set_has_every_departed_flight_once_in_order(
    built: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    frame = FeatureStore(built).get_historical_features(SPINE, feature_service=SERVICE).to_df()
    spine = warehouse.table(SPINE).df()
    assert len(frame) == 328_521
    assert frame["flight_id"].tolist() == spine["flight_id"].tolist()
    assert frame["plane_last_arr_delay"].notna().mean() > 0.6
    assert frame["carrier_arr_delay_24h"].notna().mean() > 0.99


def test_a_landing_is_known_when_it_happened_and_not_before(
    built: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """Check plane_last_flight against a search of all landings, written without any join rule."""
    spine = f"select * from {SPINE} order by hash(flight_id) limit 2000"
    frame = (
        FeatureStore(built)
        .get_historical_features(
            f"select * from ({spine}) order by flight_id", ["plane_last_flight:*"]
        )
        .to_df()
    )
    expected = warehouse.sql(f"""
        select spine.flight_id, (
            select max_by((arr_delay_minutes, dest), departed_at)
            from flight_clocks as flown
            where flown.tailnum = spine.tailnum
                and flown.landed_at <= spine.event_timestamp
                and flown.departed_at >= spine.event_timestamp - interval 2 days
        ) as last
        from ({spine}) as spine
        order by spine.flight_id
    """).fetchall()
    seen = [
        (row.flight_id, None if pd.isna(row.plane_last_arr_delay) else row)
        for row in frame.itertuples()
    ]
    for (flight_id, row), (expected_id, last) in zip(seen, expected, strict=True):
        assert flight_id == expected_id
        assert (last is None) == (row is None)
        if row is not None:
            assert (row.plane_last_arr_delay, row.plane_last_dest) == tuple(last)


def test_the_leaky_twin_knows_the_flight_that_is_to_be_predicted(
    built: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """Ask at noon about a plane's only landing of the day, in the evening: the twin knows it."""
    ((tailnum, noon, delay),) = warehouse.sql("""
        select tailnum, utc_date + interval 12 hours, plane_day_arr_delay
        from plane_daily
        where plane_day_landings = 1
            and exists (
                from flight_clocks as flown
                where flown.tailnum = plane_daily.tailnum
                    and flown.landed_at::date = utc_date
                    and flown.departed_at > utc_date + interval 18 hours
            )
        order by abs(plane_day_arr_delay) desc, tailnum, utc_date
        limit 1
    """).fetchall()
    spine = pd.DataFrame({"tailnum": [tailnum], "event_timestamp": [noon]})
    store = FeatureStore(built)
    honest = store.get_historical_features(spine, ["plane_daily:plane_day_arr_delay"]).to_df()
    leaky = store.get_historical_features(spine, ["plane_daily_leaky:plane_day_arr_delay"]).to_df()
    assert leaky["plane_day_arr_delay"].tolist() == [delay]
    assert honest["plane_day_arr_delay"].tolist() != [delay]


def test_the_snapshot_saw_planes_change_hands(
    built: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """Nine AirTran planes went to Delta; each is asked about just before and just then."""
    changed = warehouse.sql("""
        select tailnum, operator, dbt_valid_to
        from plane_operators
        where dbt_valid_to is not null
        order by tailnum
    """).fetchall()
    assert len(changed) == 9
    assert {operator for _, operator, _ in changed} == {"FL"}
    spine = pd.DataFrame(
        [
            {"tailnum": tailnum, "event_timestamp": changed_at + pd.Timedelta(microseconds=step)}
            for tailnum, _, changed_at in changed
            for step in (-1, 0)
        ]
    )
    frame = FeatureStore(built).get_historical_features(spine, ["plane_operators:*"]).to_df()
    assert frame["operator"].tolist() == ["FL", "DL"] * 9


def test_windows_end_at_the_asking_and_leave_out_what_happens_then(
    built: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """Check windows as flights leave the gate against sums over all flights, by hand.

    At that very instant the flight itself departs: no window has it.
    """
    spine = f"select * from {DEPARTURES} order by hash(flight_id) limit 300"
    frame = (
        FeatureStore(built)
        .get_historical_features(
            f"select * from ({spine}) order by flight_id", feature_service=AT_DEPARTURE
        )
        .to_df()
    )
    expected = warehouse.sql(f"""
        select spine.flight_id, spine.dep_delay_so_far, landings.*, departures.*
        from ({spine}) as spine, lateral (
            select count(*), count(*) filter (where is_late), max(arr_delay_minutes)
            from flight_clocks as flown
            where flown.carrier = spine.carrier
                and flown.landed_at < spine.event_timestamp
                and flown.landed_at >= spine.event_timestamp - interval 1 day
        ) as landings, lateral (
            select count(*), avg(dep_delay_minutes)
            from flight_clocks as flown
            where flown.origin = spine.origin
                and flown.departed_at < spine.event_timestamp
                and flown.departed_at >= spine.event_timestamp - interval 1 hour
        ) as departures
        order by spine.flight_id
    """).fetchall()
    assert len(frame) == len(expected) == 300
    for row, (flight_id, so_far, landings, late, worst, departures, usual) in zip(
        frame.itertuples(), expected, strict=True
    ):
        assert (row.flight_id, row.dep_delay_so_far) == (flight_id, so_far)
        assert row.carrier_landings_count_1d == landings
        assert row.carrier_late_landings_count_1d == late
        assert row.origin_now__departures_count_1h == departures
        if landings:
            assert row.carrier_arr_delay_max_1d == worst
        if departures:
            assert row.origin_now__dep_delay_avg_1h == pytest.approx(usual, rel=1e-12)
            assert row.delay_over_origin == so_far - row.origin_now__dep_delay_avg_1h
        else:
            assert pd.isna(row.origin_now__dep_delay_avg_1h)
            assert pd.isna(row.delay_over_origin)


def test_online_equals_offline_at_several_instants(
    project: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    clock = Clock(INSTANTS[0])
    store = FeatureStore(project, clock=clock)
    publish = cycle((store.materialize, store.materialize_incremental))
    for instant in INSTANTS:
        clock.now = instant
        next(publish)(as_of=instant)
        rows = pd.DataFrame(entity_rows(warehouse, instant))
        rows["dep_delay_so_far"] = [float(row % 90 - 10) for row in range(len(rows))]
        for service, width in ((SERVICE, 48), (AT_DEPARTURE, 23)):
            online, offline = answers_side_by_side(store, service, rows, instant)
            features = list(offline.columns[offline.columns.get_loc("event_timestamp") + 1 :])
            assert len(features) == width
            assert count_differences(online, offline, features) == 0
            assert offline["carrier_arr_delay_avg_1d"].notna().any()
    store.close()


def test_pushed_landings_and_departures_are_in_the_windows(
    project: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    published = INSTANTS[2]
    clock = Clock(published)
    store = FeatureStore(project, clock=clock)
    store.materialize()
    rows = pd.DataFrame(entity_rows(warehouse, published))
    before, _ = answers_side_by_side(store, SERVICE, rows, clock.now)
    clock.now = published + timedelta(hours=1)
    for view in EVENTS:
        since = events(view, published, clock.now, project)
        assert since
        store.push(view, [*since, since[0]])  # twice counts once
    online, offline = answers_side_by_side(store, SERVICE, rows, clock.now)
    windows = window_features(store, online.columns)
    assert len(windows) == 16
    assert count_differences(online, offline, windows) == 0
    assert count_differences(before, offline, windows) > 0
    store.close()


def test_windows_go_on_minute_by_minute(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Walk through the blizzard twice, as a second demo does, and look at the hours of nothing."""
    monkeypatch.chdir(project)
    clock = Clock(INSTANTS[0])
    with FeatureStore(project, clock=clock) as store:
        for _ in range(2):
            decay = minute_by_minute(store, clock)
            assert decay.differences == 0
    for window, precomputed in PAIRS.items():
        assert decay.pause[window].nunique() == 2
        assert decay.pause[precomputed].nunique() == 1
    assert decay.pause["carrier_landings_count_1h"].tolist()[1] == 0


def entity_rows(warehouse: duckdb.DuckDBPyConnection, instant: datetime) -> list[dict[str, Any]]:
    """Return the keys of the next 200 flights that will be asked about, and odd ones."""
    near = warehouse.execute(
        f"""
        select {", ".join(KEYS)} from {SPINE}
        where event_timestamp >= $1::timestamp
        order by event_timestamp, flight_id limit 200
        """,
        [instant.replace(tzinfo=None)],
    ).fetchall()
    odd = [("UA", "no such plane", "EWR", "IAH"), ("??", "N14228", "EWR", "HNL"), near[0]]
    return [dict(zip(KEYS, row, strict=True)) for row in [*near, *odd]]
