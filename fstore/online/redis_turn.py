"""A writer's turn on a Redis server: what is current, how that changes, what is left over."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import redis

from fstore.errors import OnlineStoreError
from fstore.online.generation import Catalog, catalogs_of, current_document
from fstore.online.redis_server import DONE, LOCKED, RedisServer

_GATE = 30_000  # milliseconds that pushes wait for a writer that died while it swapped


@dataclass
class Turn:
    """What the holder of the lock does to the names of all."""

    server: RedisServer
    holder: str  # the lock's value
    number: int

    def __post_init__(self) -> None:
        self.run = self._run()

    def _run(self) -> str:
        """Return what tells a server that was started again: it may have lost the last second."""
        return str(self.server.client.info("server")["run_id"])

    def catalogs(self) -> tuple[Catalog | None, Catalog | None]:
        """Return the current and the previous generation; None for what there is not."""
        name = self.server.name("current")
        content: bytes | None = self.server.client.get(name)
        if content is None:
            return None, None
        return catalogs_of(f"{name} ({self.server.where})", content.partition(b"\n")[2])

    @contextmanager
    def gate(self) -> Iterator[str]:
        """Have pushes and deletions wait."""
        gate, name = uuid.uuid4().hex, self.server.name("gate")
        self.server.client.set(name, gate, px=_GATE)
        try:
            yield gate
        finally:
            with suppress(redis.RedisError):
                self.server.client.delete(name)

    def swap(
        self, gate: str, catalog: Catalog, previous: Catalog | None, current: Catalog | None
    ) -> None:
        """Make ``catalog`` the current generation in place of ``current``, in one step.

        ``previous`` is the one that a rollback goes back to from then on.
        """
        if self._run() != self.run:
            raise OnlineStoreError(
                f"{self.server.where} was started again, and may have lost rows that were written "
                "before: nothing was published. Run it again."
            )
        stamp = uuid.uuid4().hex[:16]
        files = [each.file for each in catalog.views.values()]
        before = current.views.values() if current else ()
        gone = [each.file for each in before if each.file not in files]
        names = [self.server.name(name) for name in ("lock", "gate", "current")]
        said = self.server.swap(
            keys=[*names, *(self.server.name(file) for file in (*files, *gone))],
            args=[
                self.holder,
                gate,
                f"{stamp}\n".encode() + current_document(catalog, previous, self.number),
                stamp,
                len(files),
            ],
        )
        if said != DONE:
            what = "lock" if said == LOCKED else "gate"
            raise OnlineStoreError(
                f"{self.server.where} no longer knows this process as its writer (its {what} "
                "expired: did the process stand still?): nothing was published. Run it again."
            )

    def clean(self, keep: frozenset[str] = frozenset()) -> None:
        """Remove what no generation needs that can still be read or gone back to."""
        client, all_names = self.server.client, self.server.name("names")
        try:
            catalogs = [catalog for catalog in self.catalogs() if catalog]
            needed = keep.union(*({catalog.registry} for catalog in catalogs))
            for catalog in catalogs:
                needed |= {each.file for each in catalog.views.values()}
            known: set[bytes] = client.smembers(all_names)
            for file in {each.decode() for each in known} - needed:
                client.unlink(self.server.name(file), self.server.name("pushed", file))
                client.srem(all_names, file)
        except (OnlineStoreError, redis.RedisError):  # it can wait until the next time
            return
