"""One node's ``meta.fstore``, read key by key: every problem is noted, none stops the reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fstore.definitions import Duration, Relation, SnapshotColumns
from fstore.errors import Problem, did_you_mean, listed


@dataclass(frozen=True)
class Declared:
    """A node of the project that carries ``meta.fstore``, whatever its kind."""

    unique_id: str
    kind: str  # model, snapshot, exposure, or another of dbt's resource types
    name: str
    file: str  # the SQL
    declared_in: str  # the YAML, or the SQL where config() says it
    meta: Any
    relation: Relation | None = None
    materialized: str = ""
    version: str | None = None
    is_latest: bool = True
    event_time: str | None = None  # dbt's own config
    snapshot: SnapshotColumns | None = None
    exposure_type: str = ""
    depends_on: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    tests: tuple[str, ...] = ()  # dbt's data tests and unit tests on it
    sql: str | None = None  # without Jinja; None where it has some, and dbt has not compiled it


class Reader:
    """Reads one node's ``meta.fstore``, noting every problem; ``None`` stands for a bad value."""

    def __init__(self, node: Declared, problems: list[Problem]) -> None:
        self.node = node
        self.meta: Mapping[str, Any] = node.meta if isinstance(node.meta, dict) else {}
        self.problems = problems

    def problem(self, key: str, text: str) -> None:
        where = f"meta.fstore.{key}" if key else "meta.fstore"
        self.problems.append(Problem(self.node.declared_in, self.node.name, where, text))

    def known_keys(
        self, known: Sequence[str], within: str = "", entry: Mapping[Any, Any] | None = None
    ) -> None:
        """Note each key that is not known: of ``entry``, which stands at ``within``, or of all."""
        for key in self.meta if entry is None else entry:
            if key not in known:
                self.problem(
                    f"{within}.{key}" if within else str(key),
                    f"is not a key here, which takes: {listed(known)}."
                    f"{did_you_mean(str(key), known)}",
                )

    def text(self, key: str) -> str | None:
        value = self.meta.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        self.problem(key, f"must be the name of a column, not {value!r}")
        return None

    def truth(self, key: str, default: bool) -> bool:
        value = self.meta.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.problem(key, f"must be true or false, not {value!r}")
        return default

    def names(self, key: str) -> tuple[str, ...] | None:
        value = self.meta.get(key)
        if value is None:
            return None
        if isinstance(value, list) and value and all(isinstance(it, str) and it for it in value):
            if again := repeated(value):
                self.problem(key, f"names a column twice: {listed(again)}")
            return tuple(value)
        self.problem(key, f"must be a list of column names, not {value!r}")
        return None

    def duration(self, key: str) -> Duration | None:
        value = self.meta.get(key)
        if value is None:
            return None
        try:
            return Duration.parse(value)
        except ValueError as error:
            self.problem(key, str(error))
            return None

    def instant(self, key: str) -> datetime | None:
        value = self.meta.get(key)
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError):
            self.problem(key, f"must be a time such as 2013-06-01 12:00:00+00:00, not {value!r}")
            return None


def repeated(names: Sequence[str]) -> list[str]:
    """Return the names that stand there again, whatever their case."""
    folded = [name.casefold() for name in names]
    return [name for place, name in enumerate(names) if folded[place] in folded[:place]]
