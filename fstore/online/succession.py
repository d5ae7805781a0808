"""What the next generation has: the views written now, those that stay, and their declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fstore.compile.events import horizon
from fstore.compile.latest import stored_columns
from fstore.definitions import FeatureView, Registry
from fstore.online.event_layout import EventLayout
from fstore.online.generation import Catalog, Declared, Published
from fstore.online.protocol import Batch, Generation
from fstore.online.records import Layout


def succession(
    current: Generation | None,
    written: Mapping[str, tuple[Batch, Published]],
    registry: Registry,
    keep: frozenset[str],
) -> tuple[dict[str, Published], Declared]:
    """Return the published views, by reference, and the declarations of the next generation.

    Of the views not written now, those whose reference is in ``keep`` stay, with the declaration
    that they were published under. On-demand views are those of ``registry``: the ones whose
    features are known there can be served.
    """
    views = {reference: published for reference, (_, published) in written.items()}
    columns = {reference: batch.columns for reference, (batch, _) in written.items()}
    declared = {reference: batch.view for reference, (batch, _) in written.items()}
    claims = list(declared.values())
    if current is not None:
        before = current.registry.views_by_reference
        for reference, published in current.catalog.views.items():
            if reference in keep and reference not in views:
                views[reference] = published
                columns[reference] = current.columns[reference]
                declared[reference] = before[reference]
        claims += [view for view in before.values() if view.reference in views]
    for view in registry.feature_views:
        declared.setdefault(view.reference, view)
    claims += registry.feature_views
    known = replace(registry, feature_views=_one_latest(declared, claims), models=())
    columns |= {view.name: view.features for view in registry.on_demand_views if view.features}
    return views, Declared(known, columns)


def layouts(catalog: Catalog, declared: Declared) -> dict[str, Layout]:
    """Return the layout of the rows of each published view."""
    views = declared.registry.views_by_reference
    return {
        reference: Layout.of(views[reference], declared.columns[reference])
        for reference in catalog.views
    }


def goes_on(current: Generation, batch: Batch) -> bool:
    """Whether what is published of a view is what is about to be: of a key it may stay as it is.

    That is, its columns are the same, and of its events all is kept that windows look at: a longer
    one would be read from events of which the oldest are gone.
    """
    reference = batch.view.reference
    if reference not in current.catalog.views:
        return False
    before = current.registry.views_by_reference[reference]
    held = stored_columns(before, current.columns[reference])
    if held != stored_columns(batch.view, batch.columns):
        return False
    if not batch.view.windows:
        return True
    if EventLayout.of(before, current.columns[reference]) != EventLayout.of(
        batch.view, batch.columns
    ):
        return False
    kept = horizon(before, current.catalog.views[reference].as_of)
    needed = horizon(batch.view, batch.as_of)
    return kept is None or (needed is not None and needed >= kept)


def _one_latest(
    declared: Mapping[str, FeatureView], claims: Iterable[FeatureView]
) -> tuple[FeatureView, ...]:
    """Return the declared views with one latest version a name: the first claim that says so.

    A new version takes the bare name over when it is published, not when it is declared.
    """
    latest: dict[str, str] = {}
    for view in claims:
        if view.is_latest and view.reference in declared:
            latest.setdefault(view.name, view.reference)
    return tuple(
        replace(view, is_latest=latest.get(view.name) == reference)
        for reference, view in declared.items()
    )
