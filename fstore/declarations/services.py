"""What an exposure of ``type: ml`` declares: a feature service."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fstore.declarations.reading import Declared, Reader
from fstore.definitions import FeatureService, FeatureView, Projection
from fstore.errors import Problem, did_you_mean, listed

SERVICE_KEYS = ("features", "full_feature_names")
PROJECTION_KEYS = ("view", "alias", "join_keys", "features")


def feature_service(
    node: Declared,
    views: Mapping[str, FeatureView],
    problems: list[Problem],
    wrong: Collection[str] = (),
    on_demand: Collection[str] = (),
) -> FeatureService | None:
    """Return the service that an exposure declares; None where a problem prevents it.

    ``wrong`` names the views whose own declaration is: of them nothing is said here. ``on_demand``
    names the on-demand views.
    """
    reader = Reader(node, problems)
    before = len(problems)
    if not isinstance(node.meta, dict):
        reader.problem("", f"must hold a list of features, not {node.meta!r}")
        return None
    reader.known_keys(SERVICE_KEYS)
    if node.exposure_type != "ml":
        reader.problem("", f"the exposure's type is {node.exposure_type}: write type: ml")
    entries = reader.meta.get("features")
    if not isinstance(entries, list) or not entries:
        reader.problem("features", "must be a list, such as [view:feature, 'view:*']")
        return None
    projections = [
        projection(reader, f"features[{place}]", entry, views, wrong, on_demand)
        for place, entry in enumerate(entries)
    ]
    check_aliases(reader, {f"features[{at}]": it for at, it in enumerate(projections) if it})
    full_feature_names = reader.truth("full_feature_names", default=False)
    whole = tuple(projection for projection in projections if projection)
    if len(problems) > before or len(whole) < len(projections):
        return None
    return FeatureService(
        name=node.name,
        projections=whole,
        full_feature_names=full_feature_names,
        depends_on=node.depends_on,
        declared_in=node.declared_in,
        description=node.description,
        tags=node.tags,
        owner=node.owner,
    )


def check_aliases(reader: Reader, projections: Mapping[str, Projection]) -> None:
    """Note every alias that stands for two things; ``projections`` are by their places."""
    first: dict[str, tuple[str, Projection]] = {}
    for place, found in projections.items():
        if found.alias is None:
            continue
        at, other = first.setdefault(found.alias.casefold(), (place, found))
        if other.view != found.view or dict(other.join_keys) != dict(found.join_keys):
            taken = f"is {at} already, of {other.view} on other columns: choose another"
            reader.problem(f"{place}.alias", f"{found.alias} {taken}")


def projection(
    reader: Reader,
    key: str,
    entry: object,
    views: Mapping[str, FeatureView],
    wrong: Collection[str],
    on_demand: Collection[str] = (),
) -> Projection | None:
    """Return what one entry of ``features`` or ``inputs`` asks of a view, None where it is wrong.

    ``key`` is the entry's place in the declaration.
    """
    if isinstance(entry, str):
        name, colon, feature = entry.partition(":")
        if colon and not feature:
            reader.problem(key, f"{entry!r} names no feature after the colon: write {name}:*")
            return None
        found = Projection(name, None if feature in ("", "*") else (feature,))
    elif isinstance(entry, dict) and isinstance(entry.get("view"), str):
        reader.known_keys(PROJECTION_KEYS, key, entry)
        found = _projection_of_mapping(reader, key, entry)
    else:
        reader.problem(
            key, f"must be view:feature or {{view: ..., features: [...]}}, not {entry!r}"
        )
        return None
    view = views.get(found.view)
    if view is None and found.view in wrong:
        return None
    if view is None and found.view in on_demand:
        if found.alias is not None or found.join_keys:
            reader.problem(
                key, f"{found.view} is computed on demand: alias its inputs, in its own declaration"
            )
            return None
        return found
    if view is None:
        known = sorted((*views, *on_demand))
        reader.problem(
            key,
            f"{found.view} is not a feature view. The project has: {listed(known)}."
            f"{did_you_mean(found.view, known)}",
        )
        return None
    for column, _ in found.join_keys:
        if column not in view.join_keys:
            reader.problem(
                f"{key}.join_keys",
                f"{column} is not a join key of {found.view}, which has: "
                f"{listed(view.join_keys)}.{did_you_mean(column, view.join_keys)}",
            )
    taken = {name.casefold() for name in (*views, *(it.identifier for it in views.values()))}
    if found.alias is not None and found.alias.casefold() in taken:
        reader.problem(f"{key}.alias", f"{found.alias} is the name of a view: choose another")
    return found


def _projection_of_mapping(reader: Reader, key: str, entry: Mapping[str, Any]) -> Projection:
    alias, join_keys = entry.get("alias"), entry.get("join_keys") or {}
    if alias is not None and not (isinstance(alias, str) and alias):
        reader.problem(f"{key}.alias", f"must be a name, not {alias!r}")
        alias = None
    pairs = join_keys.items() if isinstance(join_keys, dict) else [("", None)]
    if not all(isinstance(a, str) and isinstance(b, str) and a and b for a, b in pairs):
        reader.problem(
            f"{key}.join_keys", f"must map the view's columns to yours, not {join_keys!r}"
        )
        pairs = []
    features = entry.get("features")
    if features in (None, "*", ["*"]):
        features = None
    elif not (isinstance(features, list) and features) or not all(
        isinstance(it, str) and it for it in features
    ):
        reader.problem(f"{key}.features", f"must be a list of features, not {features!r}")
        features = None
    return Projection(
        view=entry["view"],
        features=tuple(features) if features else None,
        alias=alias,
        join_keys=tuple((str(a), str(b)) for a, b in pairs),
    )
