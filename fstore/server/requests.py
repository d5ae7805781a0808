"""The bodies that clients send, read and checked: what is wrong is said before any work starts."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import orjson

from fstore.server.refusals import RefusedError

_WHOLE = 2.0**63  # from which on a float may be a whole number that was written in full


class FeaturesAsked(NamedTuple):
    """A request for features, as FeatureStore.get_online_features takes it."""

    features: list[str] | None
    feature_service: str | None
    entities: dict[str, list[Any]]
    full_feature_names: bool | None
    rows: int


class RowsPushed(NamedTuple):
    """A push, as FeatureStore.push takes it."""

    view: str
    rows: dict[str, list[Any]]
    to: str


def features_asked(body: bytes, most_rows: int) -> FeaturesAsked:
    """Read the body of get-online-features; RefusedError where it is none, or has too many rows."""
    given = _object(body, "entities")
    entities = _columns(given.get("entities"), "entities", most_rows)
    features, service = given.get("features"), given.get("feature_service")
    if service is not None and not isinstance(service, str):
        raise RefusedError(422, "feature_service must be text.")
    if features is not None and (
        not isinstance(features, list) or not {str}.issuperset(map(type, features))
    ):
        raise RefusedError(422, 'features must be a list of text: ["view:feature"].')
    full = given.get("full_feature_names")
    if full is not None and type(full) is not bool:
        raise RefusedError(422, "full_feature_names must be true or false.")
    # features are [] beside a service, as Feast's client sends it; full_feature_names: false says
    # nothing of a service that sets it.
    rows = len(next(iter(entities.values()))) if entities else 1
    return FeaturesAsked(features or None, service, entities, full or None, rows)


def rows_pushed(body: bytes, most_rows: int) -> RowsPushed:
    """Read the body of push; RefusedError where it is none, or has too many rows."""
    given = _object(body, "df")
    view, to = given.get("push_source_name"), given.get("to", "online")
    if not isinstance(view, str):
        raise RefusedError(422, "push_source_name must be the name of a feature view.")
    if not isinstance(to, str):
        raise RefusedError(422, "to must be online, offline or online_and_offline.")
    return RowsPushed(view, _columns(given.get("df"), "df", most_rows), to)


def _object(body: bytes, columns: str) -> dict[str, Any]:
    try:
        given = orjson.loads(body)
        if isinstance(given, dict) and _has_huge_numbers(given.get(columns)):
            given = json.loads(body)  # slower, and exact: orjson makes 2**64 a float
    except (ValueError, RecursionError) as error:
        raise RefusedError(422, f"The body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise RefusedError(422, "The body must be a JSON object.")
    return given


def _has_huge_numbers(columns: object) -> bool:
    for values in columns.values() if isinstance(columns, dict) else ():
        if not isinstance(values, list) or float not in {*map(type, values)}:
            continue
        if any(isinstance(value, float) and abs(value) >= _WHOLE for value in values):
            return True
    return False


def _columns(given: object, name: str, most_rows: int) -> dict[str, list[Any]]:
    if not isinstance(given, dict):
        raise RefusedError(422, f"{name} must be an object of lists: one for each column.")
    for column, values in given.items():
        if not isinstance(values, list):
            raise RefusedError(422, f"{name}.{column} must be a list.")
        if len(values) > most_rows:
            raise RefusedError(
                413, f"{name} has {len(values)} rows, and this server takes {most_rows} at a time."
            )
    return given
