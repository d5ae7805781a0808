"""Many times as few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def summary(nanoseconds: Sequence[int]) -> dict[str, float]:
    """Return how many calls there were, and p50, p99, p99.9, mean and most in microseconds."""
    ordered = sorted(nanoseconds)
    found = {name: quantile(ordered, share) / 1e3 for name, share in QUANTILES.items()}
    mean = sum(ordered) / len(ordered) / 1e3
    return {"calls": len(ordered), **found, "mean": mean, "most": ordered[-1] / 1e3}
