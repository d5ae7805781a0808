"""The online store in Redis: a hash for each view of a generation, a field for each entity.

    fstore:{project.target}:current            stamp, and what online/CURRENT says on disk
    fstore:{project.target}:registry.<n>       declarations and column types of generation n
    fstore:{project.target}:rows.<view>.<n>    the rows that generation n published: '=' and the
                                               key's bytes to a value (fstore.online.held); '-' to
                                               the stamp, as long as this is current
    fstore:{project.target}:pushed.rows.<view>.<n>  which fields were pushed or deleted since
    fstore:{project.target}:highest            the number of the last writer
    fstore:{project.target}:names              all names that a writer began, to be cleaned
    fstore:{project.target}:lock, gate         held by the one writer; while it swaps

A read is one HMGET a view, all in one round trip; with the values comes the stamp, which tells that
they are of the generation that was asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from fstore.errors import LockTimeoutError, NothingPublishedError, OnlineStoreError
from fstore.online.entries import DELETE, Entry
from fstore.online.generation import catalogs_of, declared_of
from fstore.online.held import Held, decoded, encoded, pushed_rows, with_pushes, without_rows
from fstore.online.protocol import OutdatedError, Writer, asking_weakly
from fstore.online.records import Layout
from fstore.online.redis_generation import RedisGeneration
from fstore.online.redis_lock import held_lock
from fstore.online.redis_server import BATCH, DELETING, LOCKED, OUTDATED, RedisServer, command
from fstore.online.redis_writer import RedisWriter

_FIRST_WAIT, _LONGEST_WAIT = 0.001, 0.05


class RedisStore:
    """The online store of one project's target on a Redis server."""

    def __init__(
        self, url: str, project: str, target: str, settings: Mapping[str, str] | None = None
    ) -> None:
        self.server = RedisServer(url, project, target)
        self._settings = dict(settings or {})
        self._known: RedisGeneration | None = None

    def recent(self) -> RedisGeneration | None:
        """Return the generation that was read last; a lookup tells if another has come."""
        return self._known or self.generation()

    def generation(self) -> RedisGeneration | None:
        """Return what is published now; None where nothing ever was."""
        server = self.server
        for _ in range(5):
            (content,) = server.ask(command(b"GET", server.name("current").encode()), 1)
            known = self._known
            if content is None:
                self._known = None
                return None
            if known is not None and known.content == content:
                return known
            stamp, _, document = content.partition(b"\n")
            current, _previous = catalogs_of(f"{server.name('current')} ({server.where})", document)
            assert current is not None, "a document has one"
            name = server.name(current.registry)
            (registry,) = server.ask(command(b"GET", name.encode()), 1)
            if registry is None:  # replaced twice in between
                continue
            declared = declared_of(f"{name} ({server.where})", registry)
            self._known = RedisGeneration(
                server, asking_weakly(self.outdated), content, stamp, current, declared
            )
            return self._known
        raise self._lost()

    def outdated(self, generation: RedisGeneration) -> Exception:
        """Return what to raise where the rows of a generation have not its stamp."""
        if self._known is generation:
            self._known = None
        now = self.generation()
        return OutdatedError() if now is None or now.stamp != generation.stamp else self._lost()

    def _lost(self) -> OnlineStoreError:
        return OnlineStoreError(
            f"{self.server.where} lacks rows that it says are published: was memory short? "
            "maxmemory-policy noeviction keeps them. Run: fstore materialize"
        )

    def append(self, entry: Entry, lock_timeout: float) -> int:
        """Take in a push or a deletion; return how many rows were refused.

        When this returns the server has it, and what that means its own settings say (appendfsync).
        """
        deadline, wait = time.monotonic() + lock_timeout, _FIRST_WAIT
        with self.server.errors("did not say that it has taken the rows; push them again"):
            while True:
                generation = self.generation()
                if generation is None:
                    raise NothingPublishedError()
                try:
                    if entry.view not in generation.catalog.views:
                        return 0
                    return self._append(generation, entry)
                except (OutdatedError, _SwappingError) as error:
                    if time.monotonic() >= deadline:
                        raise LockTimeoutError(
                            f"The online store ({self.server.where})",
                            lock_timeout,
                            "a materialize that is about to be done",
                            "Let it finish, or set a longer lock_timeout in fstore.yml.",
                        ) from None
                    if isinstance(error, _SwappingError):
                        time.sleep(wait)
                        wait = min(2 * wait, _LONGEST_WAIT)

    def _append(self, generation: RedisGeneration, entry: Entry) -> int:
        view = generation.registry.views_by_reference[entry.view]
        layout = generation.layouts[entry.view]
        if entry.kind == DELETE:
            if entry.layout.key_types != layout.key_types:
                return 0
            keys = entry.layout.keys_of(entry.block, entry.count)
            gone = [b"=" + key for key in keys]
            hides = int(self.server.client.get(self.server.name("highest")) or 0)

            def deleted(_: bytes, held: Held) -> tuple[Held, int]:
                return without_rows(held, entry.received, hides), 0

            return self._exchange(generation, entry.view, layout, gone, deleted, hides)
        rows = {b"=" + key: each for key, each in pushed_rows(view, layout, entry).items()}

        def pushed(field: bytes, held: Held) -> tuple[Held, int]:
            return with_pushes(view, held, rows[field])

        return self._exchange(generation, entry.view, layout, list(rows), pushed)

    def _exchange(
        self,
        generation: RedisGeneration,
        reference: str,
        layout: Layout,
        fields: Sequence[bytes],
        change: Callable[[bytes, Held], tuple[Held, int]],
        highest: int | None = None,
    ) -> int:
        """Change what is held of these fields, each as it is at that moment."""
        server, name = self.server, generation.rows_name(reference)
        pushed = generation.pushed_name(reference)
        keys = [server.name("gate"), name, pushed, server.name("highest")]
        refused, waiting = 0, list(fields)
        while waiting:
            some, waiting = waiting[:BATCH], waiting[BATCH:]
            olds: list[bytes | None] = server.client.hmget(name, some)
            changed = [
                change(field, decoded(old, layout)) for field, old in zip(some, olds, strict=True)
            ]
            arguments: list[bytes | str] = [
                generation.stamp,
                "" if highest is None else str(highest),
            ]
            for field, old, (held, _) in zip(some, olds, changed, strict=True):
                arguments += [field, old or b"", encoded(held)]
            said, *places = server.exchange(keys=keys, args=arguments)
            if said == LOCKED:
                raise _SwappingError
            if said == OUTDATED:
                raise self.outdated(generation)
            if said == DELETING:
                raise OutdatedError
            again = set(places)
            waiting += [some[place] for place in sorted(again)]
            refused += sum(count for place, (_, count) in enumerate(changed) if place not in again)
        return refused

    @contextmanager
    def writer(self, lock_timeout: float) -> Iterator[Writer]:
        """Wait for the lock and hold it for the block; what is not published then is dropped."""
        with held_lock(self.server, lock_timeout) as lock:
            with self.server.errors("cannot be written"):
                writer = RedisWriter(self.server, self._readable(), lock, self._settings)
            try:
                yield writer
            finally:
                writer.turn.clean()

    def _readable(self) -> RedisGeneration | None:
        """Return the current generation for a writer, who also replaces a damaged one."""
        self.server.client.ping()
        try:
            return self.generation()
        except OnlineStoreError:
            return None


class _SwappingError(Exception):
    """A writer is about to make another generation the current one."""
