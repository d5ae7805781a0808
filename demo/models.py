"""The models that are compared: the same trees, which know more or less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.train import SCHEDULE, SO_FAR, feature_columns, train_and_judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from demo.train import Quality

ON_DEMAND = ("arr_delay_expected", "delay_over_carrier", "delay_over_origin")


def judged_two_hours_ahead(
    flights: pd.DataFrame,
    features: Sequence[str],
    windows: Sequence[str],
    leaky: Mapping[str, pd.DataFrame],
) -> dict[str, Quality]:
    """Train without features, with those that dbt computed, with windows, and on leaky twins."""
    known = [name for name in (*SCHEDULE, *features) if name not in windows]
    qualities = {
        "the schedule only": train_and_judge(flights, SCHEDULE),
        "+ features, right in time": train_and_judge(flights, known),
        "+ windows of the last hour and day": train_and_judge(flights, [*known, *windows]),
    }
    for name, twin in leaky.items():
        qualities[f"LEAKY: {name}"] = train_and_judge(_replaced(flights, twin), known)
    return qualities


def judged_at_the_gate(departures: pd.DataFrame, features: Sequence[str]) -> dict[str, Quality]:
    """Train with the delay so far as it is, and set against the usual one, on demand."""
    known = [*SCHEDULE, SO_FAR]
    looked_up = [name for name in features if name not in ON_DEMAND]
    trainings = {
        "the schedule and the delay so far": known,
        "+ three on-demand features": [*known, *ON_DEMAND],
        "+ windows and the route's week instead": [*known, *looked_up],
        "+ both": [*known, *features],
    }
    return {name: train_and_judge(departures, columns) for name, columns in trainings.items()}


def _replaced(flights: pd.DataFrame, twin: pd.DataFrame) -> pd.DataFrame:
    """Put the feature columns of ``twin`` in place of those of the same names; rows match."""
    return flights.assign(**{name: twin[name].array for name in feature_columns(twin)})
