"""Commands about declarations: check, list, describe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from fstore.cli import show
from fstore.cli.on_demand import describe_on_demand
from fstore.cli.options import as_json, opens_store
from fstore.definitions import FeatureView, WindowFeature

if TYPE_CHECKING:
    from fstore.store import FeatureStore

_NOTHING = {
    "views": "No feature view yet: give a dbt model meta.fstore, and run dbt parse.",
    "services": "No feature service yet: give an exposure of type ml meta.fstore.",
    "entities": "No entity yet: feature views name them.",
}


@click.command()
@as_json
@opens_store
def check(store: FeatureStore, as_json: bool) -> None:
    """Check every declaration against what dbt built.

    Declarations, built relations, services and profile; everything found, not the first thing
    only. Exits with 1 where there is an error; warnings alone exit with 0.

    \b
    Example:
      dbt build && fstore check
    """
    findings = store.check()
    errors = sum(finding.is_error for finding in findings)
    if as_json:
        show.as_json(
            [
                {
                    "severity": finding.severity,
                    "file": finding.problem.file,
                    "node": finding.problem.node,
                    "key": finding.problem.key,
                    "text": finding.problem.text,
                }
                for finding in findings
            ]
        )
    else:
        for finding in findings:
            colour = "red" if finding.is_error else "yellow"
            markup = f"[{colour}]{finding.severity}:[/] {{}}"
            show.tell(markup, str(finding.problem), err=False)
        if not errors:
            count = len(store.feature_views()) + len(store.on_demand_views())
            views = _counted(count, "feature view")
            services = _counted(len(store.feature_services()), "feature service")
            click.echo(f"{views} and {services} are right.")
    sys.exit(1 if errors else 0)


@click.command("list")
@click.argument("what", type=click.Choice(["views", "services", "entities"]), default="views")
@as_json
@opens_store
def list_names(store: FeatureStore, what: str, as_json: bool) -> None:
    """List the feature views, the feature services or the entities.

    \b
    Examples:
      fstore list
      fstore list services --json
    """
    if what == "views":
        columns = ["view", "entities", "event_timestamp", "ttl", "online", "description"]
        rows = [
            [
                view.reference,
                ", ".join(entity.name for entity in view.entities) or "(global)",
                view.event_timestamp,
                None if view.ttl is None else str(view.ttl),
                view.online,
                _first_line(view.description),
            ]
            for view in store.feature_views()
        ]
        rows += [
            [view.name, "(on demand)", None, None, None, _first_line(view.description)]
            for view in store.on_demand_views()
        ]
    elif what == "services":
        columns = ["service", "features", "owner", "description"]
        rows = [
            [
                service.name,
                ", ".join(dict.fromkeys(each.alias or each.view for each in service.projections)),
                service.owner or None,
                _first_line(service.description),
            ]
            for service in store.feature_services()
        ]
    else:
        columns = ["entity", "join_keys", "views"]
        rows = [
            [
                entity.name,
                ", ".join(entity.join_keys),
                ", ".join(
                    view.reference for view in store.feature_views() if entity in view.entities
                ),
            ]
            for entity in store.entities()
        ]
    if as_json:
        show.as_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif not rows:
        click.echo(_NOTHING[what])
    else:
        show.table(None, columns, rows)


@click.command()
@click.argument("feature_view")
@as_json
@opens_store
def describe(store: FeatureStore, feature_view: str, as_json: bool) -> None:
    """Describe a feature view: its clocks, its keys and its features with their types.

    Of an on-demand view: what it computes with, and how its features are computed online.

    \b
    Examples:
      fstore describe carrier_delays
      fstore describe carrier_delays.v2 --json
    """
    if feature_view in store.registry.on_demand_by_name:
        describe_on_demand(store, feature_view, as_json)
        return
    view, columns = store.describe(feature_view)
    assert isinstance(view, FeatureView), "on-demand views are described above"
    facts = {
        "view": view.reference,
        "model": view.file,
        "declared in": view.declared_in,
        "relation": str(view.relation),
        "description": view.description or None,
        "owner": view.owner or None,
        "tags": ", ".join(view.tags) or None,
        "entities": ", ".join(
            f"{entity.name} ({', '.join(entity.join_keys)})" for entity in view.entities
        )
        or "(global)",
        "event_timestamp": view.event_timestamp,
        "created_timestamp": view.created_timestamp,
        "delay": None if view.delay is None else str(view.delay),
        "backfilled_until": view.backfilled_until,
        "known_at": view.known_at,
        "ttl": None if view.ttl is None else str(view.ttl),
        "online": view.online,
        "snapshot": view.snapshot is not None,
        "event_key": ", ".join(view.event_key) or None,
    }
    features = store.feature_types(feature_view)
    windows = {feature.name: _window(feature) for feature in view.windows}
    if as_json:
        more = {"windows": windows} if windows else {}
        show.as_json(facts | {"built": columns is not None, "features": features} | more)
        return
    show.facts({name: value for name, value in facts.items() if value is not None})
    click.echo()
    if columns is None:
        click.echo(f"It is not built yet. Run: dbt build --select {view.reference}")
    elif windows:
        rows = [(name, kind, windows[name]) for name, kind in features.items()]
        show.table(None, ["feature", "type", "of the events of"], rows)
    else:
        show.table(None, ["feature", "type"], list(features.items()))


def _window(feature: WindowFeature) -> str:
    """Return in words which events a window feature is computed from, and how."""
    what = f"{feature.function} of {feature.column}" if feature.column else feature.function
    words = f"the last {feature.window}: {what}"
    if feature.where is not None:
        words += f" where {feature.where}"
    return words if feature.hop is None else f"{words}, in hops of {feature.hop}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
