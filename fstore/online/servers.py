"""The online stores that are servers; the client of one is imported only where it is asked for."""

from __future__ import annotations

from importlib import import_module

from fstore.errors import OnlineStoreError
from fstore.online.protocol import OnlineStore

# Type, which is also the extra that installs the client: module, class.
_STORES = {
    "redis": ("fstore.online.redis_store", "RedisStore"),
    "postgres": ("fstore.online.postgres_store", "PostgresStore"),
}


def server_store(
    kind: str,
    url: str,
    project: str,
    target: str,
    *,
    memory_limit: str | None = None,
    threads: int | None = None,
    temp_directory: str | None = None,
) -> OnlineStore:
    """Return the store of one project's target on the server at ``url``.

    The limits are DuckDB's, where rows are gathered before they are sent. OnlineStoreError where
    the client is not installed, and for an address that is none.
    """
    module, name = _STORES[kind]
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "fstore").partition(".")[0] == "fstore":
            raise
        raise OnlineStoreError(
            f"online_store.type is {kind}, and the Python package {error.name} is not installed: "
            f"install fstore with its extra {kind}, as in dbt-fstore[{kind}]."
        ) from error
    wanted = {
        "memory_limit": memory_limit,
        "threads": None if threads is None else str(threads),
        "temp_directory": temp_directory,
    }
    settings = {key: value for key, value in wanted.items() if value is not None}
    store: OnlineStore = found(url, project, target, settings)
    return store
