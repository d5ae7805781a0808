"""What ``meta.fstore`` may say, and the feature views and services that it declares.

Every mistake becomes a Problem that names the file, the node, the key and what to write instead;
all of them are collected, so that a person mends them in one go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fstore.definitions import (
    Duration,
    Entity,
    FeatureService,
    FeatureView,
    Projection,
    Relation,
    SnapshotColumns,
)
from fstore.errors import Problem, did_you_mean, listed

VIEW_KEYS = (
    "entities",
    "event_timestamp",
    "created_timestamp",
    "known_at",
    "delay",
    "backfilled_until",
    "ttl",
    "online",
    "features",
    "exclude",
)
LATER_KEYS = ("aggregations", "event_key", "kind", "inputs", "request", "examples")
SERVICE_KEYS = ("features", "full_feature_names")
PROJECTION_KEYS = ("view", "alias", "join_keys", "features")


@dataclass(frozen=True)
class Declared:
    """A node of the project that carries ``meta.fstore``, whatever its kind."""

    unique_id: str
    kind: str  # model, snapshot, exposure, or another of dbt's resource types
    name: str
    file: str  # the SQL
    declared_in: str  # the YAML, or the SQL where config() says it
    meta: Any
    relation: Relation | None = None
    materialized: str = ""
    version: str | None = None
    is_latest: bool = True
    event_time: str | None = None  # dbt's own config
    snapshot: SnapshotColumns | None = None
    exposure_type: str = ""
    depends_on: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""


class _Reader:
    """Reads one node's ``meta.fstore``, noting every problem; ``None`` stands for a bad value."""

    def __init__(self, node: Declared, problems: list[Problem]) -> None:
        self.node = node
        self.meta: Mapping[str, Any] = node.meta if isinstance(node.meta, dict) else {}
        self.problems = problems

    def problem(self, key: str, text: str) -> None:
        where = f"meta.fstore.{key}" if key else "meta.fstore"
        self.problems.append(Problem(self.node.declared_in, self.node.name, where, text))

    def known_keys(self, known: Sequence[str], later: Sequence[str] = ()) -> None:
        for key in self.meta:
            if key in later:
                self.problem(key, "is not built in this version of fstore; leave it out for now")
            elif key not in known:
                self.problem(
                    key,
                    f"is not a key of meta.fstore here, which takes: {listed(known)}."
                    f"{did_you_mean(str(key), known)}",
                )

    def text(self, key: str) -> str | None:
        value = self.meta.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        self.problem(key, f"must be the name of a column, not {value!r}")
        return None

    def truth(self, key: str, default: bool) -> bool:
        value = self.meta.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.problem(key, f"must be true or false, not {value!r}")
        return default

    def names(self, key: str) -> tuple[str, ...] | None:
        value = self.meta.get(key)
        if value is None:
            return None
        if isinstance(value, list) and value and all(isinstance(it, str) and it for it in value):
            if doubled := _doubled(value):
                self.problem(key, f"names a column twice: {listed(doubled)}")
            return tuple(value)
        self.problem(key, f"must be a list of column names, not {value!r}")
        return None

    def duration(self, key: str) -> Duration | None:
        value = self.meta.get(key)
        if value is None:
            return None
        try:
            return Duration.parse(value)
        except ValueError as error:
            self.problem(key, str(error))
            return None

    def instant(self, key: str) -> datetime | None:
        value = self.meta.get(key)
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError):
            self.problem(key, f"must be a time such as 2013-06-01 12:00:00+00:00, not {value!r}")
            return None


def feature_view(node: Declared, problems: list[Problem]) -> FeatureView | None:
    """Return the view that a model or snapshot declares; None where a problem prevents it."""
    reader = _Reader(node, problems)
    before = len(problems)
    if not isinstance(node.meta, dict):
        reader.problem(
            "", f"must hold keys such as entities and event_timestamp, not {node.meta!r}"
        )
        return None
    reader.known_keys(VIEW_KEYS, LATER_KEYS)
    if node.materialized == "ephemeral":
        reader.problem("", "the model is ephemeral, so nothing is built: materialize it")
    entities = _entities(reader)
    by_default = node.snapshot.valid_from if node.snapshot else node.event_time
    event_timestamp = reader.text("event_timestamp") or by_default
    created_timestamp, delay = reader.text("created_timestamp"), reader.duration("delay")
    backfilled_until = reader.instant("backfilled_until")
    if not event_timestamp and reader.meta.get("event_timestamp") is None:
        reader.problem(
            "event_timestamp", "is missing: name the column that says when a row happened"
        )
    if created_timestamp and delay and not reader.meta.get("backfilled_until"):
        reader.problem(
            "delay",
            "beside created_timestamp there are two arrivals: leave one of them out, or "
            "set backfilled_until, up to which delay counts",
        )
    if backfilled_until and not created_timestamp:
        reader.problem("backfilled_until", "needs a created_timestamp, whose early values it mends")
    if event_timestamp and (created_timestamp or "").casefold() == event_timestamp.casefold():
        reader.problem("created_timestamp", "is the event_timestamp: leave it out")
    features, exclude = reader.names("features"), reader.names("exclude") or ()
    if features and exclude:
        reader.problem("exclude", "features lists what to take: leave one of the two out")
    taken = {key.casefold() for entity in entities for key in entity.join_keys}
    taken |= {name.casefold() for name in (event_timestamp, created_timestamp) if name}
    taken |= {name.casefold() for name in (node.snapshot.names() if node.snapshot else ())}
    for feature in features or ():
        if feature.casefold() in taken:
            what = "a join key or a clock (or a column that dbt adds), which no feature can be"
            reader.problem("features", f"{feature} is {what}")
    ttl, online = reader.duration("ttl"), reader.truth("online", default=True)
    known_at = reader.truth("known_at", default=True)
    if len(problems) > before or node.relation is None or not event_timestamp:
        return None
    return FeatureView(
        name=node.name,
        relation=node.relation,
        file=node.file,
        entities=entities,
        event_timestamp=event_timestamp,
        created_timestamp=created_timestamp,
        known_at=known_at,
        delay=delay,
        backfilled_until=backfilled_until,
        ttl=ttl,
        online=online,
        features=features,
        exclude=exclude,
        version=node.version,
        is_latest=node.is_latest,
        snapshot=node.snapshot,
        unique_id=node.unique_id,
        declared_in=node.declared_in,
        description=node.description,
        tags=node.tags,
        owner=node.owner,
        declared_columns=node.columns,
    )


