"""The model: will this flight land more than 15 minutes late?

The same gradient-boosted trees are trained on different columns. They learn from the first nine
months and are judged on the last three, so that nothing of the future helps but a leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL = "is_late"
SO_FAR = "dep_delay_so_far"  # of the spine at the gate: what the request has to say online
TRAINED_UNTIL = pd.Timestamp("2013-10-01", tz="UTC")
SCHEDULE = (
    "carrier",
    "origin",
    "dest",
    "scheduled_hour",
    "scheduled_weekday",
    "scheduled_minutes",
    "distance_miles",
)


@dataclass(frozen=True)
class Quality:
    """How good a model is on the flights after ``TRAINED_UNTIL``."""

    columns: int
    auc: float  # 0.5 is a coin, 1.0 knows the answer
    log_loss: float
    said: float  # mean predicted share of late flights
    happened: float  # the share that were late


def feature_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns of a training set after those of its spine."""
    last = SO_FAR if SO_FAR in frame else LABEL
    return list(frame.columns[frame.columns.get_loc(last) + 1 :])


def train_and_judge(flights: pd.DataFrame, columns: Sequence[str]) -> Quality:
    """Train on the flights asked about before ``TRAINED_UNTIL``, judge on the later ones.

    ``flights`` has the label, ``event_timestamp`` and the columns. A flight without a label, a
    diverted one, is left out. The seed is fixed: the same frame gives the same numbers.
    """
    labelled = flights[flights[LABEL].notna()]
    asked_at = pd.to_datetime(labelled["event_timestamp"], utc=True)
    is_early = (asked_at < TRAINED_UNTIL).to_numpy()
    inputs = _as_model_inputs(labelled[list(columns)])
    is_late = labelled[LABEL].astype(bool).to_numpy()
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype", early_stopping=False, random_state=0
    )
    # One thread: two that share a core with anything else wait for each other, ten times as long.
    with threadpool_limits(1):
        model.fit(inputs[is_early], is_late[is_early])
    chance = model.predict_proba(inputs[~is_early])[:, 1]
    truth = is_late[~is_early]
    return Quality(
        columns=len(columns),
        auc=float(roc_auc_score(truth, chance)),
        log_loss=float(log_loss(truth, chance)),
        said=float(chance.mean()),
        happened=float(truth.mean()),
    )


def _as_model_inputs(columns: pd.DataFrame) -> pd.DataFrame:
    """Numbers as float64, where a missing one is NaN; everything else as categories."""
    return pd.DataFrame(
        {
            name: column.astype("float64")
            if pd.api.types.is_numeric_dtype(column)
            else column.astype("category")
            for name, column in columns.items()
        }
    )
