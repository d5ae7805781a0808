"""DuckDB sessions in memory, prepared as a project says, that hold no file while they are idle.

To make one and to end it takes longer than many a small job (docs/decisions/0006); so a few are
kept for the next job of the same project in the same process.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import duckdb

from fstore.compile.session import (
    attach,
    create_secret,
    detach,
    load_extension,
    set_value,
    use,
)
from fstore.errors import OutOfMemoryError, ProjectError, WarehouseError
from fstore.offline.failure import without_secrets
from fstore.project import Project

MOST_IDLE = 2

# What DuckDB reads from the disks of this machine alone; all else that is loaded may read afar.
_NEAR = ("core_functions", "icu", "json", "parquet", "autocomplete", "jemalloc", "tpch", "tpcds")

_idle: list[tuple[int, Project, duckdb.DuckDBPyConnection]] = []  # with the process that made it
_lock = Lock()


def _in_a_child() -> None:
    """Have a lock that no thread of the parent holds."""
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_in_a_child)


@contextmanager
def session(project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a session for one job; it is kept for the next where the block ends without an error.

    Raises WarehouseError where what the profile asks for cannot be prepared, ProjectError for a
    temp_directory that cannot be used.
    """
    connection = _taken(project) or _made(project)
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
    if not _kept(project, connection):
        connection.close()


def _taken(project: Project) -> duckdb.DuckDBPyConnection | None:
    """Return an idle session of this process that was prepared for just this."""
    with _lock:
        for place, (process, prepared_for, connection) in enumerate(_idle):
            if process == os.getpid() and prepared_for == project:
                del _idle[place]
                return connection
    return None