def _entities(reader: _Reader) -> tuple[Entity, ...]:
    form = "write entities: {carrier: carrier}, a list for several columns, {} for one global row"
    value = reader.meta.get("entities")
    if not isinstance(value, dict):
        given = "is missing" if value is None else f"must map entities to columns, not {value!r}"
        reader.problem("entities", f"{given}: {form}")
        return ()
    found = []
    for name, keys in value.items():
        columns = [keys] if isinstance(keys, str) else keys
        if (
            not isinstance(columns, list)
            or not columns
            or not all(isinstance(key, str) and key for key in columns)
        ):
            reader.problem(f"entities.{name}", f"must be a column or a list of them: {form}")
        elif doubled := _doubled(columns):
            reader.problem(f"entities.{name}", f"names a column twice: {listed(doubled)}")
        else:
            found.append(Entity(str(name), tuple(columns)))
    return tuple(found)


def _doubled(names: Sequence[str]) -> list[str]:
    """Return the names that stand there again, whatever their case."""
    folded = [name.casefold() for name in names]
    return [name for place, name in enumerate(names) if folded[place] in folded[:place]]


def feature_service(
    node: Declared,
    views: Mapping[str, FeatureView],
    problems: list[Problem],
    wrong: Collection[str] = (),
) -> FeatureService | None:
    """Return the service that an exposure declares; None where a problem prevents it.

    ``wrong`` names the views whose own declaration is: of them nothing is said here.
    """
    reader = _Reader(node, problems)
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
        _projection(reader, f"features[{place}]", entry, views, wrong)
        for place, entry in enumerate(entries)
    ]
    _check_aliases(reader, projections)
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


def _check_aliases(reader: _Reader, projections: Sequence[Projection | None]) -> None:
    """Note every alias that stands for two things."""
    first: dict[str, tuple[int, Projection]] = {}
    for place, found in enumerate(projections):
        if found is None or found.alias is None:
            continue
        at, other = first.setdefault(found.alias.casefold(), (place, found))
        if other.view != found.view or dict(other.join_keys) != dict(found.join_keys):
            taken = f"is features[{at}] already, of {other.view} on other columns: choose another"
            reader.problem(f"features[{place}].alias", f"{found.alias} {taken}")


def _projection(
    reader: _Reader,
    key: str,
    entry: object,
    views: Mapping[str, FeatureView],
    wrong: Collection[str],
) -> Projection | None:
    if isinstance(entry, str):
        name, colon, feature = entry.partition(":")
        if colon and not feature:
            reader.problem(key, f"{entry!r} names no feature after the colon: write {name}:*")
            return None
        found = Projection(name, None if feature in ("", "*") else (feature,))
    elif isinstance(entry, dict) and isinstance(entry.get("view"), str):
        for word in entry:
            if word not in PROJECTION_KEYS:
                reader.problem(
                    f"{key}.{word}",
                    f"is not a key here, which takes: {listed(PROJECTION_KEYS)}."
                    f"{did_you_mean(str(word), PROJECTION_KEYS)}",
                )
        found = _projection_of_mapping(reader, key, entry)
    else:
        reader.problem(
            key, f"must be view:feature or {{view: ..., features: [...]}}, not {entry!r}"
        )
        return None
    view = views.get(found.view)
    if view is None and found.view in wrong:
        return None
    if view is None:
        known = sorted(views)
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


def _projection_of_mapping(reader: _Reader, key: str, entry: Mapping[str, Any]) -> Projection:
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


def disagreements(views: Iterable[FeatureView]) -> list[Problem]:
    """Return what is wrong between views: entities with other keys, names that would be one."""
    problems: list[Problem] = []
    entities: dict[str, tuple[Entity, FeatureView]] = {}
    identifiers: dict[str, FeatureView] = {}
    for view in views:
        for entity in view.entities:
            first, by = entities.setdefault(entity.name, (entity, view))
            if first.join_keys != entity.join_keys:
                problems.append(
                    Problem(
                        view.declared_in,
                        view.name,
                        f"meta.fstore.entities.{entity.name}",
                        f"is {listed(entity.join_keys)} here and {listed(first.join_keys)} in "
                        f"{by.name} ({by.declared_in}): one entity has the same join keys "
                        "everywhere; rename the columns in SQL",
                    )
                )
        other = identifiers.setdefault(view.identifier.casefold(), view)
        if other is not view:
            problems.append(
                Problem(
                    view.declared_in,
                    view.name,
                    "",
                    f"{view.reference} and {other.reference} ({other.declared_in}) are both named "
                    f"{view.identifier}: rename one",
                )
            )
    return problems
