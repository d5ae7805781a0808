"""Every error that fstore raises.

    FstoreError
    ├── ProjectError                 the dbt project, its profile or fstore.yml cannot be used
    │   ├── MissingFileError         (FileNotFoundError)
    │   ├── ProfileError             (ValueError)
    │   └── UnknownTargetError       (KeyError)
    ├── ManifestError                target/manifest.json cannot be read (ValueError)
    ├── DeclarationError             meta.fstore is wrong; holds every Problem (ValueError)
    ├── UnknownNameError             no such view, feature, service, model or dataset (KeyError)
    ├── RequestError                 the question cannot be answered as asked (ValueError)
    │   ├── SpineError               entity_df cannot be used
    │   └── EntityRowsError          entity_rows cannot be used
    ├── RelationError                a relation is not what the manifest says
    │   ├── NotBuiltError            (LookupError)
    │   ├── MissingColumnError       (KeyError)
    │   └── WrongTypeError           (TypeError)
    ├── OnDemandError                the SQL of an on-demand view cannot be used (ValueError)
    ├── WarehouseError               the warehouse cannot be opened or read
    │   └── LockTimeoutError         (TimeoutError)
    ├── NotMaterializedError         what is asked for is not online (LookupError)
    │   ├── NothingPublishedError
    │   └── NoEarlierGenerationError
    ├── OnlineStoreError             the online store cannot be read or written (OSError)
    ├── ServerError                  the HTTP server cannot start as asked (ValueError)
    ├── OutputError                  a result cannot be written where it was asked for (OSError)
    └── QueryError                   the engine refused or failed a query (RuntimeError)
        └── OutOfMemoryError         memory_limit, or temp_directory's disk (MemoryError)

A constructor takes facts, keeps them as attributes and writes the sentence from them: what is
wrong, where, what is known, what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


def cannot_hold(who: str, column: str, kind: str) -> str:
    """Return what is said of a column for whose type there is no place, without the full stop."""
    return (
        f"{who} cannot hold the column {column}, which is {kind}: cast it to VARCHAR, in its model "
        "or in the spine, or use to_arrow"
    )


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known name that ``word`` most likely meant, or None where none is that like it.

    >>> nearest("totl", ["avg_delay", "total"])
    'total'
    """
    by_folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=likeness)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return `` Did you mean x?``, or an empty string where nothing is near."""
    guess = nearest(word, known, likeness)
    return f" Did you mean {guess}?" if guess else ""


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Return names joined for a sentence, cut at ``limit`` with the number left out.

    >>> listed(["a", "b"])
    'a, b'
    """
    if not names:
        return "nothing"
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


class FstoreError(Exception):
    """The root of every error of fstore. ``str(error)`` is the whole sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:  # KeyError would show its argument's repr
        return self.sentence

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by attributes: constructors take facts, not the sentence."""
        return (_restored, (type(self), self.sentence, dict(self.__dict__)))


def _restored(kind: type[FstoreError], sentence: str, facts: dict[str, object]) -> FstoreError:
    error = kind.__new__(kind, sentence)
    error.args = (sentence,)
    error.__dict__.update(facts)
    return error


class ProjectError(FstoreError):
    """The dbt project, its profile or fstore.yml cannot be used."""


class MissingFileError(ProjectError, FileNotFoundError):
    """A file that fstore reads is not there."""

    def __init__(self, what: str, path: Path | str, remedy: str) -> None:
        super().__init__(f"{what} is not at {path}. {remedy}")
        self.path = Path(path)


class ProfileError(ProjectError, ValueError):
    """profiles.yml, dbt_project.yml or fstore.yml holds something that fstore cannot use."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason


class UnknownTargetError(ProjectError, KeyError):
    """The profile has no such target."""

    def __init__(self, target: str, profile: str, path: Path | str, known: Sequence[str]) -> None:
        super().__init__(
            f"{target} is not a target of profile {profile} ({path}), which has: {listed(known)}."
            f"{did_you_mean(target, known)}"
        )
        self.target = target
        self.known = tuple(known)


class ManifestError(FstoreError, ValueError):
    """target/manifest.json is not one that fstore can read."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = Path(path)
        self.reason = reason


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a declaration: where it stands, and what to do."""

    file: str
    node: str
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.node}" + (f": {self.key}" if self.key else "")
        return f"{where}: {self.text}"


class DeclarationError(FstoreError, ValueError):
    """meta.fstore declarations are wrong; ``problems`` holds all of them, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        head = "1 declaration is" if count == 1 else f"{count} declarations are"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{head} wrong:\n{lines}")


