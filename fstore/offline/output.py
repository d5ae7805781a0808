"""The file that a training set is written to: whole, or what was there before stays."""

from __future__ import annotations

import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fstore.disk import sync
from fstore.errors import OutputError
from fstore.frames import handed_over, with_statistics

# Both s3://bucket/a.parquet and what a Path makes of it, which has one slash.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_LETTERS = 50  # of the name, in the name of the file that is written first: all of it is 255 bytes


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a file to write to, which takes the place of ``path`` after the block.

    Raises OutputError before it where a file cannot be written there. A symlink stays, and what it
    leads to is replaced, by a file that the same people may read.
    """
    text = os.fspath(path)
    with _naming(text):
        target = _target(text)
        partial = target.with_name(f".{target.name[:_LETTERS]}.{uuid.uuid4().hex}.partial")
        partial.touch(exist_ok=False)
    try:
        with _naming(text):
            if target.exists():
                shutil.copymode(target, partial)  # before there is anything in it
        yield partial
        with _naming(text):
            sync(partial)  # else a loss of power could leave the name to a file without content
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Turn the errors of the disk inside the block into OutputError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(path, error) from error


def write_batches(
    path: Path,
    batches: Iterator[pa.RecordBatch],
    empty: Callable[[], pa.Table],
    types: Mapping[str, str],
) -> None:
    """Write batches to a Parquet file; ``empty`` gives the table where there are none.

    RequestError, with what ``types`` says of the column, where Parquet lacks the type of one.
    """
    first = next(batches, None)
    table = empty() if first is None else pa.Table.from_batches([first])
    handed_over(table.slice(0, 0), _try_to_write, "Parquet", types)
    statistics = with_statistics(table.schema)
    with (
        path.open("wb") as file,
        pq.ParquetWriter(file, table.schema, write_statistics=statistics) as writer,
    ):
        while first is not None:
            writer.write_batch(first)
            first = next(batches, None)


def _try_to_write(table: pa.Table) -> None:
    pq.write_table(table, pa.BufferOutputStream())


def _target(path: str) -> Path:
    """Return where the file itself is to be; OutputError where none can be."""
    if not path:
        raise OutputError(path, "the path is empty: name a file.")
    if "\0" in path or not _is_utf8(path):
        raise OutputError(path, "no file has such a name: it is no text of UTF-8 without a NUL.")
    target = Path(os.path.realpath(path))
    try:
        there = Path(path).stat()  # what a symlink leads to
    except FileNotFoundError:
        if target.parent.is_dir():
            return target
        if _ADDRESS.match(path):
            reason = "it is an address, and what is written is a file: write one, and copy it there"
        else:
            reason = f"there is no folder {target.parent}"
        raise OutputError(path, f"{reason}.") from None
    if stat.S_ISDIR(there.st_mode):
        raise OutputError(path, "it is a folder: name a file in it.")
    if not stat.S_ISREG(there.st_mode):
        raise OutputError(path, "it is a device, a pipe or a socket, and no file: name a file.")
    if not os.access(target, os.W_OK):
        raise OutputError(path, "the file that is there is read-only.")
    return target


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
