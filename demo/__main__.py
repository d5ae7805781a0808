"""The whole way, from raw flights to online answers: ``python -m demo`` in the project's folder.

The exit code is 1 if dbt fails, or if one online value differs from the offline one.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pandas as pd

from demo.clock import Clock
from demo.compare import KEYS, answers_side_by_side, count_differences
from demo.decay import PAIRS, VIEW, minute_by_minute
from demo.events import EVENTS, events, window_features
from demo.ingest import RAW_FILES, ingest
from demo.latency import read_latency
from demo.models import judged_at_the_gate, judged_two_hours_ahead
from demo.picture import PICTURE, draw
from demo.report import (
    Stopwatch,
    answers_table,
    console,
    latency_table,
    quality_table,
    say_equal,
    step,
    timed,
)
from demo.train import SO_FAR, TRAINED_UNTIL, feature_columns
from fstore import FeatureStore

SPINE = "flight_predictions"
SERVICE = "late_arrival_model"
# The second question, as a flight leaves the gate.
DEPARTURES = "departure_predictions"
AT_DEPARTURE = "late_arrival_at_departure"
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

    # The store's clock is ours to set: online it is whatever time we say.
    clock = Clock(PUBLISHED_AT)
    store = FeatureStore(".", clock=clock)
    step("Training set: every flight that departed, as of two hours before it was due to leave")
    flights = _retrieve(store, SPINE, feature_service=SERVICE)
    features = feature_columns(flights)
    windows = window_features(store, features)

    step(f"Models trained on the flights before {TRAINED_UNTIL:%d %B}, judged on those after")
    # A twin has the columns of its view under the same names, so it takes their place.
    leaky = {
        "a delay known at the departure": _retrieve(
            store, SPINE, features=["plane_last_flight_leaky:*"]
        ),
        "a day's mean known as it begins": _retrieve(
            store, SPINE, features=["plane_daily_leaky:*"]
        ),
    }
    with timed("training") as watched:
        qualities = judged_two_hours_ahead(flights, features, windows, leaky)
    console.print(f"{len(qualities)} models trained in {watched.seconds:.0f} s")
    console.print(quality_table(qualities))

    step("As they leave the gate: the delay so far, and the same against the usual one")
    departures = _retrieve(store, DEPARTURES, feature_service=AT_DEPARTURE)
    late_features = feature_columns(departures)
    with timed("training") as watched:
        qualities = judged_at_the_gate(departures, late_features)
    console.print(f"{len(qualities)} models trained in {watched.seconds:.0f} s")
    console.print(quality_table(qualities))

    step(f"A blizzard minute by minute: {VIEW} published once, then each landing pushed")
    with timed("a day and a half in February"):
        decay = minute_by_minute(store, clock)
        draw(decay, PICTURE)
    console.print(
        f"{len(decay.landed_at)} landings pushed, each as it happened; {PICTURE} is drawn."
    )
    console.print(
        "{:%d %b %H:%M} to {:%d %b %H:%M}: nothing landed, and".format(*decay.pause.index)
    )
    for name in (*PAIRS, *PAIRS.values()):
        console.print("  {} went from {:.4g} to {:.4g}".format(name, *decay.pause[name]))
    differences = say_equal("minutes", len(decay.online), decay.features, decay.differences)

    step(f"Materialize as of {PUBLISHED_AT:%d %B %Y, %H:%M} UTC")
    clock.now = PUBLISHED_AT
    with timed("publishing") as watched:
        # Forced: the blizzard, or `fstore materialize` by hand, was another time.
        store.materialize(force=True)
    console.print(f"Published in {watched.seconds:.2f} s.")

    step("The same questions online and offline, at that instant")
    asked, leaving = _asked_next(flights), _asked_next(departures)
    rows, late_rows = asked[list(KEYS)], leaving[[*KEYS, SO_FAR]]
    online, offline = answers_side_by_side(store, SERVICE, rows, clock.now)
    console.print(answers_table(online, offline, features, f"Flight {asked['flight_id'].iloc[0]}"))
    differences += _compare("flights", online, offline, features)
    online, offline = answers_side_by_side(store, AT_DEPARTURE, late_rows, clock.now)
    differences += _compare("departures", online, offline, late_features)

    step("Latency of an online read in this process")
    for service, asked_for, names in (
        (SERVICE, rows, features),
        (AT_DEPARTURE, late_rows, late_features),
    ):
        records = asked_for.to_dict("records")
        with timed("reading online for five seconds"):
            latencies = [read_latency(store, service, records, keys, 2.5) for keys in (1, 100)]
        console.print(f"{service}, {len(names)} features a key:")
        console.print(latency_table(latencies))

    step("Two hours later: what has landed and left since then is pushed")
    clock.now = PUBLISHED_AT + timedelta(hours=2)
    for view in EVENTS:
        since = events(view, PUBLISHED_AT, clock.now)
        with timed(f"pushing to {view}") as watched:
            store.push(view, since)
        console.print(f"{view}: {len(since)} rows pushed in {watched.seconds * 1e3:.0f} ms")
    online, offline = answers_side_by_side(store, SERVICE, rows, clock.now)
    differences += _compare("flights", online, offline, windows)

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
    store: FeatureStore,
    spine: str,
    *,
    features: list[str] | None = None,
    feature_service: str | None = None,
) -> pd.DataFrame:
    """Build the training set on the spine and print what that took."""
    with timed("point-in-time join") as clock:
        frame = store.get_historical_features(
            spine, features=features, feature_service=feature_service
        ).to_df()
    width = len(feature_columns(frame))
    console.print(
        f"{', '.join(features) if features else feature_service}: "
        f"{len(frame):,} rows x {width} features in {clock.seconds:.2f} s, "
        f"{len(frame) / clock.seconds:,.0f} rows a second"
    )
    return frame


def _asked_next(spine: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a spine that are asked about in the six hours from ``PUBLISHED_AT``."""
    since = pd.Timestamp(PUBLISHED_AT).tz_localize(None)  # the spine's times are plain UTC
    until = since + pd.Timedelta(hours=6)
    return spine[spine["event_timestamp"].between(since, until, inclusive="left")]


def _compare(what: str, online: pd.DataFrame, offline: pd.DataFrame, features: list[str]) -> int:
    """Count the values that differ, and print it."""
    return say_equal(what, len(online), features, count_differences(online, offline, features))


if __name__ == "__main__":
    sys.exit(main())
