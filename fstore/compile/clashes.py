"""What a caller's columns and the columns of the answer may not have in common, and must."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.compile.computed import require_fields
from fstore.errors import RequestError, did_you_mean, listed

if TYPE_CHECKING:
    from fstore.compile.request import FeatureRequest, Output


def refuse_doubles(outputs: Sequence[Output]) -> None:
    """Raise RequestError where two outputs would have one name."""
    seen: dict[str, Output] = {}
    for output in outputs:
        other = seen.setdefault(output.name.casefold(), output)
        if other is output:
            continue
        one, two = (f"{it.join.view.reference}:{it.feature}" for it in (other, output))
        if one == two and other.join.name == output.join.name:
            raise RequestError(f"{one} is asked twice: leave one of them out.")
        raise RequestError(
            f"{one} and {two} would both be named {output.name}: ask with "
            "full_feature_names=True, or rename one in its model."
        )


def refuse_clashes(
    request: FeatureRequest, extra: Sequence[str], taken: Sequence[str], holder: str
) -> None:
    """Raise RequestError where an output has the name of one of the caller's columns."""
    folded = {name.casefold(): name for name in taken}
    for output in request.outputs:
        if output.name.casefold() in folded:
            raise RequestError(
                f"{output.join.view.reference}:{output.feature} would be named {output.name}, and "
                f"{holder} has a column {folded[output.name.casefold()]}: ask with "
                "full_feature_names=True, or rename that column."
            )
    outputs = {output.name.casefold() for output in request.outputs}
    for name in extra:
        if name.casefold() in folded or name.casefold() in outputs:
            raise RequestError(
                f"include_event_timestamps adds a column {name}, and there is one: rename it."
            )


def require_columns(request: FeatureRequest, present: Sequence[str], holder: str) -> None:
    """Raise RequestError naming every key column of the request that the caller's data lacks."""
    folded = {name.casefold() for name in present}
    missing = [key for key in request.keys if key.casefold() not in folded]
    if missing:
        joins = [join.name for join in request.joins if any(c in missing for _, c in join.keys)]
        raise RequestError(
            f"{holder} has no column {listed(missing)}, a join key of {listed(joins)}. "
            f"It has: {listed(list(present))}.{did_you_mean(missing[0], present)}"
        )
    require_fields(request.computed, present, holder)
