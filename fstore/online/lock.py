"""One writer at a time: a lock on a file, whose holder can be named to those who wait."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fstore.errors import LockTimeoutError

_FIRST_WAIT, _LONGEST_WAIT = 0.001, 0.05  # seconds between tries: short, for what is held shortly


@contextmanager
def locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of ``path`` for the block, waiting up to ``timeout`` seconds for it.

    The lock goes with the process that holds it, however that ends. Raises LockTimeoutError,
    which names the holder, and OSError where the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(descriptor, path, timeout)
        _write(descriptor, this_process())
        try:
            yield
        finally:
            _write(descriptor, {})
    finally:
        os.close(descriptor)  # and the lock with it


def _acquire(descriptor: int, path: Path, timeout: float) -> None:
    deadline, wait = time.monotonic() + timeout, _FIRST_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockTimeoutError(
                    f"The online store ({path.parent})",
                    timeout,
                    _holder(descriptor),
                    "Let it finish, or set a longer lock_timeout in fstore.yml.",
                ) from None
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        else:
            return


def this_process() -> dict[str, object]:
    """Return what is told of this process to those who wait for it."""
    return {
        "pid": os.getpid(),
        "command": " ".join([Path(sys.argv[0]).name or "python", *sys.argv[1:]]),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write(descriptor: int, holder: dict[str, object]) -> None:
    """Write who holds the lock; it informs only, so a full disk does not matter."""
    try:
        content = json.dumps(holder).encode()
        os.pwrite(
            descriptor, content.ljust(os.fstat(descriptor).st_size), 0
        )  # JSON may end in blanks
    except OSError:
        return


def _holder(descriptor: int) -> str:
    return described(os.pread(descriptor, 1 << 16, 0))


def described(holder: bytes | str) -> str:
    """Return who holds a lock in words, from the JSON of :func:`this_process`."""
    try:
        found = json.loads(holder)
        return f"{found['command']} (PID {found['pid']}, since {found['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
