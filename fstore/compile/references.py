"""Names that a caller gives, as what they name: references, views, services.

Training and serving read them by the same code, so that a name means one thing.
"""

from __future__ import annotations

from collections.abc import Sequence

from fstore.definitions import (
    FeatureService,
    FeatureView,
    OnDemandView,
    Projection,
    Registry,
)
from fstore.errors import RequestError, UnknownNameError, listed


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
        computed = registry.on_demand_by_name.get(reference)
        if computed is not None:
            views = listed(sorted({each.projection.view for each in computed.inputs}))
            raise RequestError(
                f"{reference} ({computed.file}) is computed on demand and has no rows of its own. "
                f"It goes with the views that it computes with: {views}."
            )
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
    """Return the views that a request needs, each once, in the order asked.

    The inputs of on-demand views are among them.
    """
    needed: list[FeatureView] = []
    for projection in projections_asked(registry, features, feature_service):
        view = source_named(registry, projection.view)
        if isinstance(view, FeatureView):
            needed.append(view)
        else:
            needed += input_views(registry, view)
    return tuple({view.reference: view for view in needed}.values())


def on_demand_asked(
    registry: Registry, features: Sequence[str] | None, feature_service: str | None
) -> tuple[OnDemandView, ...]:
    """Return the on-demand views that a request asks for, each once."""
    names = {each.view for each in projections_asked(registry, features, feature_service)}
    return tuple(view for view in registry.on_demand_views if view.name in names)


def input_views(registry: Registry, view: OnDemandView) -> tuple[FeatureView, ...]:
    """Return the views that an on-demand view computes with."""
    return tuple(view_named(registry, each.projection.view) for each in view.inputs)


def source_named(registry: Registry, reference: str) -> FeatureView | OnDemandView:
    """Return the view of a reference, which may be computed on demand."""
    on_demand = registry.on_demand_by_name
    if reference in on_demand and reference not in registry.views_by_reference:
        return on_demand[reference]
    if reference not in registry.views_by_reference and on_demand:
        known = sorted((*registry.views_by_reference, *on_demand))
        raise UnknownNameError(reference, "a feature view", f"Project {registry.project}", known)
    return view_named(registry, reference)
