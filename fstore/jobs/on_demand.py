"""On-demand views beside what is published: with their features where their inputs are online."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fstore.compile.checks import Finding, error
from fstore.compile.computed import input_columns
from fstore.compile.references import input_views
from fstore.compile.request import Columns, inputs_of
from fstore.compile.row_local import selected
from fstore.definitions import Column, OnDemandView, Registry
from fstore.errors import FstoreError, OnDemandError, RelationError
from fstore.offline.on_demand import examples_that_fail, typed_view
from fstore.online.on_demand import evaluator


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
            named = _named(view, error)
            if not keep_going:
                raise named from error
            failed[view.name] = named
        found.append(view)
    return tuple(found), failed


def _named(view: OnDemandView, error: FstoreError) -> FstoreError:
    """Return the error with the view's name, whatever it is that is wrong with an input."""
    if isinstance(error, OnDemandError):
        return error
    return OnDemandError(view.name, view.declared_in, [f"an input of it cannot be had: {error}"])


def checked(
    registry: Registry, columns: Columns
) -> tuple[Registry, dict[str, tuple[Column, ...]], list[Finding]]:
    """Return registry and columns with what on-demand views select, and what is wrong with them.

    ``columns`` lacks the views that are not built; of a view that computes with one of those only
    what its text alone tells is said.
    """
    findings: list[Finding] = []
    known = dict(columns)
    views = []
    for view in registry.on_demand_views:
        needed = {each.reference for each in input_views(registry, view)}
        try:
            if needed <= columns.keys():
                view = typed_view(registry, columns, view)
                known[view.name] = view.features
                findings += [
                    error(view.declared_in, view.name, f"meta.fstore.examples[{number}]", text)
                    for number, text in examples_that_fail(registry, columns, view)
                ]
            else:
                selected(view)
        except OnDemandError as wrong:
            findings += [error(wrong.path, view.name, "", reason) for reason in wrong.reasons]
        except RelationError:
            pass  # said of the view that it computes with
        except FstoreError as wrong:
            findings.append(error(view.declared_in, view.name, "meta.fstore.inputs", str(wrong)))
        views.append(view)
    return replace(registry, on_demand_views=tuple(views)), known, findings


@dataclass(frozen=True)
class HowComputed:
    """An on-demand view, and which of its features need an engine at an online read, and why.

    What needs none is computed in process, with DuckDB's own results.
    """

    view: OnDemandView
    inputs: tuple[Column, ...]
    by_engine: Mapping[str, str]


def how_computed(registry: Registry, columns: Columns, view: OnDemandView) -> HowComputed:
    """Return the view with its types, and how it is computed online."""
    view = typed_view(registry, columns, view)
    found = inputs_of(registry, columns, view)
    why = evaluator(found, columns, [column.name for column in view.features]).why
    return HowComputed(view, input_columns(found, columns), why)
