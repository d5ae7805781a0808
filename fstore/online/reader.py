"""Online reads: names resolved, keys looked up, statuses told.

    OnlineReader(store).get(
        features, feature_service, entity_rows, full_feature_names, at=None, now=micros(clock())
    ) -> OnlineResponse

``store`` is any fstore.online.protocol.OnlineStore. A reader may be used by any thread and after a
fork. What it knows comes from the published generation alone: no dbt, no manifest, no warehouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from fstore.compile.clashes import refuse_clashes
from fstore.compile.computed import type_of
from fstore.compile.references import on_demand_asked, views_asked
from fstore.compile.request import Join, resolve, utc_instant
from fstore.definitions import FeatureView, OnDemandView
from fstore.errors import (
    EntityRowsError,
    NothingPublishedError,
    NotMaterializedError,
    OnlineStoreError,
    RequestError,
    listed,
)
from fstore.online.chosen import Cells
from fstore.online.computation import Computation, computation
from fstore.online.instants import micros
from fstore.online.key_bytes import KeyCodec
from fstore.online.keys import KeyType, NotAKeyError, shown
from fstore.online.protocol import Generation, Lookups, OnlineStore, OutdatedError
from fstore.online.records import Layout
from fstore.online.response import OneRowResponse, OnlineResponse, Output, Outputs
from fstore.online.rows import EntityRows

_PLANS = 256  # prepared requests that are kept for one generation
_TRIES = 10  # of a read that finds its generation replaced


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
        now: int,
    ) -> OnlineResponse:
        """Return the features of each entity row, in the order given.

        ``now`` is the clock's instant in microseconds since 1970, and ``at`` one asked for instead:
        aware, or naive in UTC. Each view is read at the later of the clock and its K, so that the
        future which a generation holds is never missed. Raises UnknownNameError, RequestError
        (``at`` before a view's K), EntityRowsError and NotMaterializedError.
        """
        rows = EntityRows.of(entity_rows)
        if type(features) is list or _is_another_sequence(features):
            features = tuple(features)  # by which plans are known
        asked_instant = None if at is None else utc_instant(at, "at")
        for _ in range(_TRIES):
            # What is asked for the first time, or reads nothing, is of what is published now.
            generation = self._store.recent() if rows.count else self._store.generation()
            plan = self._known_plan(generation, features, feature_service, full_feature_names)
            if plan is None:
                generation = self._store.generation()
                plan = self._plan(generation, features, feature_service, full_feature_names)
            try:
                return plan.answer(rows, asked_instant, now)
            except OutdatedError:
                continue
            except RequestError:
                if self._store.generation() is generation:
                    raise
        raise OnlineStoreError("The online store is published anew faster than it can be read.")

    def _known_plan(
        self,
        generation: Generation | None,
        features: Sequence[str] | None,
        feature_service: str | None,
        full_feature_names: bool | None,
    ) -> _Plan | None:
        prepared = self._prepared
        if prepared is None or prepared[0] is not generation:
            return None
        try:
            return prepared[1].get((features, feature_service, full_feature_names))
        except TypeError:  # something in the list is no text; preparing says so
            return None

    def _plan(
        self,
        generation: Generation | None,
        features: Sequence[str] | None,
        feature_service: str | None,
        full_feature_names: bool | None,
    ) -> _Plan:
        if generation is None:
            raise NothingPublishedError()
        try:
            plan = _prepare(generation, features, feature_service, full_feature_names)
        except FileNotFoundError as gone:
            raise OnlineStoreError(
                f"{gone} is not there, though it is published. Run: fstore materialize"
            ) from gone
        prepared = self._prepared
        if prepared is None or prepared[0] is not generation:
            prepared = self._prepared = (generation, {})
        plans = prepared[1]
        if len(plans) >= _PLANS:
            plans.clear()
        plans[features, feature_service, full_feature_names] = plan
        return plan


def _is_another_sequence(features: object) -> TypeGuard[Sequence[str]]:
    if features is None or type(features) is tuple:  # before what takes longer to be told
        return False
    return isinstance(features, Sequence) and not isinstance(features, str)


@dataclass(frozen=True, slots=True)
class _KeyColumn:
    """A join key, the caller's column that it is taken from, and how its values are read."""

    key: str
    column: str
    kind: KeyType
    native: AbstractSet[type]  # of values that need not be read
    shown: str  # the type of the column in the answer: of the first join that uses it


@dataclass(frozen=True, slots=True)
class _JoinPlan:
    join: Join
    key: KeyCodec
    columns: tuple[_KeyColumn, ...]
    as_of: datetime
    first: int  # as_of in microseconds: no read is of an instant before
    nothing: Sequence[Sequence[Any]]  # the columns of no row


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request against one generation, with everything but the keys settled."""

    joins: tuple[_JoinPlan, ...]
    outputs: Outputs
    read: Lookups  # of the joins, in one step
    computed: tuple[Computation, ...] = ()

    def answer(self, rows: EntityRows, at: datetime | None, now: int) -> OnlineResponse:
        count = rows.count
        keys: dict[str, tuple[str, Sequence[Any]]] = {}
        asked = []
        for plan in self.joins:
            if at is None:
                instant = now if now > plan.first else plan.first
            else:
                instant = _asked_instant(plan.join, plan.as_of, at)
            columns = []
            for each in plan.columns:
                values = rows.column(each.column, plan.join.name) if count else ()
                if count and {*map(type, values)} != each.native:
                    values = _read_values(values, plan.join, each)
                if each.column not in keys:
                    keys[each.column] = (each.shown, values)
                columns.append(values)
            asked.append((plan.key.encode_columns(columns, count), instant))
        if count == 1 and not self.computed:
            return OneRowResponse(keys, self.outputs, self.read.rows(asked))
        if count:
            found = [*self.read.columns(asked)]
        else:
            found = [plan.nothing for plan in self.joins]
        if self.computed:
            instants = [instant for _, instant in asked]
            otherwise = now if at is None else micros(at)
            for computed in self.computed:
                found.append(computed.columns(rows, found, instants, otherwise))
        return OnlineResponse(keys, self.outputs, found, count)


def _read_values(given: Sequence[Any], join: Join, column: _KeyColumn) -> Sequence[Any]:
    read = column.kind.read
    values = []
    for place, value in enumerate(given):
        try:
            values.append(read(value))
        except NotAKeyError as reason:
            raise EntityRowsError(
                f"entity_rows[{place}]: {column.column} is {shown(value)}, and the join key "
                f"{column.key} of {join.view.reference} is {column.kind.type}: {reason}."
            ) from None
    return values


def _asked_instant(join: Join, as_of: datetime, at: datetime) -> int:
    """Return the instant that was asked for; RequestError where it is before K."""
    if at < as_of:
        raise RequestError(
            f"at={at.isoformat()} is before {as_of.isoformat()}, as of which "
            f"{join.view.reference} was materialized: the online store no longer holds what "
            "was known then. Ask get_historical_features, or materialize with as_of and force."
        )
    return micros(at)


def _prepare(
    generation: Generation,
    features: Sequence[str] | None,
    feature_service: str | None,
    full_feature_names: bool | None,
) -> _Plan:
    registry, columns = generation.registry, generation.columns
    for view in views_asked(registry, features, feature_service):
        _check_published(generation, view)
    for on_demand in on_demand_asked(registry, features, feature_service):
        _check_carried(on_demand)
    request = resolve(registry, columns, features, feature_service, full_feature_names)
    refuse_clashes(request, (), (*request.keys, *request.fields), "entity_rows")
    joins: list[_JoinPlan] = []
    wants: list[tuple[FeatureView, tuple[str, ...]]] = []
    shown: dict[str, str] = {}
    places: dict[tuple[str, str], tuple[int, int]] = {}
    for join in request.joins:
        view, built = join.view, columns[join.view.reference]
        wanted = set(request.read[join.name])
        names = dict.fromkeys((*view.column_features(built), *view.windows_by_name))
        carried = tuple(name for name in names if name in wanted)
        for place, name in enumerate(carried, start=Cells.HEAD):
            places[join.name, name] = len(joins), place
        key = Layout.of(view, built).key
        key_columns = []
        for (name, column), kind in zip(join.keys, map(KeyType, key.types), strict=True):
            type_shown = shown.setdefault(column, kind.type)
            key_columns.append(_KeyColumn(name, column, kind, kind.native, type_shown))
        as_of = generation.catalog.views[view.reference].as_of
        nothing = ((),) * (Cells.HEAD + len(carried))
        wants.append((view, carried))
        joins.append(_JoinPlan(join, key, tuple(key_columns), as_of, micros(as_of), nothing))
    computed: list[Computation] = []
    joined = [join.name for join in request.joins]
    for found in request.computed:
        asked = tuple(it.feature for it in request.outputs if it.join == found)
        for place, name in enumerate(asked, start=Cells.HEAD):
            places[found.name, name] = len(joins) + len(computed), place
        computed.append(computation(found, columns, asked, places, joined))
    outputs = []
    for output in request.outputs:
        view_of, at = output.join.view, places[output.join.name, output.feature]
        kind_of = type_of(view_of, columns, output.feature)
        outputs.append(Output(output.name, kind_of, view_of.reference, *at))
    return _Plan(tuple(joins), Outputs(tuple(outputs)), generation.lookups(wants), tuple(computed))


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


def _check_carried(view: OnDemandView) -> None:
    if not view.features:
        raise NotMaterializedError(
            f"{view.name} ({view.file}) was not published with the views that it computes with. "
            "Run: fstore materialize, and if that fails, fstore check"
        )
