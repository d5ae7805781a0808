"""A counter beside the generations that every process sees in its memory: has anything changed?

Whoever changes what readers see makes it odd before and even after, under the lock of the push log.
A reader that has seen an even number knows, while that stands, that nothing changed: it need not
ask the disk. A number that stays odd, left by a writer that was killed, only makes readers ask.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOTICES = "NOTICES"
_SIZE = 8


@contextmanager
def noticed(folder: Path) -> Iterator[None]:
    """Tell readers of what the block changes. Only the holder of the log's lock may."""
    descriptor = os.open(folder / NOTICES, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.fstat(descriptor).st_size < _SIZE:
            os.pwrite(descriptor, bytes(_SIZE), 0)  # real bytes, which memory can stand for
        with mmap.mmap(descriptor, _SIZE) as content, memoryview(content).cast("Q") as counter:
            changing = counter[0] | 1
            counter[0] = changing
            try:
                yield
            finally:
                counter[0] = (changing + 1) % 2**64
    finally:
        os.close(descriptor)


def counter_of(folder: Path) -> memoryview | None:
    """Return the counter, as its only item; None where there is none yet."""
    try:
        with (folder / NOTICES).open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), _SIZE, prot=mmap.PROT_READ)).cast("Q")
    except (OSError, ValueError):
        return None
