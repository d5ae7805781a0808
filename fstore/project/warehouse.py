"""The DuckDB warehouse that a target of profiles.yml describes.

The keys are those of dbt-duckdb (its `credentials.py` is the reference); what is refused here is
refused because a second process could not read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Not applied: they change only what a view in the warehouse can reach. `check` tells.
UNAPPLIED_KEYS = ("filesystems", "plugins")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # of two letters at least: C: is a drive
_MOTHERDUCK = ("md:", "motherduck:")


class WarehouseKeyError(ValueError):
    """A key of the target cannot be used; the text names the key and says why."""


@dataclass(frozen=True)
class Attachment:
    """A database to attach beside the warehouse.

    ``path`` is absolute for a local file and may hold credentials otherwise: it and ``options``
    stay out of ``repr``. ``options`` are ATTACH's own, without type, secret and read_only.
    """

    path: str = field(repr=False)
    alias: str | None = None  # as written; see name
    type: str | None = None
    secret: str | None = None
    read_only: bool = False
    options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The name of its catalog: the alias, else the one that DuckDB takes from the path."""
        return self.alias or catalog_name(self.path)

    @property
    def is_file(self) -> bool:
        """Whether ``path`` is a local file, and so no address with credentials."""
        return _is_local(self.type, self.path)


@dataclass(frozen=True)
class Extension:
    """A DuckDB extension, perhaps from a repository of its own."""

    name: str
    repository: str | None = None


@dataclass(frozen=True)
class Secret:
    """One CREATE SECRET; only its name and type show in ``repr``."""

    name: str
    type: str
    provider: str | None = field(default=None, repr=False)
    scope: tuple[str, ...] = field(default=(), repr=False)
    parameters: tuple[tuple[str, Any], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Warehouse:
    """A DuckDB file and what every connection to it needs.

    ``database`` is where dbt builds by default: the file's own catalog, or an attached one.
    ``settings`` are applied by SET on a connection, ``config_options`` when it is opened; both may
    hold credentials and stay out of ``repr``, as ``secrets`` do.
    """

    path: str  # absolute
    database: str
    schema: str = "main"
    attach: tuple[Attachment, ...] = ()
    extensions: tuple[Extension, ...] = ()
    settings: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    config_options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    connect_attempts: int = 1  # how often dbt tries when the file is locked
    unapplied: tuple[str, ...] = ()  # keys given in the profile that fstore does not apply
    type: str = "duckdb"

    @property
    def catalog(self) -> str:
        """The name that DuckDB gives the file at ``path``."""
        return catalog_name(self.path)

    @property
    def hidden(self) -> frozenset[str]:
        """Every text of the profile that may be a credential: not to be shown in an error."""
        paths = [it.path for it in self.attach if not it.is_file]
        options = [value for it in self.attach for _, value in it.options]
        parameters = [value for secret in self.secrets for _, value in secret.parameters]
        values = [value for _, value in (*self.settings, *self.config_options)]
        return frozenset(_texts([*paths, *options, *parameters, *values]))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def catalog_name(path: str) -> str:
    """Return DuckDB's name for a database file: up to the first dot, leading dots aside.

    >>> catalog_name("/data/flights.v2.duckdb")
    'flights'
    """
    return path.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".").split(".")[0]


def read_warehouse(target: Mapping[str, Any], directory: Path) -> Warehouse:
    """Return the warehouse of a rendered target; relative paths start at ``directory``.

    Raises WarehouseKeyError naming the key.
    """
    kind = target.get("type")
    if kind is None:
        raise WarehouseKeyError("type: is missing; write type: duckdb")
    if kind != "duckdb":
        raise WarehouseKeyError(
            f"type: is {kind}; this release of fstore reads a dbt-duckdb warehouse only "
            "(type: duckdb)"
        )
    if target.get("remote"):
        raise WarehouseKeyError(
            "remote: fstore opens the database file itself, and cannot reach one behind a server"
        )
    path = _warehouse_path(target.get("path"), directory)
    attach = tuple(
        _attachment(entry, f"attach[{at}]", directory)
        for at, entry in enumerate(_list(target, "attach"))
    )
    settings = _mapping(target, "settings")
    return Warehouse(
        path=path,
        database=_database(target, path, attach),
        schema=_text(target, "schema", "schema") or "main",
        attach=attach,
        extensions=tuple(_extension(entry) for entry in _list(target, "extensions")),
        settings=tuple(settings.items()),
        config_options=tuple(_mapping(target, "config_options").items()),
        secrets=_secrets(target),
        connect_attempts=_connect_attempts(target),
        unapplied=tuple(key for key in UNAPPLIED_KEYS if target.get(key)),
    )


