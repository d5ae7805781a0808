"""From a caller's arguments to a RetrievalJob: every check, then the compiled query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from fstore import collector
from fstore.compile.clashes import refuse_clashes, require_columns
from fstore.compile.computed import check_fields
from fstore.compile.keys import check_keys
from fstore.compile.plans import check_forced, plan_named
from fstore.compile.point_in_time import event_timestamp_name
from fstore.compile.references import on_demand_asked, views_asked
from fstore.compile.request import FeatureRequest, resolve, utc_instant
from fstore.compile.spine import Spine, spineless
from fstore.compile.sql import render, select_all
from fstore.compile.training_set import TrainingSet
from fstore.compile.types import find_column, unused
from fstore.definitions import FeatureView, Registry, SpineModel
from fstore.errors import RequestError, SpineError, UnknownNameError, listed
from fstore.offline.faults import check_conditions
from fstore.offline.job import RetrievalJob, put_spine
from fstore.offline.on_demand import with_features
from fstore.offline.sizes import plans_for
from fstore.offline.spine import (
    DEFAULT_TIME,
    Frame,
    check_time,
    time_column,
    timestamps_of,
)
from fstore.offline.spine_values import check_fractions, check_key_values, check_ranges
from fstore.offline.warehouse import (
    columns_of,
    columns_of_query,
    describe,
    open_warehouse,
)
from fstore.project import Project

_FILE = re.compile(r"\.(parquet|csv|tsv|json|jsonl|ndjson)(\.(gz|zst))?$", re.IGNORECASE)
_MODEL_NAME = re.compile(r"[^\s;()]+")  # one word; anything else is SQL


def retrieval_job(
    project: Project,
    registry: Registry,
    entity_df: object,
    features: Sequence[str] | None,
    feature_service: str | None,
    *,
    start: datetime | None,
    end: datetime | None,
    event_timestamp: str | None,
    full_feature_names: bool | None,
    include_event_timestamps: bool,
    plan: str | None,
) -> RetrievalJob:
    """Check a request against the registry and the built relations, and compile it.

    Raises every error of a wrong request before any query runs; the warehouse is opened only to
    DESCRIBE the relations (and a SQL spine), and to count rows for the choice of plans.
    """
    forced = plan_named(plan)
    views = views_asked(registry, features, feature_service)
    start, end = _range(start, end)
    frame, sql, model = _spine_form(registry, entity_df, start, end, event_timestamp)
    with open_warehouse(project) as connection:
        built = describe(connection, views, project.target)
        on_demand = on_demand_asked(registry, features, feature_service)
        registry, built = with_features(registry, built, on_demand)
        request = resolve(registry, built, features, feature_service, full_feature_names)
        check_forced(request, forced)
        for view in views:
            check_conditions(connection, view, built[view.reference])
        if model is not None:
            columns_of(connection, model.name, model.relation, project.target)
            sql = select_all(model.relation)
        elif frame is None and sql is None:
            sql = render(spineless(_of_one_entity(request), built, start, end))
        registered = position = None
        if frame is not None:
            require_columns(request, frame.names, "entity_df")
            time = time_column(
                frame.names,
                (name for name in frame.names if frame.looks_like_timestamp(name)),
                event_timestamp,
                None,
            )
            registered, position = _keys_and_time(frame, request, time)
            check_key_values(request, built, registered)
            check_fractions(request, registered)
        else:
            assert sql is not None
            _check_select(connection, sql)
        columns = put_spine(connection, sql, registered)
        names = frame.names if frame is not None else tuple(column.name for column in columns)
        if frame is None:
            require_columns(request, names, "entity_df")
            declared = model.event_timestamp if model else None
            time = time_column(names, timestamps_of(columns), event_timestamp, declared)
        extra = [event_timestamp_name(it) for it in request.asked if include_event_timestamps]
        refuse_clashes(request, extra, names, "entity_df")
        check_keys(request, built, columns)
        check_fields(request.computed, columns, whole_values=frame is not None)
        if position is not None:
            check_ranges(connection, request, columns, position)
        asked = find_column(columns, time)
        assert asked is not None
        check_time(asked)
        spine = Spine(columns, asked.name, position, names if frame is None else ())
        plans = plans_for(
            connection,
            project,
            request,
            built,
            spine,
            forced,
            None if registered is None else registered.num_rows,
        )
    training_set = TrainingSet(request, built, spine, plans, include_event_timestamps)
    # What no SQL can be made of is refused here; the other form is compiled where it is asked for.
    with collector.waiting():  # a tree of a thousand columns is as many small objects
        _ = training_set.query if registered is None else training_set.parts
    return RetrievalJob(
        project=project,
        training_set=training_set,
        spine_sql=sql,
        frame=frame,
        registered=registered,
    )


def _range(start: object, end: object) -> tuple[datetime | None, datetime | None]:
    """Return the range of a request without a spine as aware instants; naive means UTC."""
    first = None if start is None else utc_instant(start, "start")
    last = None if end is None else utc_instant(end, "end")
    if first is not None and last is not None and first > last:
        raise RequestError(f"start {first.isoformat()} is after end {last.isoformat()}.")
    return first, last


def _spine_form(
    registry: Registry,
    entity_df: object,
    start: datetime | None,
    end: datetime | None,
    time: str | None,
) -> tuple[Frame | None, str | None, SpineModel | None]:
    """Return the spine as a frame, as a SELECT or as a model; none of them where it is absent."""
    if entity_df is None:
        if time not in (None, DEFAULT_TIME):
            raise RequestError(
                f"event_timestamp={time} names the time of entity_df, and without entity_df the "
                f"time is {DEFAULT_TIME}: leave it out, or give entity_df."
            )
        if start is None and end is None:
            raise RequestError(
                "Give entity_df (a table, a SELECT or the name of a dbt model), or start and end."
            )
        return None, None, None
    if start is not None or end is not None:
        raise RequestError("start and end make a spine of their own: leave entity_df out.")
    if not isinstance(entity_df, str):
        return Frame.of(entity_df), None, None
    if not entity_df.strip():
        raise SpineError("entity_df is empty text: give a SELECT or the name of a dbt model.")
    if _MODEL_NAME.fullmatch(entity_df.strip()):
        return None, None, _model_named(registry, entity_df.strip())
    return None, entity_df, None


def _model_named(registry: Registry, name: str) -> SpineModel:
    for model in registry.models:
        if model.name == name:
            return model
    if "/" in name or _FILE.search(name):
        text = name.strip("'").replace("'", "''")
        raise SpineError(
            f"entity_df is {name}, which is no dbt model: of a file, give select * from '{text}'"
        )
    known = sorted(model.name for model in registry.models)
    what = "a dbt model that is built (an ephemeral one is not)"
    raise UnknownNameError(name, what, f"Project {registry.project}", known)


def _of_one_entity(request: FeatureRequest) -> tuple[FeatureView, ...]:
    """Return the views of a request without a spine; they must share their join keys."""
    views = tuple(dict.fromkeys(join.view for join in request.joins))
    if request.fields or not views:
        names = listed([found.name for found in request.computed])
        what = f"computed from the request fields {listed(request.fields)}"
        raise RequestError(
            f"{names} is {what if request.fields else 'computed from no feature view'}, and start "
            "and end make a spine of keys and times alone: give entity_df."
        )
    for view in views[1:]:
        if view.join_keys != views[0].join_keys:
            raise RequestError(
                "Without entity_df the views share one entity: "
                f"{views[0].reference} has {listed(views[0].join_keys)}, {view.reference} has "
                f"{listed(view.join_keys)}. Give entity_df, or ask for them apart."
            )
    for join in request.joins:
        renamed = [column for key, column in join.keys if column != key]
        if renamed:
            raise RequestError(
                f"{join.name} takes its keys from {listed(renamed)}: give entity_df with them."
            )
    return views


def _keys_and_time(frame: Frame, request: FeatureRequest, time: str) -> tuple[pa.Table, str]:
    """Return what the engine needs of a frame, and the name of the column of places."""
    folded = {name.casefold(): name for name in frame.names}
    needed = (*request.keys, *request.fields)
    wanted = [name if name in frame.names else folded[name.casefold()] for name in needed]
    columns = {name: frame.column(name) for name in dict.fromkeys((*wanted, time))}
    position = unused("spine_row", tuple(columns))
    columns[position] = pa.chunked_array([pa.array(np.arange(len(frame), dtype=np.int64))])
    return pa.table(columns), position


def _check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise SpineError unless the text is one SELECT."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise SpineError(f"entity_df is not SQL that DuckDB reads: {error}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = [statement.type.name for statement in statements]
        raise SpineError(f"entity_df must be one SELECT, and is: {listed(kinds)}.")
    try:
        names = [column.name for column in columns_of_query(connection, sql)]
    except duckdb.Error as error:
        raise SpineError(f"entity_df cannot run: {error}") from error
    taken: dict[str, str] = {}
    for name in names:
        other = taken.setdefault(name.casefold(), "")
        if other:  # as a view's column, DuckDB would give it another name
            raise SpineError(
                f"entity_df has two columns of one name, {other} and {name}: call one of them "
                "something else. To SQL, upper and lower case are one."
            )
        taken[name.casefold()] = name
