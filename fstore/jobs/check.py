"""``fstore check``: declarations, built relations, services and profile, all at once."""

from __future__ import annotations

from fstore.compile.checks import Finding, check_profile, check_registry, findings_of
from fstore.compile.references import input_views
from fstore.compile.request import Columns
from fstore.definitions import Column, FeatureView, OnDemandView, Registry
from fstore.errors import FstoreError, MissingFileError, Problem, RelationError
from fstore.jobs.on_demand import HowComputed, checked, how_computed
from fstore.manifest import load_declarations
from fstore.offline.faults import check_conditions
from fstore.offline.warehouse import describe, open_warehouse
from fstore.project import Project


def check(project: Project) -> tuple[Finding, ...]:
    """Return everything that is wrong or doubtful, errors first, then in order of file.

    What one thing hides is not guessed at: a view whose declaration is wrong is not looked up in
    the warehouse. Raises where there is no manifest to check, or none that can be read.
    """
    registry, problems = load_declarations(project.manifest_path)
    findings = [Finding(problem, is_error=True) for problem in problems]
    columns = _built(project, registry, findings)
    registry, columns, of_on_demand = checked(registry, columns)
    findings += of_on_demand
    findings += check_registry(registry, columns)
    warehouse = project.warehouse
    findings += check_profile(
        registry,
        str(project.profiles_path),
        dict(warehouse.settings),
        warehouse.connect_attempts,
        warehouse.unapplied,
    )
    return tuple(sorted(findings, key=lambda finding: (not finding.is_error, finding.problem)))


def _built(project: Project, registry: Registry, findings: list[Finding]) -> Columns:
    """Return the columns of the views that are built; note the others as findings."""
    columns: dict[str, tuple[Column, ...]] = {}
    if not registry.feature_views:
        if findings:
            return columns
        text = "no model has meta.fstore yet: give one entities and an event_timestamp"
        problem = Problem(str(project.manifest_path), registry.project, "", text)
        findings.append(Finding(problem, is_error=False))
        return columns
    try:
        with open_warehouse(project) as connection:
            for view in registry.feature_views:
                try:
                    built = describe(connection, [view], project.target)
                    columns |= built
                    check_conditions(connection, view, built[view.reference])
                except FstoreError as wrong:
                    findings += findings_of(view, wrong)
    except FstoreError as wrong:  # not there yet, locked, or no database
        problem = Problem(str(project.profiles_path), project.target, "", str(wrong))
        findings.append(Finding(problem, is_error=True))
    return columns


def describe_view(project: Project, view: FeatureView) -> tuple[Column, ...] | None:
    """Return the columns of a view's built relation; None where it is not built."""
    try:
        with open_warehouse(project) as connection:
            return describe(connection, [view], project.target)[view.reference]
    except (RelationError, MissingFileError):
        return None


def describe_on_demand(
    project: Project, registry: Registry, view: OnDemandView
) -> HowComputed | None:
    """Return how an on-demand view is computed; None where what it computes with is not built."""
    try:
        with open_warehouse(project) as connection:
            columns = describe(connection, input_views(registry, view), project.target)
    except (RelationError, MissingFileError):
        return None
    return how_computed(registry, columns, view)