def _warehouse_path(path: object, directory: Path) -> str:
    advice = "write path: <a file>, as in path: warehouse.duckdb"
    if path is None or path == ":memory:":
        given = "is absent, which means :memory:" if path is None else "is :memory:"
        raise WarehouseKeyError(
            f"path: {given}: a database in dbt's own memory is gone when dbt ends, and no other "
            f"process can read it; {advice}"
        )
    if not isinstance(path, str) or not path.strip():
        raise WarehouseKeyError(f"path: must be the path of a file; {advice}")
    if path.lower().startswith(_MOTHERDUCK):
        raise WarehouseKeyError(
            f"path: MotherDuck (md:) is a service, and fstore opens a local DuckDB file; {advice}"
        )
    if _SCHEME.match(path):
        raise WarehouseKeyError(
            f"path: {path.split(':', 1)[0]}: is not a local DuckDB file; {advice}, and attach the "
            "other database"
        )
    return _absolute(path, directory)


def _absolute(path: str, directory: Path) -> str:
    # Symbolic links stay: DuckDB names the catalog after the path as given.
    return os.path.normpath(directory / Path(path).expanduser())


def _database(target: Mapping[str, Any], path: str, attach: Sequence[Attachment]) -> str:
    own = catalog_name(path)
    database = _text(target, "database", "database") or own
    if database not in {own, *(entry.alias for entry in attach)}:
        raise WarehouseKeyError(
            f"database: is {database}, but path: makes it {own}, and no attached database has "
            "that alias; leave database: out"
        )
    return database


def _attachment(entry: object, key: str, directory: Path) -> Attachment:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise WarehouseKeyError(f"{key}: must have a path, as in - path: other.duckdb")
    options = dict(_mapping(entry, "options", f"{key}.options"))
    path: str = entry["path"]
    alias = _text(entry, "alias", f"{key}.alias")
    kind = _text(entry, "type", f"{key}.type") or options.pop("type", None)
    if path.lower().startswith(_MOTHERDUCK):
        raise WarehouseKeyError(
            f"{key}: MotherDuck (md:) is a service, and fstore attaches without an account"
        )
    if _is_local(kind, path):
        path = _absolute(path, directory)
    options.pop("type", None)
    return Attachment(
        path=path,
        alias=alias,
        type=str(kind) if kind else None,
        secret=_text(entry, "secret", f"{key}.secret") or options.pop("secret", None),
        read_only=bool(entry.get("read_only") or options.pop("read_only", False)),
        options=tuple((name, value) for name, value in options.items() if value is not None),
    )


def _is_local(kind: object, path: str) -> bool:
    is_file = kind is None or str(kind).lower() in ("duckdb", "sqlite")
    return is_file and path != ":memory:" and not _SCHEME.match(path)


def _extension(entry: object) -> Extension:
    if isinstance(entry, str):
        return Extension(entry)
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        repository = entry.get("repo")
        return Extension(entry["name"], str(repository) if repository else None)
    raise WarehouseKeyError("extensions: each is a name, or {name: ..., repo: ...}")


def _secrets(target: Mapping[str, Any]) -> tuple[Secret, ...]:
    entries = list(_list(target, "secrets"))
    if provider := target.get("use_credential_provider"):
        if provider != "aws":
            raise WarehouseKeyError(
                f"use_credential_provider: {provider} is not known; use secrets"
            )
        entries.append({"type": "s3", "provider": "credential_chain"})
    return tuple(_secret(entry, at) for at, entry in enumerate(entries))


def _secret(entry: object, at: int) -> Secret:
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise WarehouseKeyError(f"secrets[{at}]: must have a type, as in - type: s3")
    rest = {key: value for key, value in entry.items() if value is not None}
    scope = rest.pop("scope", ())
    rest.pop("persistent", None)  # ours live as long as the connection
    return Secret(
        name=str(rest.pop("name", f"_fstore_secret_{at + 1}")),
        type=rest.pop("type"),
        provider=rest.pop("provider", None),
        scope=(scope,) if isinstance(scope, str) else tuple(scope),
        parameters=tuple(rest.items()),
    )


def _connect_attempts(target: Mapping[str, Any]) -> int:
    attempts = _mapping(target, "retries").get("connect_attempts", 1)
    if not isinstance(attempts, int) or isinstance(attempts, bool):
        raise WarehouseKeyError("retries.connect_attempts: must be a whole number")
    return attempts


def _list(target: Mapping[str, Any], key: str) -> list[Any]:
    found = target.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise WarehouseKeyError(f"{key}: must be a list")
    return found


def _mapping(target: Mapping[str, Any], key: str, shown: str | None = None) -> dict[str, Any]:
    found = target.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise WarehouseKeyError(f"{shown or key}: must hold keys and values")
    return found


def _text(target: Mapping[str, Any], key: str, shown: str) -> str | None:
    found = target.get(key)
    if found is not None and not isinstance(found, str):
        raise WarehouseKeyError(f"{shown}: must be text")
    return found
