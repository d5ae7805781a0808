"""Online reads: names resolved, keys looked up, statuses told.

    OnlineReader(store).get(
        features, feature_service, entity_rows, full_feature_names, at=None, now=clock()
    ) -> OnlineResponse

``store`` is any fstore.online.protocol.OnlineStore. A reader may be used by any thread and after a
fork. What it knows comes from the published generation alone: no dbt, no manifest, no warehouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from fstore.compile.request import (
    FeatureRequest,
    Join,
    Output,
    refuse_clashes,
    resolve,
    utc_instant,
    views_asked,
)
from fstore.compile.types import find_column
from fstore.definitions import FeatureView
from fstore.errors import (
    EntityRowsError,
    NotMaterializedError,
    OnlineStoreError,
    RequestError,
    listed,
)
from fstore.online.keys import KeyType, NotAKeyError
from fstore.online.protocol import Generation, Lookup, OnlineStore, Row
from fstore.online.response import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    FeatureCells,
    OnlineResponse,
)
from fstore.online.rows import EntityRows

_PLANS = 256  # prepared requests that are kept for one generation
_TRIES = 5  # a generation can be cleaned away while it is being opened


class OnlineReader:
    """Reads features of the current generation of a store."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._prepared: tuple[Generation, dict[Any, _Plan]] | None = None

    def get(
        self,
        features: Sequence[str] | None,
        feature_service: str | None,
        entity_rows: Any,
        full_feature_names: bool | None,
        at: datetime | None,
        now: datetime,
    ) -> OnlineResponse:
        """Return the features of each entity row, in the order given.

        ``now`` is the clock's instant and ``at`` one asked for instead; both aware, or naive in
        UTC. Each view is read at the later of the clock and its K, so that the future which a
        generation holds is never missed. Raises UnknownNameError, RequestError (``at`` before a
        view's K), EntityRowsError and NotMaterializedError.
        """
        rows = EntityRows.of(entity_rows)
        instant = utc_instant(now, "what the clock gives")
        missing: FileNotFoundError | None = None
        for _ in range(_TRIES):
            plan = self._plan(features, feature_service, full_feature_names)
            try:
                return plan.answer(rows, at if at is None else utc_instant(at, "at"), instant)
            except FileNotFoundError as gone:  # published twice since the plan was made
                self._prepared, missing = None, gone
        raise OnlineStoreError(
            f"{missing} is not there, though it is published. Run: fstore materialize"
        ) from missing

    def _plan(
        self,
        features: Sequence[str] | None,
        feature_service: str | None,
        full_feature_names: bool | None,
    ) -> _Plan:
        generation = self._store.generation()
        if generation is None:
            raise NotMaterializedError(
                "Nothing is in the online store yet. Run: fstore materialize"
            )
        prepared = self._prepared
        if prepared is None or prepared[0] is not generation:
            prepared = self._prepared = (generation, {})
        plans = prepared[1]
        asked = tuple(features) if isinstance(features, list | tuple) else features
        key = (asked, feature_service, full_feature_names)
        try:
            known = plans.get(key)
        except TypeError:  # something in the list is no text; preparing says so
            known = None
        if known is not None:
            return known
        plan = _prepare(generation, features, feature_service, full_feature_names)
        if len(plans) >= _PLANS:
            plans.clear()
        plans[key] = plan
        return plan


@dataclass(frozen=True)
class _JoinPlan:
    join: Join
    key_types: tuple[KeyType, ...]
    as_of: datetime
    lookup: Lookup


@dataclass(frozen=True)
class _OutputPlan:
    output: Output
    place: int  # of the feature among its join's cells
    type: str


@dataclass(frozen=True)
class _Plan:
    """A request against one generation, with everything but the keys settled."""

    request: FeatureRequest
    joins: tuple[_JoinPlan, ...]
    outputs: tuple[_OutputPlan, ...]

    @cached_property
    def key_types(self) -> dict[str, KeyType]:
        """The type of each of the caller's key columns: that of the first join that uses it."""
        found: dict[str, KeyType] = {}
        for plan in self.joins:
            for (_, column), kind in zip(plan.join.keys, plan.key_types, strict=True):
                found.setdefault(column, kind)
        return found

    def answer(self, rows: EntityRows, at: datetime | None, now: datetime) -> OnlineResponse:
        instants = [_instant(plan, at, now) for plan in self.joins]
        keys: dict[str, tuple[str, Sequence[Any]]] = {
            name: (kind.type, ()) for name, kind in self.key_types.items()
        }
        found: dict[str, Sequence[Row | None]] = {}
        for plan, instant in zip(self.joins, instants, strict=True):
            if rows.count == 0:
                found[plan.join.name] = ()
                continue
            columns = []
            for (key, column), kind in zip(plan.join.keys, plan.key_types, strict=True):
                values = _key_values(rows, plan.join, key, column, kind)
                if not keys[column][1]:
                    keys[column] = (kind.type, values)
                columns.append([value if kind.findable(value) else None for value in values])
            found[plan.join.name] = _find(plan.lookup, columns, rows.count, instant)
        features = {
            plan.output.name: _cells(plan, found[plan.output.join.name]) for plan in self.outputs
        }
        return OnlineResponse(keys, features, rows.count)


