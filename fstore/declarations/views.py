"""What a model or a snapshot declares: a feature view."""

from __future__ import annotations

from collections.abc import Iterable

from fstore.declarations.aggregations import event_key, window_features
from fstore.declarations.reading import Declared, Reader, repeated
from fstore.definitions import Entity, FeatureView
from fstore.errors import Problem, listed

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
    "aggregations",
    "event_key",
)


def feature_view(node: Declared, problems: list[Problem]) -> FeatureView | None:
    """Return the view that a model or snapshot declares; None where a problem prevents it."""
    reader = Reader(node, problems)
    before = len(problems)
    if not isinstance(node.meta, dict):
        reader.problem(
            "", f"must hold keys such as entities and event_timestamp, not {node.meta!r}"
        )
        return None
    reader.known_keys(VIEW_KEYS)
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
    windows = window_features(reader, taken)
    key_of_event = event_key(reader, taken)
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
        windows=windows,
        event_key=key_of_event,
    )


def _entities(reader: Reader) -> tuple[Entity, ...]:
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
        elif again := repeated(columns):
            reader.problem(f"entities.{name}", f"names a column twice: {listed(again)}")
        else:
            found.append(Entity(str(name), tuple(columns)))
    return tuple(found)


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
