"""How ``fstore describe`` shows an on-demand view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fstore.cli import show

if TYPE_CHECKING:
    from fstore.definitions import OnDemandInput
    from fstore.store import FeatureStore


def describe_on_demand(store: FeatureStore, name: str, as_json: bool) -> None:
    """Show what an on-demand view computes with, its features, and how they are computed."""
    found = store.how_computed(name)
    view = store.registry.on_demand_by_name[name] if found is None else found.view
    facts = {
        "view": view.name,
        "model": view.file,
        "declared in": view.declared_in,
        "description": view.description or None,
        "owner": view.owner or None,
        "tags": ", ".join(view.tags) or None,
        "kind": "on demand",
        "inputs": ", ".join(map(_shown, view.inputs)) or None,
        "request": ", ".join(f"{field.name} ({field.type})" for field in view.request) or None,
        "examples": len(view.examples),
    }
    by_engine = {} if found is None else found.by_engine
    features = {column.name: column.type for column in view.features}
    online = {
        feature: f"by DuckDB: {by_engine[feature]}" if feature in by_engine else "in process"
        for feature in features
    }
    if as_json:
        show.as_json(facts | {"built": found is not None, "features": features, "online": online})
        return
    show.facts({name: value for name, value in facts.items() if value is not None})
    click.echo()
    if found is None:
        click.echo("What it computes with is not built yet. Run: dbt build")
        return
    rows = [[feature, kind, online[feature]] for feature, kind in features.items()]
    show.table(None, ["feature", "type", "computed online"], rows)


def _shown(given: OnDemandInput) -> str:
    asked = given.projection
    features = ", ".join(asked.features) if asked.features else "*"
    text = f"{asked.view}:{features}" if asked.alias is None else f"{asked.alias}:{features}"
    if asked.alias is not None:
        keys = ", ".join(f"{key} = {column}" for key, column in asked.join_keys)
        text += f" ({asked.view}{f' by {keys}' if keys else ''})"
    return text if given.name is None else f"{text} as {given.name}"
