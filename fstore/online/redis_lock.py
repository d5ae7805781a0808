"""One writer at a time on a Redis server: a name that expires unless its holder renews it."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis

from fstore.errors import LockTimeoutError
from fstore.online.lock import described, this_process
from fstore.online.redis_server import RedisServer

EXPIRES = 15.0  # seconds after which the lock of a process that died is free
_BETWEEN_TRIES = 0.05


@contextmanager
def held_lock(server: RedisServer, timeout: float) -> Iterator[str]:
    """Hold the writer's lock for the block; give the value that tells this holder from others.

    A thread renews it. Whoever writes must still check it in the same step: a process may stand
    still for longer than the lock lasts. Raises LockTimeoutError, which names the holder.
    """
    name = server.name("lock")
    about = this_process() | {"host": socket.gethostname(), "token": uuid.uuid4().hex}
    holder = json.dumps(about)
    with server.errors("cannot be written"):
        _acquire(server, name, holder, timeout)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(server, name, holder, ended), daemon=True)
    renewing.start()
    try:
        yield holder
    finally:
        ended.set()
        renewing.join()
        with suppress(redis.RedisError):  # it expires
            server.renew(keys=[name], args=[holder, 0])


def _acquire(server: RedisServer, name: str, holder: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not server.client.set(name, holder, nx=True, px=int(EXPIRES * 1000)):
        if time.monotonic() >= deadline:
            other: bytes | None = server.client.get(name)
            raise LockTimeoutError(
                f"The online store ({server.where})",
                timeout,
                described(other or b""),
                "Let it finish, or set a longer lock_timeout in fstore.yml.",
            )
        time.sleep(_BETWEEN_TRIES)


def _renew(server: RedisServer, name: str, holder: str, ended: threading.Event) -> None:
    while not ended.wait(EXPIRES / 5):
        with suppress(redis.RedisError):  # once it is lost, nothing is published
            server.renew(keys=[name], args=[holder, int(EXPIRES * 1000)])
