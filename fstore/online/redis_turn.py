"""A writer's turn on a Redis server: what is current, how that changes, what is left over."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import redis

from fstore.errors import OnlineStoreError
from fstore.online.generation import Catalog, catalogs_of, current_document
from fstore.online.held import PLAIN
from fstore.online.redis_server import DONE, LOCKED, RedisServer, batches

_GATE = 30_000  # milliseconds that pushes wait for a writer that died while it swapped


@dataclass
class Turn:
    """What the holder of the lock does to the names of all."""

    server: RedisServer
    holder: str  # the lock's value
    number: int
    begun: set[str] = field(default_factory=set)  # what was written, or is about to be

    def __post_init__(self) -> None:
        self.run = self._run()

    def _run(self) -> str:
        """Return what tells a server that was started again: it may have lost the last second."""
        return str(self.server.client.info("server")["run_id"])

    def catalogs(self) -> tuple[Catalog | None, Catalog | None]:
        """Return the current and the previous generation; None for what there is not."""
        return self._catalogs(self.server.client.get(self.server.name("current")))

    def _catalogs(self, content: bytes | None) -> tuple[Catalog | None, Catalog | None]:
        if content is None:
            return None, None
        where = f"{self.server.name('current')} ({self.server.where})"
        return catalogs_of(where, content.partition(b"\n")[2])

    def begin(self, file: str) -> str:
        """Return the full name of a file that is about to be written, and have it cleaned."""
        self.begun.add(file)
        self.server.client.sadd(self.server.name("names"), file)
        return self.server.name(file)

    @contextmanager
    def gate(self) -> Iterator[str]:
        """Have pushes and deletions wait."""
        gate, names = uuid.uuid4().hex, [self.server.name(name) for name in ("lock", "gate")]
        if self.server.gate(keys=names, args=[self.holder, gate, _GATE]) != DONE:
            raise self._forgotten("lock")
        try:
            yield gate
        finally:
            with suppress(redis.RedisError):  # it expires
                self.server.renew(keys=names[1:], args=[gate, 0])

    def replace(self, file: str, values: Mapping[bytes, bytes]) -> None:
        """Have other values in a file, or none where one is empty: of BATCH fields at most."""
        if not values:
            return
        names = [self.server.name(*parts) for parts in (("lock",), (file,), ("pushed", file))]
        arguments: list[bytes | str | int] = [self.holder]
        for key, value in values.items():
            arguments += [key, value, int(value[-1:] > PLAIN)]
        if self.server.replace(keys=names, args=arguments) != DONE:
            raise self._forgotten("lock")

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
            raise self._forgotten("lock" if said == LOCKED else "gate")

    def _forgotten(self, what: str) -> OnlineStoreError:
        return OnlineStoreError(
            f"{self.server.where} no longer knows this process as its writer (its {what} "
            "expired: did the process stand still?): nothing was published. Run it again."
        )

    def clean(self, keep: frozenset[str] = frozenset()) -> None:
        """Remove what no generation needs that can still be read or gone back to.

        What this turn began is its own to remove, also when it has lost the lock: the next writer
        may have cleaned amid a write, and does not know of what came after that. All else is the
        holder's.
        """
        client, name = self.server.client, self.server.name("current")
        with suppress(OnlineStoreError, redis.RedisError):  # it can wait until the next time
            content: bytes | None = client.get(name)
            catalogs = [catalog for catalog in self._catalogs(content) if catalog]
            needed = keep.union(*({catalog.registry} for catalog in catalogs))
            for catalog in catalogs:
                needed |= {each.file for each in catalog.views.values()}
            known: set[bytes] = client.smembers(self.server.name("names"))
            if self._run() == self.run:  # else this number may have been given again
                self._remove(self.begun - needed, "", content)
            self._remove(
                {each.decode() for each in known} - self.begun - needed, self.holder, content
            )

    def _remove(self, files: Set[str], holder: str, current: bytes | None) -> None:
        """Remove files, as long as ``current`` is that, and the lock the holder's."""
        names = [self.server.name(name) for name in ("lock", "current", "names")]
        for some in batches(sorted(files)):
            pairs = [
                self.server.name(*parts) for file in some for parts in ((file,), ("pushed", file))
            ]
            self.server.clean(keys=[*names, *pairs], args=[holder, current or b"", *some])
