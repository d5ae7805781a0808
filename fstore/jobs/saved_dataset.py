"""Training sets that are kept: the rows in Parquet, and beside them how they were made."""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from fstore.disk import sync, write_durably
from fstore.errors import (
    FstoreError,
    MissingFileError,
    OutputError,
    ProjectError,
    RequestError,
    UnknownNameError,
)
from fstore.frames import arrow_to_pandas, handed_over
from fstore.offline.job import RetrievalJob
from fstore.online.lock import locked
from fstore.project import Project

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class SavedDataset:
    """A training set that was written once and does not change.

    ``sql`` is the text that made it; ``created_at`` is aware, in UTC; ``hugeints`` names the
    columns that are integers of 128 bits, which Parquet holds as decimals.
    """

    name: str
    path: Path
    rows: int
    columns: tuple[str, ...]
    created_at: datetime
    sql: str
    hugeints: tuple[str, ...] = ()

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table; MissingFileError where somebody removed them."""
        try:
            return pq.read_table(self.path)
        except FileNotFoundError:
            remedy = f"Remove {self.path.with_suffix('.json').name} beside it and make it again."
            raise MissingFileError(f"Saved dataset {self.name}", self.path, remedy) from None
        except (OSError, pa.ArrowException) as error:
            raise ProjectError(f"{self.path} cannot be read: {error}") from error

    def to_df(self) -> pd.DataFrame:
        """Return the rows as a pandas frame, of the types that RetrievalJob.to_df gives."""
        convert = partial(arrow_to_pandas, hugeints=self.hugeints)
        return handed_over(self.to_arrow(), convert, "to_df", {})


def create_saved_dataset(
    project: Project, name: str, job: RetrievalJob, now: datetime
) -> SavedDataset:
    """Run the job and keep its rows under ``name``; RequestError where the name is taken.

    Of two that make one name at once, the first to finish keeps it.
    """
    if not _NAME.fullmatch(str(name)):
        raise RequestError(
            f"{name!r} is not a name: use up to 100 letters, digits, _, . and -, not . at first."
        )
    folder = _folder(project)
    note, path = folder / f"{name}.json", folder / f"{name}.parquet"
    _refuse_taken(name, note)
    own = f".{name}.{os.getpid()}.{threading.get_ident()}"
    rows, facts = folder / f"{own}.parquet", folder / f"{own}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        job.to_parquet(rows)
        write_durably(facts, json.dumps(_facts(job, rows, now), indent=2).encode())
        with locked(folder / ".lock", project.settings.lock_timeout):
            _refuse_taken(name, note)
            rows.replace(path)
            sync(folder)  # a note is of rows that are there
            facts.replace(note)
            sync(folder)
    except FstoreError:
        raise
    except OSError as error:
        raise OutputError(note, error) from error
    finally:
        for left in rows, facts:
            with suppress(OSError):
                left.unlink()
    return get_saved_dataset(project, name)


def _refuse_taken(name: str, note: Path) -> None:
    if note.exists():
        raise RequestError(f"Saved dataset {name} exists already ({note}): choose another name.")


def _facts(job: RetrievalJob, rows: Path, now: datetime) -> dict[str, object]:
    metadata = pq.read_metadata(rows)
    return {
        "rows": metadata.num_rows,
        "columns": metadata.schema.to_arrow_schema().names,
        "hugeints": sorted(job.hugeints),
        "created_at": now.isoformat(),
        "sql": job.to_sql(),
    }


def get_saved_dataset(project: Project, name: str) -> SavedDataset:
    """Return the dataset kept under ``name``; UnknownNameError where there is none."""
    known = _names(project)
    if name not in known:
        raise UnknownNameError(str(name), "a saved dataset", f"Target {project.target}", known)
    note = _folder(project) / f"{name}.json"
    try:
        facts = json.loads(note.read_text(encoding="utf-8"))
        return SavedDataset(
            name=name,
            path=note.with_name(f"{name}.parquet"),
            rows=facts["rows"],
            columns=tuple(facts["columns"]),
            created_at=datetime.fromisoformat(facts["created_at"]),
            sql=facts["sql"],
            hugeints=tuple(facts.get("hugeints", ())),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProjectError(
            f"{note} is no note of a saved dataset ({type(error).__name__}: {error}): remove it, "
            "and make the dataset again."
        ) from error


def list_saved_datasets(project: Project) -> tuple[SavedDataset, ...]:
    """Return every dataset of the target, in order of name."""
    return tuple(get_saved_dataset(project, name) for name in _names(project))


def _names(project: Project) -> list[str]:
    return sorted(note.stem for note in _folder(project).glob("*.json"))


def _folder(project: Project) -> Path:
    return project.state_directory / "datasets"
