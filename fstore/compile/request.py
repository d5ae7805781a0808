"""What a caller asks for, resolved: which views are joined on which columns, which outputs come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from fstore.compile.clashes import refuse_doubles
from fstore.compile.computed import Computed, computed
from fstore.compile.references import (
    projections_asked,
    service_named,
    source_named,
    view_named,
)
from fstore.compile.types import find_column, holds_floats, is_clock, is_key
from fstore.compile.window_types import check_windows
from fstore.definitions import (
    Column,
    FeatureView,
    OnDemandView,
    Projection,
    Registry,
    WindowFeature,
)
from fstore.errors import (
    MissingColumnError,
    RequestError,
    UnknownNameError,
    WrongTypeError,
)

# Of the built relation, by FeatureView.reference; of what an on-demand view selects, by its name.
Columns = Mapping[str, tuple[Column, ...]]


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
    join: Join | Computed
    feature: str


@dataclass(frozen=True)
class FeatureRequest:
    """Joins in the order in which they are first asked for; outputs in the order asked.

    Behind the joins asked for come those that only on-demand views read: no output is theirs.
    """

    joins: tuple[Join, ...]
    outputs: tuple[Output, ...]
    computed: tuple[Computed, ...] = ()

    @cached_property
    def asked(self) -> tuple[Join | Computed, ...]:
        """What outputs come from, in the order asked."""
        return tuple({output.join.name: output.join for output in self.outputs}.values())

    @cached_property
    def read(self) -> dict[str, tuple[str, ...]]:
        """Which features are needed of each join, by its name: asked, or inputs of others."""
        every = [(each.join, each.feature) for each in self.outputs]
        every += [(each.join, each.feature) for found in self.computed for each in found.inputs]
        needed: dict[str, dict[str, None]] = {join.name: {} for join in self.joins}
        for join, feature in every:
            if isinstance(join, Join):
                needed[join.name][feature] = None
        return {name: tuple(features) for name, features in needed.items()}

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The request fields that on-demand views need, each once."""
        return tuple(dict.fromkeys(it.name for found in self.computed for it in found.view.request))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The caller's key columns, each once."""
        return tuple(dict.fromkeys(column for join in self.joins for _, column in join.keys))


def windows_asked(request: FeatureRequest, join: Join) -> tuple[WindowFeature, ...]:
    """Return the window features that are needed of a join."""
    windows = join.view.windows_by_name
    return tuple(windows[name] for name in request.read[join.name] if name in windows)


def columns_asked(request: FeatureRequest, join: Join) -> tuple[str, ...]:
    """Return the features that are needed of a join and are columns of its relation."""
    windows = join.view.windows_by_name
    return tuple(name for name in request.read[join.name] if name not in windows)


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
    wanted: list[tuple[Projection, FeatureView | OnDemandView]] = [
        (projection, source_named(registry, projection.view)) for projection in projections
    ]
    for projection, view in wanted:
        if isinstance(view, FeatureView):
            join = _join(view, columns, projection)
            if joins.setdefault(join.name, join) != join:
                raise RequestError(
                    f"{join.name} is asked twice with different join_keys: give one of them an "
                    "alias."
                )
    needed = {
        view.name: _computed(registry, columns, view, joins)
        for _, view in wanted
        if isinstance(view, OnDemandView)
    }
    for projection, view in wanted:
        source = (
            _join(view, columns, projection) if isinstance(view, FeatureView) else needed[view.name]
        )
        prefix = f"{source.name}__" if full_feature_names or projection.alias else ""
        for feature in _features(view, columns[view.reference], projection):
            outputs.append(Output(prefix + feature, source, feature))
    refuse_doubles(outputs)
    return FeatureRequest(tuple(joins.values()), tuple(outputs), tuple(needed.values()))


def _join(view: FeatureView, columns: Columns, projection: Projection) -> Join:
    check_declared(view, columns[view.reference])
    pinned = projection.view != view.name
    name = projection.alias or (view.identifier if pinned else view.name)
    return Join(name, view, _keys(view, projection))


def inputs_of(registry: Registry, columns: Columns, view: OnDemandView) -> Computed:
    """Resolve the inputs of an on-demand view by itself."""
    return _computed(registry, columns, view, {})


def _computed(
    registry: Registry, columns: Columns, view: OnDemandView, joins: dict[str, Join]
) -> Computed:
    """Resolve the inputs of an on-demand view, adding the joins that it needs."""
    if view.name in joins:
        raise RequestError(f"{view.name} is an alias here, and an on-demand view: rename one.")
    read = []
    for each in view.inputs:
        projection = each.projection
        of = view_named(registry, projection.view)
        join = _join(of, columns, projection)
        label = join.name
        if joins.get(label, join) != join:  # the caller joins it under this name on other columns
            join = Join(f"{view.name}__{label}", of, join.keys)
        joins.setdefault(join.name, join)
        read.append((label, join, each.name, _features(of, columns[of.reference], projection)))
    return computed(view, read)


_NO_KEY = (
    "writes equal values in many forms (30 days, a month): cast it in the model, to VARCHAR or to "
    "seconds"
)
_FLOATS_WITHIN = (
    "writes equal values in two forms (0.0 and -0.0): name its parts as columns of the model"
)


def check_declared(view: FeatureView, columns: tuple[Column, ...]) -> None:
    """Raise an error where the relation is not as declared.

    MissingColumnError, WrongTypeError for a clock or a key, DeclarationError for window features.
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
    for name in view.join_keys:
        key = find_column(columns, name)
        if key is not None and not is_key(key.type):
            raise WrongTypeError(view.reference, view.file, key.name, "join key", key.type, _NO_KEY)
    for name in view.event_key:
        part = find_column(columns, name)
        assert part is not None, "declared columns are there"
        if not is_key(part.type) or holds_floats(part.type):
            reason = _FLOATS_WITHIN if is_key(part.type) else _NO_KEY
            raise WrongTypeError(
                view.reference, view.file, part.name, "event_key", part.type, reason
            )
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
    view: FeatureView | OnDemandView, columns: tuple[Column, ...], projection: Projection
) -> tuple[str, ...]:
    if isinstance(view, OnDemandView):
        every = known = tuple(column.name for column in columns)
    else:
        every = view.feature_names(columns)
        known = tuple(dict.fromkeys((*view.windows_by_name, *view.column_features(columns))))
    if projection.features is None:
        return every
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
