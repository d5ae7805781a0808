"""Writes a generation to Redis beside the current one, then makes it current in one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from fstore.definitions import Registry
from fstore.errors import NoEarlierGenerationError, NothingPublishedError, OnlineStoreError
from fstore.online.generation import Catalog, Published, declared_document, declared_of
from fstore.online.held import PLAIN, decoded
from fstore.online.protocol import Batch
from fstore.online.redis_generation import EVENTS, ROWS, RedisGeneration
from fstore.online.redis_server import BATCH, RedisServer, batches
from fstore.online.redis_turn import Turn
from fstore.online.spool import Spool
from fstore.online.succession import goes_on, succession
from fstore.online.takeover import Pushed, Takeover, by_the_next, by_the_previous


@dataclass
class RedisWriter:
    """The holder of the lock."""

    server: RedisServer
    current: RedisGeneration | None
    holder: str  # the lock's value
    settings: Mapping[str, str]
    written: dict[str, tuple[Batch, Published]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A deletion from now on hides what this writer may have read before.
        self.number = int(self.server.client.incr(self.server.name("highest")))
        self.turn = Turn(self.server, self.holder, self.number)
        self.spool = Spool(self.settings)
        self.turn.clean()

    def interrupt(self) -> None:
        """Make a write that another thread has under way fail soon."""
        self.spool.interrupt()

    def write(self, batch: Batch) -> Published:
        """Write a view's rows under a name of their own, unseen until :meth:`publish`.

        The generation before the current one is let go first: memory is for two, not for three.
        """
        reference = batch.view.reference
        file = f"rows.{quote(reference, safe='')}.{self.number}"
        with (
            self.spool.gathered(batch) as (rows, some, blocks),
            self.server.errors("cannot be written"),
        ):
            self._forget_previous()
            name = self.turn.begin(file)
            self.server.client.unlink(name)  # of a try that went wrong
            keys = 0
            for values in some:
                self._put(name, values, ROWS)
                keys += len(values)
            for values in blocks:
                self._put(name, values, EVENTS)
            if batch.keep_absent:
                more_rows, more_keys = self._keep_absent(batch, name)
                rows, keys = rows + more_rows, keys + more_keys
        published = batch.published(file, self.number, rows, keys)
        self.written[reference] = (batch, published)
        return published

    def _put(self, name: str, values: Sequence[tuple[bytes, bytes]], field: bytes) -> None:
        with self.server.client.pipeline(transaction=False) as pipeline:
            for place, some in enumerate(batches(values)):
                fields = [part for key, value in some for part in (field + key, value)]
                pipeline.hset(name, items=fields)
                if place % 8 == 7:
                    pipeline.execute()
            pipeline.execute()

    def _keep_absent(self, batch: Batch, name: str) -> tuple[int, int]:
        """Copy the published rows and events of keys that are not there; return how many."""
        if self.current is None or not goes_on(self.current, batch):
            return 0, 0
        layout = self.current.layouts[batch.view.reference]
        before = self.current.rows_name(batch.view.reference)
        kept, kept_keys, cursor = 0, 0, 0
        while True:
            found = self.server.client.hscan(before, cursor, count=BATCH)
            cursor, held = found
            rows = {
                key: decoded(value, layout).rows for key, value in held.items() if key[:1] == ROWS
            }
            with self.server.client.pipeline(transaction=False) as pipeline:
                copied = [(key, each) for key, each in rows.items() if each]
                for key, each in copied:
                    pipeline.hsetnx(name, key, each + PLAIN)
                absent = [
                    (key, each)
                    for (key, each), new in zip(copied, pipeline.execute(), strict=True)
                    if new
                ]
            kept += sum(layout.rows_in(each) for _, each in absent)
            kept_keys += len(absent)
            if batch.events is not None and absent:
                fields = [EVENTS + key[1:] for key, _ in absent]
                blocks = zip(fields, self.server.client.hmget(before, fields), strict=True)
                self._put(name, [(field[1:], block) for field, block in blocks if block], EVENTS)
            if not cursor:
                return kept, kept_keys

    def publish(self, registry: Registry, keep: frozenset[str], pushed_since: int) -> Catalog:
        """Make every view written so far readable, all in one step, with what is left of pushes."""
        views, declared = succession(self.current, self.written, registry, keep)
        catalog = Catalog(self.number, f"registry.{self.number}", views)
        before = self.current.catalog if self.current else None
        with self.server.errors("cannot be written"):
            self.server.client.set(self.turn.begin(catalog.registry), declared_document(declared))
            now = self.current.layouts if self.current else {}
            takeovers = by_the_next(now, self.written, catalog, declared, pushed_since)
            self._take_over(takeovers)  # most of it, while pushes go on
            with self.turn.gate() as gate:
                self._take_over(takeovers)
                self.turn.swap(gate, catalog, before, before)
        return catalog

    def _take_over(self, takeovers: Sequence[Takeover]) -> None:
        for each in takeovers:
            for pushed in self._pushed(each):
                self.turn.replace(each.file, each.values(pushed))

    def _pushed(self, takeover: Takeover) -> Iterator[list[Pushed]]:
        """Yield what was pushed or deleted: now, and in another generation's rows."""
        assert self.current is not None
        client, there = self.server.client, self.server.name(takeover.file)
        now = self.current.rows_name(takeover.reference)
        fields: set[bytes] = client.smembers(self.current.pushed_name(takeover.reference))
        for some in batches(sorted(fields)):
            blocks: list[bytes | None] = [None] * len(some)
            if takeover.windowed:
                blocks = client.hmget(there, [EVENTS + key[1:] for key in some])
            values = client.hmget(now, some), client.hmget(there, some)
            yield [*map(Pushed, some, *values, blocks)]

    def _forget_previous(self) -> None:
        """Let go of the generation before the current one, and of its memory."""
        try:
            current, previous = self.turn.catalogs()
        except OnlineStoreError:  # damaged: the one that is being written replaces it
            return
        if current is not None and previous is not None and self.current is not None:
            with self.turn.gate() as gate:
                self.turn.swap(gate, current, None, current)
            self.turn.clean(keep=frozenset(each.file for _, each in self.written.values()))

    def rollback(self) -> Catalog:
        """Go back to the generation before the current one; it has none before it then.

        Whatever was pushed and deleted since stays.
        """
        with self.server.errors("cannot be written"):
            current, previous = self.turn.catalogs()
            if current is None or self.current is None:
                raise NothingPublishedError()
            if previous is None:
                raise NoEarlierGenerationError(current.generation)
            name = self.server.name(previous.registry)
            registry: bytes | None = self.server.client.get(name)
            declared = declared_of(f"{name} ({self.server.where})", registry or b"")
            with self.turn.gate() as gate:
                now = self.current
                self._take_over(by_the_previous(now.catalog, now.layouts, previous, declared))
                self.turn.swap(gate, previous, None, current)
        return previous
