"""The file that a training set is written to: whole, or what was there before stays."""

from __future__ import annotations

import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fstore.errors import OutputError

# Both s3://bucket/a.parquet and what a Path makes of it, which has one slash.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_LETTERS = 50  # of the name, in the name of the file that is written first: all of it is 255 bytes


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a file to write to, which takes the place of ``path`` after the block.

    Raises OutputError before it where a file cannot be written there. A symlink stays, and what it
    leads to is replaced.
    """
    text = os.fspath(path)
    try:
        target = _target(text)
        partial = target.with_name(f".{target.name[:_LETTERS]}.{uuid.uuid4().hex}.partial")
        partial.touch(exist_ok=False)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(text, error) from error
    try:
        yield partial
        try:
            partial.replace(target)
        except OSError as error:
            raise OutputError(text, error) from error
    finally:
        partial.unlink(missing_ok=True)


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
