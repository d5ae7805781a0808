"""The ``server`` section of fstore.yml: where the HTTP server listens, who may ask, how much.

server:
  host: 127.0.0.1
  port: 6566
  keys:
    - {name: model, key: {env: MODEL_KEY}, rights: [read]}
    - {name: stream, key: {env: STREAM_KEY}, rights: [read, write]}
  limits: {body: 16MB, rows: 10000, seconds: 30}

Beside fstore.yml, the environment may hold a key for reading and one for both:
FSTORE_READ_KEY and FSTORE_WRITE_KEY.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RIGHTS = ("read", "write")
SHORTEST_KEY = 16  # characters
LONGEST = 86_400  # seconds that a request may be given: a day
FROM_ENVIRONMENT = {"FSTORE_READ_KEY": ("read",), "FSTORE_WRITE_KEY": ("read", "write")}
_SIZE = re.compile(r"(?P<number>\d+)\s*(?P<unit>[KMG]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


class ServerProblemError(ValueError):
    """A key of the section is wrong: its name within the section, and what is wrong with it."""

    def __init__(self, key: str, text: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.key = key
        self.known = known  # what could have been meant


@dataclass(frozen=True)
class Key:
    """A bearer key: who has it, the environment variable that holds it, and what it allows."""

    name: str
    variable: str
    rights: frozenset[str]

    def secret(self, env: Mapping[str, str]) -> bytes:
        """Return the key itself; ServerProblemError where it is not set or too easy to guess."""
        where = f"keys ({self.name})"
        if self.variable not in env:
            raise ServerProblemError(where, f"environment variable {self.variable} is not set")
        key = env[self.variable]
        if len(key) < SHORTEST_KEY or not key.isascii() or key != key.strip():
            raise ServerProblemError(
                where,
                f"{self.variable} must hold at least {SHORTEST_KEY} ASCII characters, with no "
                "blank around them",
            )
        return key.encode()


@dataclass(frozen=True)
class Limits:
    """How much one request may ask: bytes of its body, rows, and seconds for all of it."""

    body: int = 16_000_000
    rows: int = 10_000
    seconds: float = 30.0


@dataclass(frozen=True)
class Serving:
    """Where the server listens, and for whom. Without keys anybody on this host may ask."""

    host: str = "127.0.0.1"
    port: int = 6566
    keys: tuple[Key, ...] = ()
    limits: Limits = Limits()


def read_serving(section: Mapping[str, Any], env: Mapping[str, str]) -> Serving:
    """Return what the section says, or the defaults; ServerProblemError names what is wrong."""
    _only_known(section, ("host", "port", "keys", "limits"), "")
    host, port = section.get("host", Serving.host), section.get("port", Serving.port)
    if not isinstance(host, str) or not host:
        raise ServerProblemError("host", "must be text")
    if not _is_whole(port) or not 0 <= port <= 65535:
        raise ServerProblemError("port", "must be a whole number up to 65535")
    keys = (*_keys(section.get("keys")), *_environment_keys(env))
    return Serving(host, port, keys, _limits(section.get("limits")))


def _keys(given: object) -> tuple[Key, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise ServerProblemError(
            "keys", "must be a list of {name: ..., key: {env: NAME}, rights: [read, write]}"
        )
    return tuple(_key(each, f"keys[{place}]") for place, each in enumerate(given))


def _key(given: object, where: str) -> Key:
    if not isinstance(given, dict):
        raise ServerProblemError(where, "must be {name: ..., key: {env: NAME}, rights: [read]}")
    _only_known(given, ("name", "key", "rights"), f"{where}.")
    name, key, rights = given.get("name"), given.get("key"), given.get("rights", ["read"])
    if not isinstance(name, str) or not name:
        raise ServerProblemError(f"{where}.name", "must be text: it stands in the log")
    if not isinstance(key, dict) or list(key) != ["env"] or not isinstance(key["env"], str):
        raise ServerProblemError(
            f"{where}.key", "write {env: NAME}, an environment variable that holds it"
        )
    if not isinstance(rights, list) or not rights or not set(map(str, rights)) <= set(RIGHTS):
        raise ServerProblemError(f"{where}.rights", "must be a list of read, write")
    return Key(name, key["env"], frozenset(rights))


def _environment_keys(env: Mapping[str, str]) -> tuple[Key, ...]:
    return tuple(
        Key(variable, variable, frozenset(rights))
        for variable, rights in FROM_ENVIRONMENT.items()
        if variable in env
    )


def _limits(given: object) -> Limits:
    if given is None:
        return Limits()
    if not isinstance(given, dict):
        raise ServerProblemError("limits", "must hold keys and values: body, rows, seconds")
    _only_known(given, ("body", "rows", "seconds"), "limits.")
    rows, seconds = given.get("rows", Limits.rows), given.get("seconds", Limits.seconds)
    if not _is_whole(rows) or rows < 1:
        raise ServerProblemError("limits.rows", "must be a whole number of at least 1")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds <= LONGEST:
        raise ServerProblemError("limits.seconds", f"must be a number above 0, up to {LONGEST}")
    return Limits(_bytes(given.get("body", Limits.body)), rows, float(seconds))


def _bytes(size: object) -> int:
    found = _SIZE.fullmatch(str(size).strip()) if not isinstance(size, bool) else None
    if found is None or int(found["number"]) == 0:
        raise ServerProblemError("limits.body", f"{size!r} is not a size; write one as in 16MB")
    return int(found["number"]) * _UNITS[found["unit"].upper()]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _only_known(given: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    for key in given:
        if key not in known:
            raise ServerProblemError(f"{prefix}{key}", "is not a key of fstore.yml", known)
