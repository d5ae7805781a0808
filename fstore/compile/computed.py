"""What an on-demand view computes with, in one request: which columns its SQL can read.

Resolved without parsing its SQL, by the same code for training and for serving.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fstore.compile.types import family, find_column
from fstore.compile.window_types import feature_type
from fstore.definitions import Column, FeatureView, OnDemandView
from fstore.errors import OnDemandError, RequestError, SpineError, did_you_mean, listed

if TYPE_CHECKING:
    from fstore.compile.request import Columns, Join

ASKED_AT = "event_timestamp"  # the column of ``inputs`` that holds the asking instant
ZONED_TIME = "TIMESTAMP WITH TIME ZONE"
_EXACT = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")


@dataclass(frozen=True)
class Input:
    """A column of ``inputs`` that is a feature of a view."""

    name: str
    join: Join
    feature: str


@dataclass(frozen=True)
class Computed:
    """An on-demand view of a request, with where each column of its ``inputs`` comes from.

    ``times`` are the event times of the rows that are visible of its input views.
    """

    view: OnDemandView
    inputs: tuple[Input, ...]
    times: tuple[tuple[str, Join], ...]

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def joins(self) -> tuple[Join, ...]:
        return tuple(join for _, join in self.times)


def computed(
    view: OnDemandView, read: Sequence[tuple[str, Join, str | None, Sequence[str]]]
) -> Computed:
    """Name the columns of ``inputs``: of (label, join, new name, features) of each input.

    OnDemandError where two would have one name.
    """
    inputs: list[Input] = []
    times: dict[str, Join] = {}
    for label, join, renamed, features in read:
        times.setdefault(f"{label}__event_timestamp", join)
        # Only an alias is told from the view that it is an alias of by its features' names.
        prefix = "" if label in (join.view.name, join.view.identifier) else f"{label}__"
        inputs += [Input(renamed or prefix + feature, join, feature) for feature in features]
    found = Computed(view, tuple(inputs), tuple(times.items()))
    if reasons := list(_doubles(found)):
        raise OnDemandError(view.name, view.file, reasons)
    return found


def _doubles(found: Computed) -> Iterator[str]:
    named = [(each.name, f"{each.join.view.reference}:{each.feature}") for each in found.inputs]
    named += [(field.name, f"the request field {field.name}") for field in found.view.request]
    first = {ASKED_AT: "the asking instant"}
    first |= {name.casefold(): f"the event time of {join.name}" for name, join in found.times}
    for name, what in named:
        folded = name.casefold()
        if folded not in first:
            first[folded] = what
        elif first[folded] == what:
            yield f"{what} is an input twice: leave one of them out"
        else:
            other = first[folded]
            yield (
                f"{other} and {what} would both be named {name} in inputs: write "
                "{as: <name>, feature: view:feature} for an input, or rename the request field"
            )
    keys = {column.casefold(): join for join in found.joins for _, column in join.keys}
    for field in found.view.request:
        if join := keys.get(field.name.casefold()):
            yield (
                f"the request field {field.name} has the name of a join key of {join.name}: name "
                "it otherwise, or select the key as a feature too, under another name"
            )


def input_columns(found: Computed, columns: Columns) -> tuple[Column, ...]:
    """Return the columns of ``inputs``: request fields, features, the instant, event times."""
    features = [
        Column(each.name, type_of(each.join.view, columns, each.feature)) for each in found.inputs
    ]
    times = [Column(name, ZONED_TIME) for name in (ASKED_AT, *(name for name, _ in found.times))]
    return (*found.view.request, *features, *times)


def type_of(view: FeatureView | OnDemandView, columns: Columns, feature: str) -> str:
    """Return the type of a feature, as DuckDB writes it."""
    known = columns[view.reference]
    if isinstance(view, FeatureView):
        return feature_type(view, known, feature)
    column = find_column(known, feature)
    assert column is not None, "features were resolved against these columns"
    return column.type


def require_fields(asked: Sequence[Computed], present: Sequence[str], holder: str) -> None:
    """Raise RequestError naming every request field that the caller's data lacks."""
    folded = {name.casefold() for name in present}
    missing = [
        (field, found.view)
        for found in asked
        for field in found.view.request
        if field.name.casefold() not in folded
    ]
    if missing:
        what = listed([f"{field.name} ({field.type}) of {view.name}" for field, view in missing])
        raise RequestError(
            f"{holder} lacks the request field {what}: on-demand features are computed with it. "
            f"It has: {listed(list(present))}.{did_you_mean(missing[0][0].name, present)}"
        )


def check_fields(
    asked: Sequence[Computed], spine: tuple[Column, ...], *, whole_values: bool
) -> None:
    """Raise SpineError for the first request field that the spine has as another kind of value.

    ``whole_values``: floats have been looked at, and are whole where the field is an integer.
    """
    for found in asked:
        for field in found.view.request:
            theirs = find_column(spine, field.name)
            assert theirs is not None, "columns were checked before"
            if theirs.type == '"NULL"':
                continue
            rounds = field.type in _EXACT and family(theirs.type) == "number"
            rounds = rounds and not theirs.type.endswith(("INT", "INTEGER")) and not whole_values
            if family(theirs.type) != family(field.type) or rounds:
                raise SpineError(
                    f"entity_df column {theirs.name} is {theirs.type}, and the request field "
                    f"{field.name} of {found.name} ({found.view.declared_in}) is {field.type}. "
                    f"Cast the column of entity_df to {field.type}."
                )
