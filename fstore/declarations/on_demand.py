"""What an ephemeral model with ``kind: on_demand`` declares: features computed from others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fstore.declarations.reading import Declared, Reader
from fstore.declarations.services import check_aliases, projection
from fstore.definitions import (
    Column,
    FeatureView,
    OnDemandExample,
    OnDemandInput,
    OnDemandView,
)
from fstore.errors import Problem, did_you_mean, listed

ON_DEMAND = "on_demand"
ON_DEMAND_KEYS = ("kind", "inputs", "request", "examples")
RENAMED_KEYS = ("as", "feature")
EXAMPLE_KEYS = ("given", "expect")


def is_on_demand(node: Declared) -> bool:
    """Whether a model declares features on demand, or tries to declare another kind of view."""
    return node.kind == "model" and isinstance(node.meta, dict) and "kind" in node.meta


def on_demand_view(
    node: Declared,
    views: Mapping[str, FeatureView],
    problems: list[Problem],
    wrong: Collection[str] = (),
    others: Collection[str] = (),
) -> OnDemandView | None:
    """Return the view that an ephemeral model declares; None where a problem prevents it.

    ``wrong`` names the views whose own declaration is: of them nothing is said here. ``others``
    names the models that declare features on demand, which are no inputs.
    """
    reader = Reader(node, problems)
    before = len(problems)
    if reader.meta["kind"] != ON_DEMAND:
        reader.problem("kind", f"can only be on_demand, not {reader.meta['kind']!r}")
        return None
    reader.known_keys(ON_DEMAND_KEYS)
    if node.materialized != "ephemeral":
        reader.problem(
            "kind",
            f"an on-demand view is built nowhere, and this model is a {node.materialized or 'view'}"
            ": give it materialized='ephemeral'",
        )
    if node.sql is None:
        reader.problem(
            "",
            "the model has Jinja: run dbt compile, so that the manifest has its SQL, or leave "
            "all of it out but for a config() at its head",
        )
    if node.tests:
        reader.problem(
            "",
            f"dbt cannot run its tests on it ({listed(node.tests)}), for inputs is no relation: "
            "write examples in meta.fstore, which fstore check runs",
        )
    if node.name in views:
        reader.problem("", f"{views[node.name].file} is a feature view of this name: rename one")
    inputs = _inputs(reader, views, wrong, others)
    request = _request(reader)
    examples = _examples(reader)
    if len(problems) > before or node.sql is None:
        return None
    return OnDemandView(
        name=node.name,
        file=node.file,
        sql=node.sql,
        inputs=inputs,
        request=request,
        examples=examples,
        unique_id=node.unique_id,
        declared_in=node.declared_in,
        description=node.description,
        tags=node.tags,
        owner=node.owner,
    )


def _inputs(
    reader: Reader,
    views: Mapping[str, FeatureView],
    wrong: Collection[str],
    others: Collection[str],
) -> tuple[OnDemandInput, ...]:
    entries = reader.meta.get("inputs")
    if entries is None:
        return ()
    if not isinstance(entries, list):
        reader.problem("inputs", f"must be a list, such as [view:feature], not {entries!r}")
        return ()
    found = {}
    for place, entry in enumerate(entries):
        key, name = f"inputs[{place}]", None
        if isinstance(entry, dict) and "as" in entry:
            for word in entry:
                if word not in RENAMED_KEYS:
                    hint = did_you_mean(str(word), RENAMED_KEYS)
                    reader.problem(f"{key}.{word}", f"is not a key beside as: write feature.{hint}")
            name = entry["as"]
            if not (isinstance(name, str) and name):
                reader.problem(f"{key}.as", f"must be a name, not {name!r}")
                continue
            entry = entry.get("feature")
        if (of := _view_of(entry)) in others and of not in views:
            reader.problem(
                key,
                f"{of} is computed on demand, and so no input: name what it computes with, and "
                "write its expression here",
            )
            continue
        asked = projection(reader, key, entry, views, wrong)
        if asked is None:
            continue
        if name is not None and (asked.features is None or len(asked.features) != 1):
            reader.problem(f"{key}.feature", f"must be one feature, as view:feature, not {entry!r}")
            continue
        found[key] = OnDemandInput(asked, name)
    check_aliases(reader, {key: each.projection for key, each in found.items()})
    return tuple(found.values())


def _view_of(entry: object) -> str:
    """Return the name of the view that an entry of ``inputs`` names."""
    if isinstance(entry, dict):
        return str(entry.get("view"))
    return str(entry).partition(":")[0]


def _request(reader: Reader) -> tuple[Column, ...]:
    fields = reader.meta.get("request")
    if fields is None:
        return ()
    if not isinstance(fields, dict) or not all(
        isinstance(name, str) and name and isinstance(kind, str) and kind
        for name, kind in fields.items()
    ):
        reader.problem(
            "request", f"must map names to types, as in {{amount: double}}, not {fields!r}"
        )
        return ()
    return tuple(Column(name, kind) for name, kind in fields.items())


def _examples(reader: Reader) -> tuple[OnDemandExample, ...]:
    entries = reader.meta.get("examples")
    if entries is None:
        return ()
    form = "write a list such as [{given: {amount: 3.5}, expect: {is_large: false}}]"
    if not isinstance(entries, list):
        reader.problem("examples", f"must not be {entries!r}: {form}")
        return ()
    found = []
    for place, entry in enumerate(entries):
        if (
            not isinstance(entry, dict)
            or set(entry) - set(EXAMPLE_KEYS)
            or not all(isinstance(entry.get(key), dict) for key in EXAMPLE_KEYS)
        ):
            reader.problem(f"examples[{place}]", f"must not be {entry!r}: {form}")
            continue
        given, expect = (
            _cells(reader, f"examples[{place}].{key}", entry[key]) for key in EXAMPLE_KEYS
        )
        if not expect:
            reader.problem(f"examples[{place}].expect", "is empty: name at least one feature")
        found.append(OnDemandExample(given, expect))
    return tuple(found)


def _cells(
    reader: Reader, key: str, cells: Mapping[Any, Any]
) -> tuple[tuple[str, str | int | float | bool | None], ...]:
    found = []
    for name, value in cells.items():
        if value is not None and not isinstance(value, str | int | float | bool):
            reader.problem(
                f"{key}.{name}", f"must be a number, text, true, false or null, not {value!r}"
            )
            continue
        found.append((str(name), value))
    return tuple(found)
