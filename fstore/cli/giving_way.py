"""The priority of commands that work in the background, beside those who serve on the same host."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from fstore.cli.options import Command

NICENESS = 10  # a ninth of the processor where it is short, all of it where it is not
_OF_SESSION = Path("/proc/self/autogroup")


def gives_way(command: Command) -> Command:
    """Have a command lower the priority of its process before anything else; of the command line.

    A library must not: who has given priority away cannot take it back.
    """

    @functools.wraps(command)
    def background(*args: Any, **options: Any) -> Any:
        give_way()
        return command(*args, **options)

    return background  # type: ignore[return-value]


def give_way() -> None:
    """Let other processes go first; a niceness that was given from outside stays as it is."""
    if not hasattr(os, "nice"):  # not on this system
        return
    with suppress(OSError):  # not for this process
        if os.nice(0) == 0:
            os.nice(NICENESS)
            if os.getsid(0) == os.getpid():
                _lower_session()


def _lower_session() -> None:
    """Lower the session, which is this process's own.

    Linux may divide processors among sessions first, whatever the niceness of what is in them; cron
    and systemd start each job in one of its own.
    """
    with suppress(OSError):
        _OF_SESSION.write_text(str(NICENESS), encoding="ascii")
