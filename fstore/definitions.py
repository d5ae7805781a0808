"""The words of fstore as frozen values: what a project declares, free of dbt's JSON and of SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

SECONDS_PER_UNIT = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
# A look-back longer than this cannot be told from none: DuckDB's whole calendar is shorter.
LONGEST_DURATION_SECONDS = 300_000 * 366 * 86400


@dataclass(frozen=True)
class Duration:
    """A fixed length of time above zero, as written: ``count`` of ``unit``.

    >>> Duration.parse("7 days").seconds
    604800
    """

    count: int
    unit: str  # second, minute, hour, day or week

    @property
    def seconds(self) -> int:
        return self.count * SECONDS_PER_UNIT[self.unit]

    def __str__(self) -> str:
        return f"{self.count} {self.unit}" + ("" if self.count == 1 else "s")

    @property
    def label(self) -> str:
        """The duration within a name, as written: ``7d``, ``24h``."""
        return f"{self.count}{self.unit[0]}"

    @classmethod
    def parse(cls, text: object, instead: str = "leave the key out instead") -> Duration:
        """Read ``<int> seconds|minutes|hours|days|weeks``; ValueError with the reason otherwise.

        ``instead`` is what to do where none of any length is wanted.
        """
        found = (
            re.fullmatch(r"\s*(\d{1,18})\s*([a-z]+)\s*", text) if isinstance(text, str) else None
        )
        form = "write <number> seconds, minutes, hours, days or weeks, as in 7 days"
        if found is None:
            raise ValueError(f"{text!r} is not a duration; {form}")
        count, unit = int(found[1]), found[2].removesuffix("s")
        if unit in ("month", "year"):
            raise ValueError(f"{text!r}: months and years have no fixed length; {form}")
        if unit not in SECONDS_PER_UNIT:
            raise ValueError(f"{text!r}: {found[2]} is not a unit of time; {form}")
        if count == 0:
            raise ValueError(f"{text!r}: a duration must be above 0; {instead}")
        if count * SECONDS_PER_UNIT[unit] > LONGEST_DURATION_SECONDS:
            raise ValueError(f"{text!r} is longer than the calendar; {instead}")
        return cls(count, unit)


@dataclass(frozen=True)
class Column:
    """A column of a built relation: its name and its type, as DuckDB writes it."""

    name: str
    type: str


@dataclass(frozen=True)
class Relation:
    """Where dbt builds a node."""

    database: str
    schema: str
    identifier: str

    def __str__(self) -> str:
        return f"{self.database}.{self.schema}.{self.identifier}"


@dataclass(frozen=True)
class Entity:
    """A thing that features describe, with the columns that identify it."""

    name: str
    join_keys: tuple[str, ...]


@dataclass(frozen=True)
class SnapshotColumns:
    """The columns that dbt adds to a snapshot, under their configured names."""

    valid_from: str = "dbt_valid_from"
    valid_to: str = "dbt_valid_to"
    scd_id: str = "dbt_scd_id"
    updated_at: str = "dbt_updated_at"
    is_deleted: str = "dbt_is_deleted"

    def names(self) -> tuple[str, ...]:
        return (self.valid_from, self.valid_to, self.scd_id, self.updated_at, self.is_deleted)


WINDOW_FUNCTIONS = (
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "approx_count_distinct",
    "last",
    "first",
)


@dataclass(frozen=True)
class WindowFeature:
    """A feature computed from the events of a window that ends at the asking instant.

    At q the window is ``[q - window, q)``; with ``hop`` it begins at the multiple of hop since 1970
    that is at or before that. ``function`` is one of WINDOW_FUNCTIONS, over ``column``; None counts
    events. ``where`` is a condition on events, in SQL as it was written.
    """

    name: str
    function: str
    column: str | None
    window: Duration
    where: str | None = None
    hop: Duration | None = None


@dataclass(frozen=True)
class FeatureView:
    """A dbt model or snapshot whose rows are features of entities at times.

    ``known_at``, ``delay`` and ``backfilled_until`` say when a row could be known: the rules of
    time in docs/concepts.md. Which columns are features is known with the built relation: see
    :meth:`feature_names`.
    """

    name: str
    relation: Relation
    file: str  # of the SQL, relative to the project
    entities: tuple[Entity, ...]
    event_timestamp: str
    created_timestamp: str | None = None
    known_at: bool = True
    delay: Duration | None = None
    backfilled_until: datetime | None = None  # aware, UTC
    ttl: Duration | None = None
    online: bool = True
    features: tuple[str, ...] | None = None  # None: every column that is nothing else
    exclude: tuple[str, ...] = ()
    version: str | None = None
    is_latest: bool = True
    snapshot: SnapshotColumns | None = None
    unique_id: str = ""
    declared_in: str = ""  # the YAML file
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    declared_columns: tuple[str, ...] = ()
    windows: tuple[WindowFeature, ...] = ()  # where its rows are events
    event_key: tuple[str, ...] = ()  # what rows that are versions of one event have in common

    @cached_property
    def join_keys(self) -> tuple[str, ...]:
        """Every join key column, entity by entity, each once."""
        return tuple(dict.fromkeys(key for entity in self.entities for key in entity.join_keys))

    @property
    def reference(self) -> str:
        """The name that pins this very version: ``view`` or ``view.v2``."""
        return self.name if self.version is None else f"{self.name}.v{self.version}"

    @property
    def identifier(self) -> str:
        """The reference as one identifier: ``view`` or ``view_v2``."""
        return self.name if self.version is None else f"{self.name}_v{self.version}"

    def non_features(self) -> tuple[str, ...]:
        """The columns that are never features: keys, clocks, what dbt adds to snapshots."""
        clocks = (self.event_timestamp,) + (
            (self.created_timestamp,) if self.created_timestamp else ()
        )
        added = self.snapshot.names() if self.snapshot else ()
        return tuple(dict.fromkeys((*self.join_keys, *clocks, *self.event_key, *added)))

    @cached_property
    def windows_by_name(self) -> dict[str, WindowFeature]:
        return {feature.name: feature for feature in self.windows}

    def feature_names(self, columns: tuple[Column, ...]) -> tuple[str, ...]:
        """What ``view:*`` means: the window features of events, else :meth:`column_features`."""
        return tuple(self.windows_by_name) or self.column_features(columns)

    def column_features(self, columns: tuple[Column, ...]) -> tuple[str, ...]:
        """The features that are columns of the built relation, given these, in their order."""
        taken = {name.casefold() for name in (*self.non_features(), *self.exclude)}
        names = [column.name for column in columns if column.name.casefold() not in taken]
        if self.features is None:
            return tuple(names)
        wanted = {name.casefold() for name in self.features}
        return tuple(name for name in names if name.casefold() in wanted)


@dataclass(frozen=True)
class Projection:
    """Features of one view, perhaps under an alias and with join keys taken from other columns.

    ``features`` is None for all of them. ``join_keys`` maps the view's column to the caller's.
    """

    view: str  # a reference: "view", or "view.v2" where a version is pinned
    features: tuple[str, ...] | None = None
    alias: str | None = None
    join_keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class OnDemandInput:
    """Features that an on-demand view computes with; ``name`` renames one of them."""

    projection: Projection
    name: str | None = None


@dataclass(frozen=True)
class OnDemandExample:
    """What an on-demand view is expected to give, by feature; what is not given is NULL."""

    given: tuple[tuple[str, str | int | float | bool | None], ...]
    expect: tuple[tuple[str, str | int | float | bool | None], ...]


@dataclass(frozen=True)
class OnDemandView:
    """An ephemeral dbt model whose SELECT computes features from others, row by row.

    ``sql`` selects from ``inputs``: one row for each asked entity, with the ``request`` fields, the
    input features, ``event_timestamp`` (the asking instant) and ``<view>__event_timestamp``.
    ``features`` are what it selects, with types; they, and the types of ``request`` as the engine
    writes them, are known once its inputs' columns are.
    """

    name: str
    file: str
    sql: str
    inputs: tuple[OnDemandInput, ...]
    request: tuple[Column, ...] = ()
    examples: tuple[OnDemandExample, ...] = ()
    features: tuple[Column, ...] = ()
    unique_id: str = ""
    declared_in: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""

    @property
    def reference(self) -> str:
        """Its name: an on-demand view has no versions."""
        return self.name


@dataclass(frozen=True)
class FeatureService:
    """A named set of features for one model: a dbt exposure of ``type: ml``."""

    name: str
    projections: tuple[Projection, ...]
    full_feature_names: bool = False
    depends_on: tuple[str, ...] = ()  # unique ids
    declared_in: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class SpineModel:
    """Any model, seed or snapshot of the project, usable as a spine by its name."""

    name: str
    relation: Relation
    event_timestamp: str | None
    file: str


@dataclass(frozen=True)
class Registry:
    """Everything a project declares. ``models`` holds every node that can serve as a spine."""

    project: str
    feature_views: tuple[FeatureView, ...]
    feature_services: tuple[FeatureService, ...]
    models: tuple[SpineModel, ...] = ()
    on_demand_views: tuple[OnDemandView, ...] = ()

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """Every entity that a view names, in order of name."""
        found = {entity.name: entity for view in self.feature_views for entity in view.entities}
        return tuple(found[name] for name in sorted(found))

    @cached_property
    def views_by_reference(self) -> dict[str, FeatureView]:
        """``view.v2`` for every version, and the bare name for the latest one."""
        pinned = {view.reference: view for view in self.feature_views}
        return pinned | {view.name: view for view in self.feature_views if view.is_latest}

    @cached_property
    def on_demand_by_name(self) -> dict[str, OnDemandView]:
        return {view.name: view for view in self.on_demand_views}

    @cached_property
    def services_by_name(self) -> dict[str, FeatureService]:
        return {service.name: service for service in self.feature_services}
