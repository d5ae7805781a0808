"""The whole way, from raw flights to online answers: ``python -m demo`` in the project's folder.

The exit code is 1 if dbt fails, or if one online value differs from the offline one.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd

from demo.compare import KEYS, answers_side_by_side, count_differences
from demo.ingest import RAW_FILES, ingest
from demo.latency import read_latency
from demo.report import (
    Stopwatch,
    answers_table,
    console,
    latency_table,
    quality_table,
    step,
    timed,
)
from demo.train import LABEL, SCHEDULE, TRAINED_UNTIL, train_and_judge
from fstore import FeatureStore

if TYPE_CHECKING:
    from demo.train import Quality

SPINE = "flight_predictions"
SERVICE = "late_arrival_model"
MID_YEAR = "2013-07-01 00:00:00"
# The Monday before Christmas, early afternoon in New York.
PUBLISHED_AT = datetime(2013, 12, 23, 19, 0, tzinfo=UTC)


def main() -> int:
    watch = Stopwatch()
    step("Raw flights in")
    written = ingest()
    console.print(f"data/raw/ has {len(RAW_FILES)} files, {len(written)} of them written now.")

    step("dbt build")
    # The snapshot is taken twice, or it would have seen no plane change hands.
    _dbt(
        "as of July, what the snapshot needs",
        *("--select", "+plane_operators", "--indirect-selection", "buildable"),
        *("--vars", f"snapshot_at: '{MID_YEAR}'"),
    )
    _dbt("as of the year's end, everything")

    # The store's clock is ours to set: it stands at PUBLISHED_AT for every online read.
    store = FeatureStore(".", clock=lambda: PUBLISHED_AT)
    step("Training set: every flight that departed, as of two hours before it was due to leave")
    flights = _retrieve(store, feature_service=SERVICE)
    features = list(flights.columns[flights.columns.get_loc(LABEL) + 1 :])

    step(f"Models trained on the flights before {TRAINED_UNTIL:%d %B}, judged on those after")
    console.print(quality_table(_train_four_times(store, flights, features)))

    step(f"Materialize as of {PUBLISHED_AT:%d %B %Y, %H:%M} UTC")
    with timed("publishing") as clock:
        # Forced: whoever tried `fstore materialize` here before has published as of today.
        store.materialize(as_of=PUBLISHED_AT, force=True)
    console.print(f"Published in {clock.seconds:.2f} s.")

    step("The same question online and offline, at that instant")
    asked = _asked_next(flights)
    online, offline = answers_side_by_side(store, SERVICE, asked, PUBLISHED_AT)
    console.print(answers_table(online, offline, features, f"Flight {asked['flight_id'].iloc[0]}"))
    differences = count_differences(online, offline, features)
    console.print(
        f"{len(asked):,} flights x {len(features)} features = {len(asked) * len(features):,} "
        + (f"values: {differences:,} DIFFER." if differences else "values: all equal.")
    )

    step("Latency of an online read in this process")
    rows = asked[list(KEYS)].to_dict("records")
    with timed("reading online for ten seconds"):
        latencies = [
            read_latency(store, SERVICE, rows, keys=1, seconds=5),
            read_latency(store, SERVICE, rows, keys=100, seconds=5),
        ]
    console.print(latency_table(latencies, len(features)))
    store.close()
    watch.stop()
    console.print(f"Done in {watch.seconds:.0f} s.")
    return 1 if differences else 0


def _dbt(when: str, *options: str) -> None:
    """Run ``dbt build`` and print how it ended, or the end of what it said if it failed."""
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "build", *options]
    with timed(f"dbt build, {when}") as clock:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = run.stdout.strip().splitlines()
    if run.returncode:
        console.print(*lines[-40:], run.stderr, sep="\n", markup=False)
        raise SystemExit("dbt build failed; logs/dbt.log has all of it")
    console.print(f"{when}: {lines[-1].partition('Done. ')[2]} in {clock.seconds:.0f} s")


def _retrieve(
    store: FeatureStore, *, features: list[str] | None = None, feature_service: str | None = None
) -> pd.DataFrame:
    """Build the training set on the spine and print what that took."""
    with timed("point-in-time join") as clock:
        frame = store.get_historical_features(
            SPINE, features=features, feature_service=feature_service
        ).to_df()
    width = frame.columns.size - frame.columns.get_loc(LABEL) - 1
    console.print(
        f"{', '.join(features) if features else feature_service}: "
        f"{len(frame):,} rows x {width} features in {clock.seconds:.2f} s, "
        f"{len(frame) / clock.seconds:,.0f} rows a second"
    )
    return frame


def _train_four_times(
    store: FeatureStore, flights: pd.DataFrame, features: list[str]
) -> dict[str, Quality]:
    """Train on the schedule, on point-in-time features, and on the two leaky twins of a view."""
    # A twin has the columns of its view under the same names, so it takes their place.
    known_at_departure = _retrieve(store, features=["plane_last_flight_leaky:*"])
    known_as_day_begins = _retrieve(store, features=["plane_daily_leaky:*"])
    known = [*SCHEDULE, *features]
    trainings = {
        "the schedule only": (flights, SCHEDULE),
        "+ features, right in time": (flights, known),
        "LEAKY: a delay known at the departure": (_replaced(flights, known_at_departure), known),
        "LEAKY: a day's mean known as it begins": (
            _replaced(flights, known_as_day_begins),
            known,
        ),
    }
    qualities = {}
    with timed("training") as clock:
        for name, (frame, columns) in trainings.items():
            qualities[name] = train_and_judge(frame, columns)
    console.print(f"four models trained in {clock.seconds:.0f} s")
    return qualities


def _replaced(flights: pd.DataFrame, twin: pd.DataFrame) -> pd.DataFrame:
    """Put the feature columns of ``twin`` in place of those of the same names; rows match."""
    columns = twin.columns[twin.columns.get_loc(LABEL) + 1 :]
    return flights.assign(**{name: twin[name].array for name in columns})


def _asked_next(flights: pd.DataFrame) -> pd.DataFrame:
    """Return the flights that are asked about in the six hours from ``PUBLISHED_AT``."""
    since = pd.Timestamp(PUBLISHED_AT).tz_localize(None)  # the spine's times are plain UTC
    until = since + pd.Timedelta(hours=6)
    return flights[flights["event_timestamp"].between(since, until, inclusive="left")]


if __name__ == "__main__":
    sys.exit(main())
