"""The warehouse: opened read-only, only while a job runs, with every wait bounded."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from fstore.compile import session
from fstore.compile.sql import select_all
from fstore.definitions import Column, FeatureView, Relation
from fstore.errors import (
    FstoreError,
    LockTimeoutError,
    MissingFileError,
    NotBuiltError,
    QueryError,
    WarehouseError,
)
from fstore.offline import sessions
from fstore.offline.failure import query_error, without_secrets
from fstore.project import Project

_BETWEEN_TRIES = 0.1  # seconds
_LOCKED = re.compile("Could not set lock|file handle conflict")
_INTERRUPTED = "Query interrupted"  # what DuckDB's client makes of KeyboardInterrupt
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


@contextmanager
def open_warehouse(project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that reads the project's warehouse, and let go of it after the block.

    The session is one in memory with the warehouse attached read-only under its own name, the
    current schema as dbt's target has it, and TimeZone UTC. Waits for a lock up to
    ``lock_timeout``. DuckDB's own errors inside the block come out as QueryError.

    What exceeds its memory goes to temp_directory, which DuckDB makes at need and removes where
    it has made it; what a killed process left there goes when the next session needs the place.

    Raises MissingFileError, LockTimeoutError, WarehouseError; ProjectError for a temp_directory
    that cannot be used.
    """
    if not Path(project.warehouse.path).is_file():
        raise MissingFileError(
            "The warehouse",
            project.warehouse.path,
            f"Run: dbt build --target {project.target} (the path is from {project.profiles_path}).",
        )
    with sessions.session(project) as connection:
        try:
            _attach_all(connection, project)
            yield connection
        except duckdb.Error as error:
            raise query_error(connection, error) from error
        except RuntimeError as error:
            if type(error) is RuntimeError and str(error) == _INTERRUPTED:
                raise KeyboardInterrupt from None
            raise


def _attach_all(connection: duckdb.DuckDBPyConnection, project: Project) -> None:
    warehouse = project.warehouse
    statement = session.attach(warehouse.path, warehouse.catalog, read_only=True)
    statements = [(warehouse.path, statement)]
    for number, attachment in enumerate(warehouse.attach):
        options = dict(attachment.options)
        if attachment.type:
            options["type"] = attachment.type
        if attachment.secret:
            options["secret"] = attachment.secret
        statement = session.attach(
            attachment.path, attachment.alias, read_only=True, options=options
        )
        named = attachment.path if attachment.is_file else attachment.alias
        of_profile = f"attach[{number}] of target {project.target} in {project.profiles_path}"
        statements.append((f"{named or 'What'} ({of_profile})", statement))
    deadline = time.monotonic() + project.settings.lock_timeout
    for what, statement in statements:
        _attach(connection, statement, what, project, deadline)
    try:
        connection.execute(session.use(warehouse.database, warehouse.schema))
    except duckdb.CatalogException:
        # Nothing is built in the target's own schema yet; models may be elsewhere.
        connection.execute(session.use(warehouse.database, "main"))


def _attach(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    what: str,
    project: Project,
    deadline: float,
) -> None:
    """Attach a database, waiting for whoever holds its lock until the deadline."""
    while True:
        try:
            connection.execute(statement)
        except duckdb.Error as error:
            if not _LOCKED.search(str(error)):
                words = without_secrets(error, project.warehouse.hidden)
                raise WarehouseError(f"{what} cannot be opened: {words}") from None
            if time.monotonic() >= deadline:
                raise LockTimeoutError(
                    what, project.settings.lock_timeout, *_holder(str(error))
                ) from None
            time.sleep(_BETWEEN_TRIES)
        else:
            return


def _holder(message: str) -> tuple[str, str]:
    """Return who holds the lock, and what to do about it."""
    found = _HOLDER.search(message)
    if found:
        remedy = "Let it finish, or set a longer lock_timeout in fstore.yml."
        return f"{found['program']} (PID {found['pid']})", remedy
    return (
        "a connection of this very process that can write",
        "Close it; dbt is best run as a command, for in this process it keeps one open.",
    )


def describe(
    connection: duckdb.DuckDBPyConnection, views: Iterable[FeatureView], target: str
) -> dict[str, tuple[Column, ...]]:
    """Return the columns of each view's built relation, by ``FeatureView.reference``.

    Raises NotBuiltError where the relation is not in this target's warehouse.
    """
    columns = {
        view.reference: columns_of(connection, view.reference, view.relation, target)
        for view in views
    }
    sessions.set_reading_ahead(connection)
    return columns


def columns_of(
    connection: duckdb.DuckDBPyConnection, name: str, relation: Relation, target: str
) -> tuple[Column, ...]:
    """Return the columns of a built relation; NotBuiltError says what is missing, and where."""
    try:
        return columns_of_query(connection, select_all(relation))
    except duckdb.Error as error:
        raise _why(connection, name, relation, target, error) from error


def columns_of_query(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Column, ...]:
    """Return the columns of a query's result, without running it."""
    rows = connection.execute(f"DESCRIBE {sql}").fetchall()
    return tuple(Column(row[0], row[1]) for row in rows)


def _why(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    relation: Relation,
    target: str,
    error: duckdb.Error,
) -> FstoreError:
    """Return the error that says how far the way to a relation goes."""
    other_target = (
        f"Perhaps the manifest was made for another target than {target}; "
        f"run: dbt build --target {target}"
    )
    databases = connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()
    if (relation.database,) not in databases:
        reason = f"is in database {relation.database}, which target {target} does not attach."
        return NotBuiltError(name, str(relation), reason, other_target)
    schemas = connection.execute(
        "SELECT schema_name FROM duckdb_schemas() WHERE database_name = ?", [relation.database]
    ).fetchall()
    if (relation.schema,) not in schemas:
        reason = f"is in schema {relation.schema}, which is not built in {relation.database}."
        return NotBuiltError(name, str(relation), reason, other_target)
    built = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE (database_name, schema_name) = ($1, $2) "
        "UNION ALL "
        "SELECT view_name FROM duckdb_views() WHERE (database_name, schema_name) = ($1, $2)",
        [relation.database, relation.schema],
    ).fetchall()
    if (relation.identifier,) not in built:
        return NotBuiltError(
            name, str(relation), "is not built yet.", f"Run: dbt build --select {name}"
        )
    return QueryError(f"{name} ({relation}) cannot be read. DuckDB: {error}")
