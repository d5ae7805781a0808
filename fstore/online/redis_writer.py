"""Writes a generation to Redis beside the current one, then makes it current in one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from fstore.definitions import Registry
from fstore.errors import NoEarlierGenerationError, NothingPublishedError, OnlineStoreError
from fstore.online.generation import (
    Catalog,
    Declared,
    Published,
    declared_document,
    declared_of,
)
from fstore.online.held import PLAIN, decoded, encoded, folded, redeclared, united
from fstore.online.protocol import Batch
from fstore.online.redis_generation import EVENTS, ROWS, RedisGeneration
from fstore.online.redis_server import BATCH, RedisServer, batches
from fstore.online.redis_turn import Turn
from fstore.online.spool import Spool
from fstore.online.succession import goes_on, layouts, succession
from fstore.online.window_joins import event_state, unpublished


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
            seen: dict[tuple[str, bytes], bytes | None] = {}
            self._fold(catalog, declared, pushed_since, seen)  # most of it, while pushes go on
            with self.turn.gate() as gate:
                self._fold(catalog, declared, pushed_since, seen)
                self.turn.swap(gate, catalog, before, before)
        return catalog

    def _fold(
        self,
        catalog: Catalog,
        declared: Declared,
        since: int,
        seen: dict[tuple[str, bytes], bytes | None],
    ) -> None:
        """Take over what was pushed and deleted, but for what ``seen`` has as it is."""
        new_layouts = layouts(catalog, declared)
        for reference in self.written:
            if self.current is None or reference not in self.current.catalog.views:
                continue
            old_layout, layout = self.current.layouts[reference], new_layouts[reference]
            if old_layout.key_types != layout.key_types:
                continue  # keys of another type can be no key of this view
            view = declared.registry.views_by_reference[reference]
            new = catalog.views[reference].file
            state = event_state(view, declared.columns[reference])
            for keys, olds, news in self._pushed(reference, self.server.name(new)):
                blocks: list[bytes | None] = [None] * len(keys)
                if state is not None and keys:
                    fields = [EVENTS + key[1:] for key in keys]
                    blocks = self.server.client.hmget(self.server.name(new), fields)
                values = {}
                for key, old, written, block in zip(keys, olds, news, blocks, strict=True):
                    if seen.get((reference, key), b"") == old:
                        continue
                    seen[reference, key] = old
                    known = redeclared(view, layout, decoded(old, old_layout).known)
                    if state is not None:
                        known = unpublished(state, block, known, self.number, since)
                    rows = decoded(written, layout).rows
                    values[key] = encoded(folded(layout, rows, known, self.number, since))
                self.turn.replace(new, values)

    def _pushed(
        self, reference: str, other: str
    ) -> Iterator[tuple[list[bytes], list[bytes | None], list[bytes | None]]]:
        """Yield the fields that were pushed or deleted: now, and in another generation's rows."""
        assert self.current is not None
        client, name = self.server.client, self.current.rows_name(reference)
        fields: set[bytes] = client.smembers(self.current.pushed_name(reference))
        for some in batches(sorted(fields)):
            yield some, client.hmget(name, some), client.hmget(other, some)

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
                self._unite(previous, declared)
                self.turn.swap(gate, previous, None, current)
        return previous

    def _unite(self, previous: Catalog, declared: Declared) -> None:
        assert self.current is not None
        old_layouts = layouts(previous, declared)
        for reference, published in previous.views.items():
            now = self.current.catalog.views.get(reference)
            if now is None or now.file == published.file:
                continue
            view, layout = declared.registry.views_by_reference[reference], old_layouts[reference]
            layout_now, number = self.current.layouts[reference], published.generation
            for keys, news, olds in self._pushed(reference, self.server.name(published.file)):
                self.turn.replace(
                    published.file,
                    {
                        key: encoded(
                            united(
                                view,
                                layout,
                                decoded(old, layout),
                                decoded(new, layout_now).known,
                                number,
                            )
                        )
                        for key, new, old in zip(keys, news, olds, strict=True)
                    },
                )
