"""What a caller asks for, resolved: which views are joined on which columns, which outputs come.

Training and serving resolve the same references by the same code, so that a name means one thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fstore.compile.types import find_column, is_clock
from fstore.compile.window_types import check_windows
from fstore.definitions import (
    Column,
    FeatureService,
    FeatureView,
    Projection,
    Registry,
    WindowFeature,
)
from fstore.errors import (
    MissingColumnError,
    RequestError,
    UnknownNameError,
    WrongTypeError,
    did_you_mean,
    listed,
)

Columns = Mapping[str, tuple[Column, ...]]  # of the built relation, by FeatureView.reference


@dataclass(frozen=True)
class Join:
    """One view joined once. ``keys`` pairs each join key of the view with the caller's column."""

    name: str  # the view's name, view_v2 where a version is pinned, or the alias
    view: FeatureView
    keys: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Output:
    """One column of the answer."""

    name: str
    join: Join
    feature: str


def window_of(output: Output) -> WindowFeature | None:
    """Return the window feature that an output is; None where it is a column."""
    return output.join.view.windows_by_name.get(output.feature)


@dataclass(frozen=True)
class FeatureRequest:
    """Joins in the order in which they are first asked for; outputs in the order asked."""

    joins: tuple[Join, ...]
    outputs: tuple[Output, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The caller's key columns, each once."""
        return tuple(dict.fromkeys(column for join in self.joins for _, column in join.keys))


def windows_asked(request: FeatureRequest, join: Join) -> tuple[WindowFeature, ...]:
    """Return the window features that are asked of a join."""
    found = [window_of(output) for output in request.outputs if output.join == join]
    return tuple(window for window in found if window is not None)


def utc_instant(value: object, name: str) -> datetime:
    """Return a datetime as an aware one in UTC, which naive ones are; RequestError for all else."""
    if not isinstance(value, datetime):
        raise RequestError(
            f"{name} {value!r} is not a time: give a datetime, naive for UTC or aware."
        )
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise RequestError(
            f"{name} is {value.isoformat()}, which lies outside the years 1 to 9999 in UTC."
        ) from None


def parse_reference(reference: object) -> Projection:
    """Read ``view``, ``view:*`` or ``view:feature``, each also as ``view.v2``.

    >>> parse_reference("carrier_delays:avg_delay").features
    ('avg_delay',)
    """
    if not isinstance(reference, str) or not reference.strip():
        raise RequestError(
            f"{reference!r} is not a feature reference: write view:feature, view:* or view."
        )
    view, colon, feature = reference.partition(":")
    if not view:
        raise RequestError(f"{reference!r} names no view before the colon: write view{reference}.")
    if colon and not feature:
        raise RequestError(f"{reference!r} names no feature after the colon: write {view}:*.")
    return Projection(view, None if feature in ("", "*") else (feature,))


def view_named(registry: Registry, reference: str) -> FeatureView:
    """Return the view of a reference, the latest version where none is pinned."""
    view = registry.views_by_reference.get(reference)
    if view is None:
        known = sorted(registry.views_by_reference)
        raise UnknownNameError(reference, "a feature view", f"Project {registry.project}", known)
    return view


def service_named(registry: Registry, name: str) -> FeatureService:
    """Return the feature service of this name."""
    service = registry.services_by_name.get(name)
    if service is None:
        known = sorted(registry.services_by_name)
        raise UnknownNameError(name, "a feature service", f"Project {registry.project}", known)
    return service


def projections_asked(
    registry: Registry, features: Sequence[str] | None, feature_service: str | None
) -> tuple[Projection, ...]:
    """Return what is asked as projections; features or a service, never both and never neither."""
    if (features is None) == (feature_service is None):
        given = "both were" if features is not None else "neither was"
        raise RequestError(f"Give features or feature_service, and only one: {given} given.")
    if feature_service is not None:
        return service_named(registry, feature_service).projections
    if isinstance(features, str) or not isinstance(features, Sequence):
        raise RequestError(
            f"features is a list of references, such as ['view:feature'], not {features!r}."
        )
    if not features:
        raise RequestError("features is empty: name at least one, as view:feature or view:*.")
    return tuple(parse_reference(reference) for reference in features)


def views_asked(
    registry: Registry, features: Sequence[str] | None, feature_service: str | None
) -> tuple[FeatureView, ...]:
    """Return the views that a request needs, each once, in the order asked."""
    asked = projections_asked(registry, features, feature_service)
    return tuple(dict.fromkeys(view_named(registry, projection.view) for projection in asked))


def resolve(
    registry: Registry,
    columns: Columns,
    features: Sequence[str] | None,
    feature_service: str | None,
    full_feature_names: bool | None,
) -> FeatureRequest:
    """Resolve a request against the registry and the columns of the built relations.

    Raises UnknownNameError for an unknown view, feature or service, MissingColumnError where a
    relation lacks a declared column, RequestError where two outputs would have one name.
    """
    projections = projections_asked(registry, features, feature_service)
    if full_feature_names is None:
        full_feature_names = (
            service_named(registry, feature_service).full_feature_names
            if feature_service
            else False
        )
    joins: dict[str, Join] = {}
    outputs: list[Output] = []
    for projection in projections:
        view = view_named(registry, projection.view)
        check_declared(view, columns[view.reference])
        pinned = projection.view != view.name
        name = projection.alias or (view.identifier if pinned else view.name)
        join = Join(name, view, _keys(view, projection))
        if joins.setdefault(name, join) != join:
            raise RequestError(
                f"{name} is asked twice with different join_keys: give one of them an alias."
            )
        prefix = f"{name}__" if full_feature_names or projection.alias else ""
        for feature in _features(view, columns[view.reference], projection):
            outputs.append(Output(prefix + feature, join, feature))
    _refuse_doubles(outputs)
    return FeatureRequest(tuple(joins.values()), tuple(outputs))


def check_declared(view: FeatureView, columns: tuple[Column, ...]) -> None:
    """Raise an error where the relation is not as declared.

    MissingColumnError, WrongTypeError for a clock, DeclarationError for window features.
    """
    for role, name in declared_columns(view):
        if find_column(columns, name) is None:
            raise MissingColumnError(
                view.reference, view.file, name, role, [column.name for column in columns]
            )
    for role, clock in (
        ("event_timestamp", view.event_timestamp),
        ("created_timestamp", view.created_timestamp),
    ):
        column = find_column(columns, clock) if clock else None
        if column is not None and not is_clock(column.type):
            raise WrongTypeError(view.reference, view.file, column.name, role, column.type)
    check_windows(view, columns)


def declared_columns(view: FeatureView) -> list[tuple[str, str]]:
    """Return (role, column) for every column that a declaration names."""
    named = [("join key", key) for key in view.join_keys]
    named.append(("event_timestamp", view.event_timestamp))
    if view.created_timestamp:
        named.append(("created_timestamp", view.created_timestamp))
    named += [("feature", name) for name in view.features or ()]
    named += [("excluded column", name) for name in view.exclude]
    named += [("event_key", name) for name in view.event_key]
    aggregated = [feature.column for feature in view.windows if feature.column is not None]
    named += [("aggregated column", name) for name in dict.fromkeys(aggregated)]
    named += [("documented column", name) for name in view.declared_columns]
    return named


def _keys(view: FeatureView, projection: Projection) -> tuple[tuple[str, str], ...]:
    renamed = dict(projection.join_keys)
    return tuple((key, renamed.get(key, key)) for key in view.join_keys)


def _features(
    view: FeatureView, columns: tuple[Column, ...], projection: Projection
) -> tuple[str, ...]:
    if projection.features is None:
        return view.feature_names(columns)
    known = tuple(dict.fromkeys((*view.windows_by_name, *view.column_features(columns))))
    for feature in projection.features:
        if feature not in known:
            raise UnknownNameError(
                f"{projection.view}:{feature}",
                "a feature",
                f"{view.reference} ({view.file})",
                known,
                asked=feature,
            )
    return projection.features


def _refuse_doubles(outputs: Sequence[Output]) -> None:
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