def _kept(project: Project, connection: duckdb.DuckDBPyConnection) -> bool:
    """Let go of every file and of what the job left, and keep the session; False where it cannot.

    One that has spilled to disk ends instead: that removes what it wrote.
    """
    try:
        connection.unregister("entity_df")  # lets go of a frame; a SELECT's view is dropped below
        connection.execute("DROP VIEW IF EXISTS temp.main.entity_df")
        connection.execute("RESET arrow_lossless_conversion")
        names = [
            name
            for (name,) in connection.execute(
                "SELECT database_name FROM duckdb_databases() WHERE NOT internal"
            ).fetchall()
        ]
        own = _own_database(project)
        connection.execute(use(own, "main"))
        for name in names:
            if name != own:
                connection.execute(detach(name))
        ((spill,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    except duckdb.Error:
        return False
    if spill and any(Path(spill).glob(f"duckdb_temp_*{os.getpid()}_*")):
        return False
    oldest = None
    with _lock:
        # A forked child holds its parent's sessions too and must not end them: their threads are
        # not there.
        mine = [entry for entry in _idle if entry[0] == os.getpid()]
        if len(mine) >= MOST_IDLE:
            oldest = mine[0]
            _idle.remove(oldest)
        _idle.append((os.getpid(), project, connection))
    if oldest is not None:
        oldest[2].close()
    return True


@atexit.register
def _end_all() -> None:
    """End this process's idle sessions while the interpreter is whole."""
    with _lock:
        for process, _, connection in _idle:
            if process == os.getpid():
                connection.close()
        _idle[:] = [entry for entry in _idle if entry[0] != os.getpid()]


def _own_database(project: Project) -> str:
    """Return the name of the session's own database, which no warehouse of the project has."""
    return "fstore_session" if project.warehouse.catalog == "memory" else "memory"


def _made(project: Project) -> duckdb.DuckDBPyConnection:
    warehouse = project.warehouse
    options: dict[str, str | bool | int | float | list[str]] = {
        name: str(value) for name, value in warehouse.config_options
    }
    with _preparing(project, "config_options"):
        connection = duckdb.connect(":memory:", config=options)
    try:
        _prepare(connection, project)
    except duckdb.OutOfMemoryException as error:
        connection.close()
        raise _too_little(project, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: duckdb.DuckDBPyConnection, project: Project) -> None:
    warehouse, own = project.warehouse, _own_database(project)
    if own != "memory":  # the warehouse has that name
        connection.execute(attach(":memory:", own))
        connection.execute(use(own, "main"))
        connection.execute(detach("memory"))
    for extension in warehouse.extensions:
        with _preparing(project, f"extension {extension.name}"):
            connection.execute(load_extension(extension.name))
    for name, value in _settings(project):
        with _preparing(project, f"setting {name}"):
            connection.execute(set_value(name, value))
    for secret in warehouse.secrets:
        with _preparing(project, f"secret {secret.name}"):
            connection.execute(
                create_secret(
                    secret.name, secret.type, secret.provider, secret.scope, dict(secret.parameters)
                )
            )
    set_reading_ahead(connection)


def _too_little(project: Project, error: Exception) -> OutOfMemoryError:
    """Return the error of a memory_limit with which not even an empty session can be had."""
    given = dict(project.warehouse.config_options) | dict(project.warehouse.settings)
    limit, threads = (
        getattr(project.settings, name) or given.get(name) for name in ("memory_limit", "threads")
    )
    return OutOfMemoryError(
        "An empty session of DuckDB",
        str(limit or "its default"),
        int(threads or os.cpu_count() or 1),
        str(project.settings.temp_directory or project.state_directory / "tmp"),
        words=str(error),
    )


@contextmanager
def _preparing(project: Project, what: str) -> Iterator[None]:
    """Say which part of the profile it is that DuckDB refuses."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, ValueError) as error:
        words = without_secrets(error, project.warehouse.hidden)
        raise WarehouseError(
            f"{project.profiles_path}: {what} of target {project.target} cannot be used: {words}"
        ) from None


def _settings(project: Project) -> Iterator[tuple[str, object]]:
    """Yield the profile's settings, fstore.yml's over them, and those that must be as they are."""
    profile = dict(project.warehouse.config_options) | dict(project.warehouse.settings)
    if project.settings.temp_directory is not None:
        _require_directory(project.settings.temp_directory)
    elif "temp_directory" not in profile:
        yield "temp_directory", _own_temp_directory(project)
    yield from project.warehouse.settings
    for name in ("memory_limit", "threads", "temp_directory"):
        value = getattr(project.settings, name)
        if value is not None:
            yield name, value
    yield "file_search_path", str(project.directory)
    yield "TimeZone", "UTC"
    yield "Calendar", "gregorian"  # by another one, no clock with a zone would mean what it says
    yield "preserve_insertion_order", True  # the order of a SQL spine is part of the answer
    # Its time grows much faster than the views joined, to nearly all of it for 50 of them
    # (docs/decisions/0006), and what it pulls up our queries do not have.
    others = str(profile.get("disabled_optimizers", ""))
    yield "disabled_optimizers", ",".join(filter(None, (others, "projection_pullup")))
    yield "parquet_metadata_cache", True  # a job reads each file's several times
    yield "enable_progress_bar", True  # counts; who watches is told by fstore.offline.progress
    yield "enable_progress_bar_print", False


def set_reading_ahead(connection: duckdb.DuckDBPyConnection) -> None:
    """Have Parquet read ahead of need where it may be far away, and not where it is near.

    From a disk of this machine that takes longer than it saves. DuckDB loads what reads afar when
    a query that needs it is bound: to be called after that, for all that follows.
    """
    ((far,),) = connection.execute(
        "SELECT count(*) FROM duckdb_extensions() WHERE loaded AND extension_name NOT IN "
        "(SELECT unnest($1::VARCHAR[]))",
        [list(_NEAR)],
    ).fetchall()
    connection.execute(set_value("disable_parquet_prefetching", far == 0))


def _require_directory(path: str) -> None:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        reason = None if os.access(path, os.W_OK | os.X_OK) else "it cannot be written to"
    except OSError as error:
        reason = str(error)
    if reason is not None:
        raise ProjectError(
            f"temp_directory {path} cannot be used: {reason}. Name another: in fstore.yml, or as "
            "--temp-directory."
        )


def _own_temp_directory(project: Project) -> str:
    """Return the project's own place for what exceeds memory; empty where it cannot be made.

    It is on the disk of the project: the system's may be memory itself, and DuckDB's default, in
    the working directory, is wherever the process was started.
    """
    path = project.state_directory / "tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(path) if os.access(path.parent, os.W_OK | os.X_OK) else ""
