"""What ``fstore check`` finds in declarations and built relations, beyond what stops a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from fstore.compile.handed import for_storage
from fstore.compile.references import on_demand_asked, source_named, views_asked
from fstore.compile.request import Columns, check_declared, declared_columns, resolve
from fstore.compile.types import family, find_column
from fstore.definitions import Column, FeatureService, FeatureView, Projection, Registry
from fstore.errors import (
    DeclarationError,
    FstoreError,
    MissingColumnError,
    Problem,
    WrongTypeError,
    listed,
)

DAY_SECONDS = 86_400
_ARITHMETIC = (
    "default_collation",
    "error_on_division_by_zero",
    "ieee_floating_point_ops",
    "integer_division",
    "old_implicit_casting",
)


@dataclass(frozen=True)
class Finding:
    """A problem, and whether it is an error (``fstore check`` then exits with 1)."""

    problem: Problem
    is_error: bool

    @property
    def severity(self) -> str:
        return "error" if self.is_error else "warning"


def error(file: str, node: str, key: str, text: str) -> Finding:
    """Return a finding that makes a request fail or lie."""
    return Finding(Problem(file, node, key, text), is_error=True)


def warning(file: str, node: str, key: str, text: str) -> Finding:
    """Return a finding that a person should look at."""
    return Finding(Problem(file, node, key, text), is_error=False)


def findings_of(view: FeatureView, wrong: FstoreError) -> list[Finding]:
    """Return what an error says of a view: each of its problems, where it has several."""
    if isinstance(wrong, DeclarationError):
        return [Finding(problem, is_error=True) for problem in wrong.problems]
    return [error(view.declared_in, view.reference, "", str(wrong))]


def check_registry(registry: Registry, columns: Columns) -> list[Finding]:
    """Return everything found in a project whose views have these columns.

    ``columns`` lacks the views that are not built: nothing is said of them here, nor of the
    services that need them, but for what their declarations alone tell.
    """
    findings: list[Finding] = []
    for view in registry.feature_views:
        if view.reference in columns:
            findings += _relation(view, columns[view.reference])
    findings += _families(registry, columns)
    for service in registry.feature_services:
        findings += _service(registry, service, columns)
    return findings


def _relation(view: FeatureView, columns: tuple[Column, ...]) -> Iterator[Finding]:
    """Check one view against its built relation."""
    known = [column.name for column in columns]
    missing = [it for it in declared_columns(view) if find_column(columns, it[1]) is None]
    for role, absent in missing:
        problem = MissingColumnError(view.reference, view.file, absent, role, known)
        yield error(view.declared_in, view.reference, "", str(problem))
    if missing:
        return
    try:
        check_declared(view, columns)
    except FstoreError as wrong:
        yield from findings_of(view, wrong)
        return
    if not view.feature_names(columns):
        yield error(
            view.declared_in, view.reference, "", "has no features: every column is a key or clock"
        )
    for role, name in (
        ("event_timestamp", view.event_timestamp),
        ("created_timestamp", view.created_timestamp),
    ):
        column = find_column(columns, name) if name else None
        if column is not None and column.type == "DATE" and not _covers_the_day(view, role):
            yield warning(
                view.declared_in,
                view.reference,
                f"meta.fstore.{role}",
                f"{column.name} is a DATE, which means 00:00 UTC of that day: what is known only "
                "after the day needs delay: 1 day (or a created_timestamp with its hour)",
            )
    used = {name.casefold() for name in (*view.join_keys, *view.feature_names(columns))}
    for column in columns:
        if column.name.casefold() in used and for_storage(column.type) is not None:
            yield warning(
                view.declared_in,
                view.reference,
                "",
                f"{column.name} is {column.type}: training and materialize fail at a value from "
                "2^127 up, which Arrow cannot carry; cast it to HUGEINT, or to VARCHAR",
            )


def _covers_the_day(view: FeatureView, role: str) -> bool:
    if role == "event_timestamp" and view.created_timestamp:
        return True  # then created_timestamp says when the row was known
    return view.delay is not None and view.delay.seconds >= DAY_SECONDS


def _families(registry: Registry, columns: Columns) -> Iterator[Finding]:
    """Check that every view of an entity has join keys of one type family."""
    first: dict[tuple[str, str], tuple[FeatureView, Column]] = {}
    for view in registry.feature_views:
        for entity in view.entities:
            for key in entity.join_keys:
                column = find_column(columns.get(view.reference, ()), key)
                if column is None:
                    continue
                other, its = first.setdefault((entity.name, key), (view, column))
                if family(its.type) != family(column.type):
                    yield error(
                        view.declared_in,
                        view.reference,
                        f"meta.fstore.entities.{entity.name}",
                        f"{key} is {column.type} here and {its.type} in {other.reference} "
                        f"({other.declared_in}): an entity's keys must compare; cast one in SQL",
                    )


def _service(registry: Registry, service: FeatureService, columns: Columns) -> Iterator[Finding]:
    where = (service.declared_in, service.name)
    sources = [source_named(registry, projection.view) for projection in service.projections]
    apart = [view.reference for view in sources if view.unique_id not in service.depends_on]
    missing = list(dict.fromkeys(apart))
    if missing:
        yield warning(
            *where, "depends_on", f"misses {listed(missing)}, so dbt's lineage does not show it"
        )
    versioned = {view.name for view in registry.feature_views if view.version is not None}
    for projection in service.projections:
        if projection.view in versioned:
            pinned = registry.views_by_reference[projection.view].reference
            yield warning(
                *where,
                "meta.fstore.features",
                f"{projection.view} pins no version, so a new one changes the service: write "
                f"{pinned}",
            )
    found = False
    for place, projection in enumerate(service.projections):
        for alone in _one_by_one(projection):
            if problem := _unresolved(registry, replace(service, projections=(alone,)), columns):
                found = True
                yield error(*where, f"meta.fstore.features[{place}]", problem)
    if not found and (problem := _unresolved(registry, service, columns)):
        yield error(*where, "meta.fstore.features", problem)


def _one_by_one(projection: Projection) -> list[Projection]:
    """Return a projection for each feature that is named, so that each can be found wrong."""
    if projection.features is None:
        return [projection]
    return [replace(projection, features=(feature,)) for feature in projection.features]


def _unresolved(registry: Registry, service: FeatureService, columns: Columns) -> str | None:
    """Return why a request for the service fails; None too where a view of it is not built."""
    alone = replace(registry, feature_services=(service,))
    needed = {view.reference for view in views_asked(alone, None, service.name)}
    needed |= {view.name for view in on_demand_asked(alone, None, service.name)}
    if not needed <= columns.keys():
        return None
    try:
        resolve(alone, columns, None, service.name, None)
    except (MissingColumnError, WrongTypeError):
        return None  # said of the view itself
    except FstoreError as problem:
        return str(problem)
    return None


def check_profile(
    registry: Registry,
    path: str,
    settings: Mapping[str, object],
    connect_attempts: int,
    unapplied: tuple[str, ...],
) -> list[Finding]:
    """Return what a profile should say, so that dbt and fstore agree on time and on locks."""
    findings = []
    zone = {name.casefold(): value for name, value in settings.items()}.get("timezone")
    snapshots = [view.reference for view in registry.feature_views if view.snapshot]
    if snapshots and str(zone).upper() not in ("UTC", "ETC/UTC"):
        findings.append(
            warning(
                path,
                "settings",
                "TimeZone",
                f"is {zone or 'not set'}: dbt stamps snapshots ({listed(snapshots)}) in their "
                "session's zone; write settings: {TimeZone: UTC}",
            )
        )
    changed = [name for name in settings if name.casefold() in _ARITHMETIC]
    if changed and registry.on_demand_views:
        findings += [
            warning(
                path,
                "settings",
                name,
                "changes what SQL computes in training, and does not reach an online read: leave "
                "it out, or write on-demand views that do not depend on it",
            )
            for name in changed
        ]
    if connect_attempts < 6:
        findings.append(
            warning(
                path,
                "retries",
                "connect_attempts",
                "dbt gives up at once while fstore reads the warehouse; write "
                "retries: {connect_attempts: 6}",
            )
        )
    for key in unapplied:
        findings.append(
            warning(
                path, key, "", "fstore does not apply it: views that read through it cannot be read"
            )
        )
    return findings
