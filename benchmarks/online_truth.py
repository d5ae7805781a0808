"""The right values of an online read, from the source rows, and whether a peer's are these.

The query shares nothing with fstore: the newest row of each key is that whose time no other row of
the key exceeds. The data has no ties.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from benchmarks.protocol import View

Row = tuple[Any, ...]


def right_rows(view: View, keys: Sequence[int]) -> dict[int, Row]:
    """Return the features that each key must have; a key without rows is left out."""
    features = ", ".join(f"a.{name}" for name in view.features)
    wanted = ", ".join(str(key) for key in sorted(set(keys)))
    query = (
        f"WITH asked AS (SELECT * FROM '{view.parquet}' WHERE {view.key} IN ({wanted})) "
        f"SELECT a.{view.key}, {features} FROM asked AS a WHERE NOT EXISTS (SELECT 1 FROM asked "
        f"AS b WHERE b.{view.key} = a.{view.key} AND b.event_timestamp > a.event_timestamp)"
    )
    with duckdb.connect() as connection:
        found = connection.execute(query).fetchall()
    right = {key: tuple(values) for key, *values in found}
    if len(right) != len(found):
        raise SystemExit(f"{view.name}: rows of one key tie in time, so that peers may differ")
    return right


def compare(
    view: View, keys: Sequence[int], right: Mapping[int, Row], found: Mapping[str, Sequence[Any]]
) -> str:
    """Return "right", or how many of the rows differ. NaN counts as NULL."""
    nothing = (None,) * len(view.features)
    rows = list(zip(*(found[name] for name in view.features), strict=True))
    if len(rows) != len(keys):
        return f"wrong: {len(rows):,} rows for {len(keys):,}"
    wrong = sum(
        tuple(map(_null, row)) != right.get(key, nothing)
        for key, row in zip(keys, rows, strict=True)
    )
    return f"wrong: {wrong:,} of {len(keys):,} rows differ" if wrong else "right"


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
