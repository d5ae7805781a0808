"""One process of the server: takes connections on the socket that it was given, until told to stop.

Its words are JSON: {"store": {...}, "listener": 5, "ready": 6, "alive": 7}. The numbers are those
of inherited files: the listening socket; where to say that it is ready, or why not; and what ends
when the process that started it does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

import uvloop

from fstore.errors import FstoreError
from fstore.project.serving import ServerProblemError
from fstore.server.access import Access
from fstore.server.app import App
from fstore.server.http import Connection
from fstore.server.hub import Hub
from fstore.store import FeatureStore

IDLE_SECONDS = 2.0  # how long a connection may be idle, before it is closed without an answer
BACKLOG = 2048
READY = b"ready"


def main(words: str) -> None:
    """Serve until SIGTERM, or until the starting process is gone."""
    given: dict[str, Any] = json.loads(words)
    try:
        store = FeatureStore(**given["store"])
        settings = store.project.settings
        access = Access.of(settings.serving, os.environ)
        prepare(store)
    except (FstoreError, ServerProblemError) as error:
        os.write(given["ready"], str(error).encode())
        sys.exit(1)
    limits = settings.serving.limits
    reads_block = settings.online_store.type != "duckdb"
    app = App(store, access, limits, reads_block=reads_block)
    hub = Hub(app, app.refuse, limits.body, limits.seconds)
    gc.collect()
    gc.freeze()  # what is there now stays: it need not be looked at again
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(hub, given["listener"], given["ready"], given["alive"]))
        app.journal.write()
        sys.stderr.flush()
        os._exit(0)  # a thread that still waits for a lock or a server keeps nobody waiting


def prepare(store: FeatureStore) -> None:
    """Ask once for every view, of no row: what a request needs is then loaded and open."""
    store.prepare()
    found = store.status()
    for view in found.views if found else ():
        with suppress(FstoreError):
            store.get_online_features([view.view], [])


async def _serve(hub: Hub, listener: int, ready: int, alive: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(alive, stop.set)
    watching = asyncio.ensure_future(hub.watch())
    await asyncio.sleep(0)
    sock = socket.socket(fileno=listener)
    last = sock.dup()
    server = await loop.create_server(lambda: Connection(hub), sock=sock, backlog=BACKLOG)
    with suppress(BrokenPipeError):  # nobody waits for it any more: `alive` says so, too
        os.write(ready, READY)
    os.close(ready)
    await stop.wait()
    loop.remove_reader(alive)
    server.close()
    await _take_the_last(hub, last)
    await hub.close(IDLE_SECONDS, hub.seconds + IDLE_SECONDS)
    watching.cancel()


async def _take_the_last(hub: Hub, listener: socket.socket) -> None:
    """Take the callers that the kernel has let in already, and close: the others are refused."""
    loop, came = asyncio.get_running_loop(), []
    listener.setblocking(False)
    with listener, suppress(BlockingIOError):
        while True:
            came.append(listener.accept()[0])
    for each in came:
        each.setblocking(False)
        with suppress(OSError):  # gone again
            await loop.connect_accepted_socket(lambda: Connection(hub), each)
