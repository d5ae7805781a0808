"""Starts the HTTP server: its sockets, its processes, and what signals do to them.

The sockets belong to the process that starts (it answers nothing itself) and are handed to the
processes that do, so that one takes the place of another without a caller being turned away:

- TERM and INT stop, after the requests in flight; a second one stops at once.
- HUP reads fstore.yml, and where that is right starts every process anew: each old one is told to
  stop when the new one is ready. Where it is wrong, all stays as it was.
- A process that dies is replaced; where it dies again and again, after a growing pause.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fstore.errors import FstoreError, ServerError
from fstore.project import load_project
from fstore.project.serving import ServerProblemError, Serving
from fstore.server.access import LOOPBACK, Access
from fstore.server.processes import Processes, StartError, tell
from fstore.server.signals import Signals


def serve(
    opened: Mapping[str, Any],
    serving: Serving,
    workers: int,
    ready: Callable[[str], None],
    env: Mapping[str, str] = os.environ,
) -> None:
    """Serve until a signal stops it. ``opened`` are the arguments of each process's FeatureStore.

    ``ready`` is called with the URL once every process answers. Raises ServerError.
    """
    _check_keys(serving, env)
    with ExitStack() as stack:
        sockets = [stack.enter_context(each) for each in _listen(serving, workers)]
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fstore-metrics-"))
        signals = stack.enter_context(Signals())
        counting = {"PROMETHEUS_MULTIPROC_DIR": str(Path(folder))}
        processes = Processes(sockets, dict(opened), {**env, **counting}, serving.limits.seconds)
        stack.callback(processes.kill)
        try:
            processes.start(hurry=signals.says_stop)
        except StartError as error:
            raise ServerError(f"The server does not start: {error}") from None
        host, port = sockets[0].getsockname()[:2]
        if not signals.says_stop():
            ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        while not signals.says_stop():
            if signals.wait(0.5) == signal.SIGHUP:
                _reload(processes, opened, serving, env, signals)
            processes.look_after()
        for each in sockets:
            each.close()  # whoever comes from now on is told so at once
        processes.stop(hurry=signals.says_hurry)


def _reload(
    processes: Processes,
    opened: Mapping[str, Any],
    before: Serving,
    env: Mapping[str, str],
    signals: Signals,
) -> None:
    try:
        project = load_project(opened["project_dir"], opened["target"], opened["profiles_dir"], env)
        now = project.settings.serving
        _check_keys(Serving(before.host, before.port, now.keys, now.limits), env)
        processes.replace(now.limits.seconds, hurry=signals.says_stop)
    except (FstoreError, StartError) as error:
        tell("error", f"Not reloaded, all stays as it was: {error}")
    else:
        tell("info", "Reloaded.")


def _check_keys(serving: Serving, env: Mapping[str, str]) -> None:
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


def _listen(serving: Serving, count: int) -> list[socket.socket]:
    """Return a socket for each process: the kernel spreads callers over them."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(
            serving.host, serving.port, type=socket.SOCK_STREAM
        )
        with _bound(family, address, shared=False) as trial:  # nobody else has the port, as yet
            address = trial.getsockname()
        found = [_bound(family, address, shared=count > 1) for _ in range(count)]
        for each in found:
            each.listen(2048)
    except OSError as error:
        raise ServerError(
            f"The server cannot listen on {serving.host}:{serving.port}: "
            f"{error.strerror or error}. Choose another --host or --port."
        ) from None
    return found


def _bound(family: int, address: Any, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
