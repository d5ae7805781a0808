"""Bytes on disk: written in full, and waited for.

Belongs to no room: what is published, pushed, written and kept is all to outlive a loss of power.
"""

from __future__ import annotations

import os
from pathlib import Path


def put(descriptor: int, content: bytes | memoryview, at: int) -> None:
    """Write all of ``content`` at an offset of an open file."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Wait until the file, or the folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
