"""The online answer beside the offline one, for the same keys at the same instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from fstore import FeatureStore

KEYS = ("carrier", "tailnum", "origin", "dest")


def answers_side_by_side(
    store: FeatureStore, service: str, rows: pd.DataFrame, instant: datetime
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask both stores about ``rows`` of keys and request data; return (online, offline), in order.

    The store's clock has to stand at ``instant``. Offline every row is asked as of then too.
    """
    online = store.get_online_features(
        feature_service=service, entity_rows=rows.to_dict("records")
    ).to_df()
    offline = store.get_historical_features(
        rows.assign(event_timestamp=instant), feature_service=service
    ).to_df()
    return online, offline


def count_differences(online: pd.DataFrame, offline: pd.DataFrame, features: Sequence[str]) -> int:
    """Count the values that differ. Two NULLs are equal; floats have to agree in every bit."""
    if len(online) != len(offline):
        raise SystemExit(f"online gave {len(online)} rows, offline {len(offline)}")
    differences = 0
    for name in features:
        left = online[name].astype(object).reset_index(drop=True)
        right = offline[name].astype(object).reset_index(drop=True)
        is_null = left.isna() & right.isna()
        is_equal = (left == right).fillna(False).astype(bool) & ~left.isna() & ~right.isna()
        differences += int((~(is_null | is_equal)).sum())
    return differences
