"""Starts the HTTP server: checks what can be checked, then leaves the processes to Granian.

Signals: TERM and INT stop, after the requests in flight; HUP starts every process anew, one after
the other, without a pause, so that fstore.yml and the keys are read again.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces, Loops
from granian.log import LogLevels

from fstore.errors import ServerError
from fstore.project.serving import ServerProblemError, Serving
from fstore.server.access import LOOPBACK, Access

APPLICATION = "fstore.server.worker:application"  # imported by each process, not here
OPENED = "FSTORE_SERVED_STORE"  # the environment variable that says how the store is opened
_SECONDS_TO_STOP = 30


def serve(
    opened: Mapping[str, Any],
    serving: Serving,
    workers: int,
    ready: Callable[[str], None],
    env: Mapping[str, str] = os.environ,
) -> None:
    """Serve until a signal stops it. ``opened`` are the arguments of each process's FeatureStore.

    ``ready`` is called with the URL once the address is known to be free. Raises ServerError.
    """
    try:
        access = Access.of(serving, env)
    except ServerProblemError as problem:
        raise ServerError(f"server.{problem.key}: {problem}.") from None
    if not access.keys and serving.host not in LOOPBACK:
        raise ServerError(
            f"The server would listen on {serving.host} for anybody who can reach it: no key is "
            "set. Set FSTORE_READ_KEY and FSTORE_WRITE_KEY in the environment, or server.keys in "
            "fstore.yml; or let it listen on 127.0.0.1."
        )
    _check_free(serving)
    with tempfile.TemporaryDirectory(prefix="fstore-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(folder))
        os.environ[OPENED] = json.dumps(dict(opened))
        shown = f"[{serving.host}]" if ":" in serving.host else serving.host
        ready(f"http://{shown}:{serving.port}")
        Granian(
            APPLICATION,
            address=serving.host,
            port=serving.port,
            interface=Interfaces.RSGI,
            workers=workers,
            loop=Loops.uvloop,
            factory=True,
            websockets=False,
            log_level=LogLevels.warning,
            respawn_failed_workers=True,
            workers_kill_timeout=_SECONDS_TO_STOP,
        ).serve()


def _check_free(serving: Serving) -> None:
    try:
        (family, *_, address), *_ = socket.getaddrinfo(
            serving.host, serving.port, type=socket.SOCK_STREAM
        )
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise ServerError(
            f"The server cannot listen on {serving.host}:{serving.port}: "
            f"{error.strerror or error}. Choose another --host or --port."
        ) from None
