"""fstore.yml: what fstore needs to know beside what dbt's own files say. All of it is optional.

online_store: {type: duckdb, path: .fstore}                  # or:
online_store: {type: redis, url: {env: FSTORE_REDIS_URL}}    # or postgres
memory_limit: 4GB
threads: 4
temp_directory: /var/tmp/fstore
lock_timeout: 60 seconds
push_retention: 7 days
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fstore.definitions import Duration
from fstore.errors import ProfileError, RequestError, did_you_mean, listed
from fstore.project.serving import ServerProblemError, Serving, read_serving
from fstore.project.yaml_files import read_mapping

FILE_NAME = "fstore.yml"
KEYS = (
    "online_store",
    "server",
    "memory_limit",
    "threads",
    "temp_directory",
    "lock_timeout",
    "push_retention",
)
ONLINE_STORE_KEYS = ("type", "path", "url")
ONLINE_STORE_TYPES = ("duckdb", "redis", "postgres")
PUSH_RETENTION = Duration(7, "day")
SERVING = Serving()
MOST_THREADS = 1024  # DuckDB starts as many as it is told, until the machine has none left
_MEMORY = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(%|[KMGT]i?B|B)", re.IGNORECASE)


@dataclass(frozen=True)
class OnlineStoreSettings:
    """Which online store, and where. ``url`` may hold a password and stays out of ``repr``."""

    type: str = "duckdb"
    path: str | None = None  # absolute; None: .fstore in the project
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """What fstore.yml says, or the defaults.

    ``memory_limit`` is as DuckDB writes it (``4GB``); ``lock_timeout`` is in seconds: how
    long a job waits for a locked file. A pushed row that no source holds yet is kept for
    ``push_retention``.
    """

    online_store: OnlineStoreSettings = OnlineStoreSettings()
    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: str | None = None  # absolute
    lock_timeout: float = 60.0
    push_retention: Duration = PUSH_RETENTION
    serving: Serving = SERVING


class _KeyProblemError(ValueError):
    """A key of fstore.yml is wrong; ``guess`` is a last sentence, with the word that was meant."""

    def __init__(self, text: str, guess: str = "") -> None:
        super().__init__(text)
        self.guess = guess


def read_settings(directory: Path, env: Mapping[str, str]) -> Settings:
    """Return the settings in ``directory``/fstore.yml, or the defaults where there is no file.

    Raises ProfileError naming file, key, what is known and the nearest right word.
    """
    path = directory / FILE_NAME
    misnamed = path.with_suffix(".yaml")
    if misnamed.exists() and not path.exists():
        raise ProfileError(misnamed, f"is not read; rename it {FILE_NAME}.")
    given = read_mapping(path) if path.exists() else {}
    try:
        return _settings(given, directory, env)
    except _KeyProblemError as problem:
        raise ProfileError(path, f"{problem}.{problem.guess}") from None


def with_limits(
    settings: Settings,
    memory_limit: str | None = None,
    threads: int | None = None,
    temp_directory: str | os.PathLike[str] | None = None,
) -> Settings:
    """Return the settings with what is given in place of what fstore.yml says.

    A relative ``temp_directory`` is one of the working directory. RequestError for what would be
    wrong in fstore.yml, too.
    """
    given = {"memory_limit": memory_limit, "threads": threads}
    try:
        if memory_limit is not None:
            settings = replace(settings, memory_limit=_memory_limit(given, {}))
        if threads is not None:
            settings = replace(settings, threads=_threads(given))
    except _KeyProblemError as problem:
        raise RequestError(f"{problem}.") from None
    if temp_directory is not None:
        path = _absolute(os.fspath(temp_directory), Path.cwd())
        settings = replace(settings, temp_directory=path)
    return settings


def _settings(given: dict[str, Any], directory: Path, env: Mapping[str, str]) -> Settings:
    _only_known(given, KEYS, "")
    defaults = Settings()
    temp_directory = _text(given, "temp_directory", "temp_directory", env)
    return Settings(
        online_store=_online_store(given, directory, env),
        memory_limit=_memory_limit(given, env),
        threads=_threads(given),
        temp_directory=None if temp_directory is None else _absolute(temp_directory, directory),
        lock_timeout=_seconds(given.get("lock_timeout"), defaults.lock_timeout),
        push_retention=_duration(given.get("push_retention"), defaults.push_retention),
        serving=_serving(given, env),
    )


def _serving(given: Mapping[str, Any], env: Mapping[str, str]) -> Serving:
    section = given.get("server")
    if section is not None and not isinstance(section, dict):
        raise _KeyProblemError("server: must hold keys and values: host, port, keys, limits")
    try:
        return read_serving(section or {}, env)
    except ServerProblemError as problem:
        if problem.known:
            raise _KeyProblemError(
                f"server.{problem.key} {problem}; known here: {listed(problem.known)}",
                did_you_mean(problem.key.rpartition(".")[2], problem.known),
            ) from None
        raise _KeyProblemError(f"server.{problem.key}: {problem}") from None


def _online_store(
    given: dict[str, Any], directory: Path, env: Mapping[str, str]
) -> OnlineStoreSettings:
    section = _section(given, "online_store", ONLINE_STORE_KEYS)
    kind = _text(section, "type", "online_store.type", env) or "duckdb"
    if kind not in ONLINE_STORE_TYPES:
        raise _KeyProblemError(
            f"online_store.type: {kind} is not an online store of this release, which has: "
            f"{listed(ONLINE_STORE_TYPES)}",
            did_you_mean(kind, ONLINE_STORE_TYPES),
        )
    if kind != "duckdb" and section.get("url") is None:
        raise _KeyProblemError(
            f"online_store: {kind} needs url: {{env: NAME}}, an environment variable that holds "
            "the server's address"
        )
    path = _text(section, "path", "online_store.path", env)
    url = section.get("url")
    return OnlineStoreSettings(
        type=kind,
        path=None if path is None else _absolute(path, directory),
        url=None if url is None else _from_env(url, "online_store.url", env),
    )


def _absolute(path: str, directory: Path) -> str:
    return str((directory / Path(path).expanduser()).resolve())


def _only_known(given: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    for key in given:
        if key not in known:
            raise _KeyProblemError(
                f"{prefix}{key} is not a key of {FILE_NAME}; known here: {listed(known)}",
                did_you_mean(str(key), known),
            )


def _section(given: Mapping[str, Any], key: str, known: Sequence[str]) -> dict[str, Any]:
    section = given.get(key)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise _KeyProblemError(f"{key}: must hold keys and values: {listed(known)}")
    _only_known(section, known, f"{key}.")
    return section


def _text(section: Mapping[str, Any], key: str, shown: str, env: Mapping[str, str]) -> str | None:
    value = section.get(key)
    if value is None:
        return None
    if isinstance(value, dict):
        return _from_env(value, shown, env)
    if not isinstance(value, str) or not value:
        raise _KeyProblemError(f"{shown}: must be text")
    return value


def _from_env(value: object, shown: str, env: Mapping[str, str]) -> str:
    """Read ``{env: NAME}``, the only form in which a secret may be given."""
    if not isinstance(value, dict) or list(value) != ["env"] or not isinstance(value["env"], str):
        raise _KeyProblemError(
            f"{shown}: write {{env: NAME}}, an environment variable that holds it"
        )
    if value["env"] not in env:
        raise _KeyProblemError(f"{shown}: environment variable {value['env']} is not set")
    return env[value["env"]]


def _memory_limit(given: Mapping[str, Any], env: Mapping[str, str]) -> str | None:
    limit = _text(given, "memory_limit", "memory_limit", env)
    if limit is None:
        return None
    size = _MEMORY.fullmatch(limit.strip())
    if size is None or float(size["number"]) == 0:
        raise _KeyProblemError(f"memory_limit: {limit!r} is not a size; write one as in 4GB or 80%")
    return limit


def _threads(given: Mapping[str, Any]) -> int | None:
    threads = given.get("threads")
    if threads is None:
        return None
    is_whole = isinstance(threads, int) and not isinstance(threads, bool)
    if is_whole and 1 <= threads <= MOST_THREADS:
        return int(threads)
    raise _KeyProblemError(f"threads: must be a whole number from 1 to {MOST_THREADS}")


def _seconds(value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    if isinstance(value, str):
        return float(_parsed("lock_timeout", value).seconds)
    raise _KeyProblemError("lock_timeout: must be a number of seconds, or as in 60 seconds")


def _duration(value: object, default: Duration) -> Duration:
    return default if value is None else _parsed("push_retention", value)


def _parsed(key: str, value: object) -> Duration:
    try:
        return Duration.parse(value)
    except ValueError as error:
        raise _KeyProblemError(f"{key}: {error}") from None
