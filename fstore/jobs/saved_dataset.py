"""Training sets that are kept: the rows in Parquet, and beside them how they were made."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from fstore.errors import OutputError, RequestError, UnknownNameError
from fstore.frames import arrow_to_pandas
from fstore.offline.job import RetrievalJob
from fstore.project import Project

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class SavedDataset:
    """A training set that was written once and does not change.

    ``sql`` is the text that made it; ``created_at`` is aware, in UTC.
    """

    name: str
    path: Path
    rows: int
    columns: tuple[str, ...]
    created_at: datetime
    sql: str

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        return pq.read_table(self.path)

    def to_df(self) -> pd.DataFrame:
        """Return the rows as a pandas frame, of the types that RetrievalJob.to_df gives."""
        return arrow_to_pandas(self.to_arrow())


def create_saved_dataset(
    project: Project, name: str, job: RetrievalJob, now: datetime
) -> SavedDataset:
    """Run the job and keep its rows under ``name``; RequestError where the name is taken."""
    if not _NAME.fullmatch(name):
        raise RequestError(f"{name!r} is not a name: use letters, digits, _, . and -.")
    folder = _folder(project)
    note = folder / f"{name}.json"
    if note.exists():
        raise RequestError(f"Saved dataset {name} exists already ({note}): choose another name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, error) from error
    path = job.to_parquet(folder / f"{name}.parquet")
    metadata = pq.read_metadata(path)
    facts = {
        "rows": metadata.num_rows,
        "columns": metadata.schema.to_arrow_schema().names,
        "created_at": now.isoformat(),
        "sql": job.to_sql(),
    }
    partial = note.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(facts, indent=2), encoding="utf-8")
        partial.replace(note)
    except OSError as error:
        partial.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise OutputError(note, error) from error
    return get_saved_dataset(project, name)


def get_saved_dataset(project: Project, name: str) -> SavedDataset:
    """Return the dataset kept under ``name``; UnknownNameError where there is none."""
    note = _folder(project) / f"{name}.json"
    if not _NAME.fullmatch(name) or not note.is_file():
        known = [dataset.name for dataset in list_saved_datasets(project)]
        raise UnknownNameError(name, "a saved dataset", f"Target {project.target}", known)
    facts = json.loads(note.read_text(encoding="utf-8"))
    return SavedDataset(
        name=name,
        path=note.with_name(f"{name}.parquet"),
        rows=facts["rows"],
        columns=tuple(facts["columns"]),
        created_at=datetime.fromisoformat(facts["created_at"]),
        sql=facts["sql"],
    )


def list_saved_datasets(project: Project) -> tuple[SavedDataset, ...]:
    """Return every dataset of the target, in order of name."""
    names = sorted(note.stem for note in _folder(project).glob("*.json"))
    return tuple(get_saved_dataset(project, name) for name in names)


def _folder(project: Project) -> Path:
    return project.state_directory / "datasets"