class OnDemandError(FstoreError, ValueError):
    """The SQL of an on-demand view cannot be used; ``reasons`` says of each part of it why."""

    def __init__(self, view: str, path: str, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{view} ({path}): {'; '.join(self.reasons).rstrip('.')}.")
        self.view = view
        self.path = path


class UnknownNameError(FstoreError, KeyError):
    """A name that the project does not have.

    ``kind`` says of what: "a feature view", "a feature", "a feature service", ...
    """

    def __init__(
        self, name: str, kind: str, holder: str, known: Sequence[str], asked: str | None = None
    ) -> None:
        super().__init__(
            f"{name} is not {kind}. {holder} has: {listed(known)}."
            f"{did_you_mean(asked or name, known)}"
        )
        self.name = name
        self.kind = kind
        self.known = tuple(known)


class RequestError(FstoreError, ValueError):
    """The question cannot be answered as it was asked."""


class SpineError(RequestError):
    """entity_df (the spine) cannot be used."""


class EntityRowsError(RequestError):
    """entity_rows cannot be used."""


class RelationError(FstoreError):
    """A relation in the warehouse is not what the manifest says."""


class NotBuiltError(RelationError, LookupError):
    """A relation of the manifest is not in the warehouse."""

    def __init__(self, name: str, relation: str, reason: str, remedy: str) -> None:
        super().__init__(f"{name} ({relation}) {reason} {remedy}")
        self.name = name
        self.relation = relation


class MissingColumnError(RelationError, KeyError):
    """A declared or asked column is not in the built relation."""

    def __init__(self, view: str, path: str, column: str, role: str, known: Sequence[str]) -> None:
        super().__init__(
            f"{view} ({path}): {role} {column} is not a column of the built relation, which has: "
            f"{listed(known)}.{did_you_mean(column, known)} "
            f"If the model has it now, run: dbt run --select {view}"
        )
        self.view = view
        self.column = column
        self.known = tuple(known)


class WrongTypeError(RelationError, TypeError):
    """A column of a view has a type that cannot serve: a clock's that holds no time, a key's."""

    def __init__(
        self,
        view: str,
        path: str,
        column: str,
        role: str,
        given: str,
        reason: str = "holds no time: cast it to TIMESTAMP (or TIMESTAMPTZ, or DATE) in the model",
    ) -> None:
        super().__init__(f"{view} ({path}): {role} {column} is {given}, which {reason}.")
        self.view = view
        self.column = column
        self.given = given


class WarehouseError(FstoreError):
    """The warehouse cannot be opened or read."""


class LockTimeoutError(WarehouseError, TimeoutError):
    """Another process held a lock for longer than ``lock_timeout``."""

    def __init__(self, what: str, seconds: float, holder: str, remedy: str) -> None:
        super().__init__(f"{what} is locked: waited {seconds:g} s for {holder}. {remedy}")
        self.seconds = seconds
        self.holder = holder


class NotMaterializedError(FstoreError, LookupError):
    """What is asked for is not online."""


class NothingPublishedError(NotMaterializedError):
    """Nothing was ever published to the online store."""

    def __init__(self) -> None:
        super().__init__("Nothing is in the online store yet. Run: fstore materialize")


class NoEarlierGenerationError(NotMaterializedError):
    """There is no generation to go back to."""

    def __init__(self, generation: int) -> None:
        super().__init__(
            f"Generation {generation} has none before it to go back to. Run: fstore materialize"
        )
        self.generation = generation


class OnlineStoreError(FstoreError, OSError):
    """The online store, its files or its server, cannot be read or written."""


class ServerError(FstoreError, ValueError):
    """The HTTP server cannot start as asked."""


class OutputError(FstoreError, OSError):
    """A result cannot be written where it was asked for; what was there before stays."""

    def __init__(self, path: Path | str, reason: object) -> None:
        shown = str(path)
        if not shown or not shown.isprintable():
            shown = repr(shown)
        super().__init__(f"{shown} cannot be written: {reason}")
        self.path = Path(path)


class QueryError(FstoreError, RuntimeError):
    """The engine refused or failed a query; the engine's own words are in the sentence."""


class OutOfMemoryError(QueryError, MemoryError):
    """The work needs more memory than memory_limit, or more disk than temp_directory has.

    ``memory_limit`` is as DuckDB says it, which counts in MiB and GiB; ``temp_directory`` is empty
    where there is none. ``words`` are DuckDB's own, of which the first line is shown.
    """

    def __init__(
        self,
        what: str,
        memory_limit: str,
        threads: int,
        temp_directory: str,
        *,
        disk_full: bool = False,
        words: str = "",
    ) -> None:
        given = f"memory_limit, which is {memory_limit} (for {threads} threads)"
        if disk_full:
            sentence = (
                f"{what} needs more than {given}, and the rest does not fit into temp_directory, "
                f"which is {temp_directory}. Choose a temp_directory with more room, or a higher "
                "memory_limit"
            )
        elif temp_directory:
            sentence = (
                f"{what} needs more than {given}, though all that may go to temp_directory "
                f"({temp_directory}) does. Choose a higher memory_limit, or fewer threads"
            )
        else:
            sentence = (
                f"{what} needs more than {given}, and there is no temp_directory for the rest. "
                "Choose a temp_directory that can be written to, or a higher memory_limit"
            )
        sentence += ": in fstore.yml, or as options of the command."
        first = words.strip().partition("\n")[0]
        super().__init__(sentence + (f" DuckDB: {first}" if first else ""))
        self.memory_limit = memory_limit
        self.threads = threads
        self.temp_directory = temp_directory
        self.disk_full = disk_full


class FstoreWarning(UserWarning):
    """Something that a person should look at; the work was done all the same."""
