"""Python's collector of garbage, kept waiting while many objects are made and none is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def waiting() -> Iterator[None]:
    """Keep the collector from running for the block, where it runs at all.

    It would look at everything that is loaded and made, again and again as that grows.
    """
    runs = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if runs:
            gc.enable()
