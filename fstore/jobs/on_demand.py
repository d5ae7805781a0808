"""On-demand views beside what is published: with their features where their inputs are online."""

from __future__ import annotations

from fstore.compile.request import Columns, input_views
from fstore.definitions import OnDemandView, Registry
from fstore.errors import FstoreError
from fstore.offline.on_demand import typed_view


def published(
    registry: Registry, columns: Columns, *, keep_going: bool
) -> tuple[tuple[OnDemandView, ...], dict[str, FstoreError]]:
    """Return the on-demand views to publish, and what failed, by the view's name.

    ``columns`` are those of the views that will be online. An on-demand view that computes with
    others stays without features, and so cannot be asked for online.
    """
    found: list[OnDemandView] = []
    failed: dict[str, FstoreError] = {}
    for view in registry.on_demand_views:
        try:
            if all(each.reference in columns for each in input_views(registry, view)):
                view = typed_view(registry, columns, view)
        except FstoreError as error:
            if not keep_going:
                raise
            failed[view.name] = error
        found.append(view)
    return tuple(found), failed