def _find(
    lookup: Lookup, columns: Sequence[Sequence[Any]], count: int, at: datetime
) -> Sequence[Row | None]:
    """Look up the keys that are whole; a NULL in one finds nothing."""
    keys = list(zip(*columns, strict=True)) if columns else [()] * count
    whole = [place for place, key in enumerate(keys) if None not in key]
    if len(whole) == count:
        return lookup.read(keys, at)
    answer: list[Row | None] = [None] * count
    for place, row in zip(whole, lookup.read([keys[each] for each in whole], at), strict=True):
        answer[place] = row
    return answer


def _cells(plan: _OutputPlan, rows: Sequence[Row | None]) -> FeatureCells:
    values: list[Any] = []
    statuses: list[str] = []
    for row in rows:
        if row is None:
            values.append(None)
            statuses.append(NOT_FOUND)
        elif row.cells is None:
            values.append(None)
            statuses.append(OUTSIDE_MAX_AGE)
        else:
            value = row.cells[plan.place]
            values.append(value)
            statuses.append(NULL_VALUE if value is None else PRESENT)
    times = [None if row is None else row.event_timestamp for row in rows]
    return FeatureCells(plan.type, values, statuses, times)


def _key_values(
    rows: EntityRows, join: Join, key: str, column: str, kind: KeyType
) -> Sequence[Any]:
    read = kind.read
    values = []
    for place, value in enumerate(rows.column(column, join.name)):
        try:
            values.append(read(value))
        except NotAKeyError as reason:
            raise EntityRowsError(
                f"entity_rows[{place}]: {column} is {value!r}, and the join key {key} of "
                f"{join.view.reference} is {kind.type}: {reason}."
            ) from None
    return values


def _instant(plan: _JoinPlan, at: datetime | None, now: datetime) -> datetime:
    """Return the instant of the read: what was asked, else the clock's, and never before K."""
    if at is None:
        return max(now, plan.as_of)
    if at < plan.as_of:
        raise RequestError(
            f"at={at.isoformat()} is before {plan.as_of.isoformat()}, as of which "
            f"{plan.join.view.reference} was materialized: the online store no longer holds what "
            "was known then. Ask get_historical_features, or materialize with as_of and force."
        )
    return at


def _prepare(
    generation: Generation,
    features: Sequence[str] | None,
    feature_service: str | None,
    full_feature_names: bool | None,
) -> _Plan:
    registry, columns = generation.registry, generation.columns
    for view in views_asked(registry, features, feature_service):
        _check_published(generation, view)
    request = resolve(registry, columns, features, feature_service, full_feature_names)
    refuse_clashes(request, (), request.keys, "entity_rows")
    joins, outputs = [], []
    carried: dict[str, tuple[str, ...]] = {}
    for join in request.joins:
        built = columns[join.view.reference]
        wanted = [output.feature for output in request.outputs if output.join == join]
        carried[join.name] = tuple(dict.fromkeys(wanted))
        types = [find_column(built, key) for key in join.view.join_keys]
        joins.append(
            _JoinPlan(
                join,
                tuple(KeyType(column.type) for column in types if column),
                generation.catalog.views[join.view.reference].as_of,
                generation.lookup(join.view, carried[join.name]),
            )
        )
    for output in request.outputs:
        column = find_column(columns[output.join.view.reference], output.feature)
        assert column is not None, "resolve checked that the feature is there"
        place = carried[output.join.name].index(output.feature)
        outputs.append(_OutputPlan(output, place, column.type))
    return _Plan(request, tuple(joins), tuple(outputs))


def _check_published(generation: Generation, view: FeatureView) -> None:
    if view.reference in generation.catalog.views:
        return
    known = listed(sorted(generation.catalog.views))
    if not view.online:
        raise RequestError(
            f"{view.reference} ({view.file}) has online: false, so it is not in the online store, "
            f"which has: {known}. Set online: true in its meta.fstore and run: fstore materialize"
        )
    raise NotMaterializedError(
        f"{view.reference} ({view.file}) is not in the online store, which has: {known}. "
        f"Run: fstore materialize {view.reference}"
    )
