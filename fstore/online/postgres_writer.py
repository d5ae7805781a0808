"""Writes a generation to PostgreSQL beside the current one, then makes it current at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from fstore.definitions import Registry
from fstore.errors import NoEarlierGenerationError, NothingPublishedError, OnlineStoreError
from fstore.online.generation import (
    Catalog,
    Declared,
    Published,
    catalogs_of,
    current_document,
    declared_document,
    declared_of,
)
from fstore.online.held import PLAIN, decoded, encoded, folded, redeclared, united
from fstore.online.postgres_server import BATCH, PostgresServer, copied, statement
from fstore.online.protocol import Batch
from fstore.online.records import Layout
from fstore.online.spool import Spool
from fstore.online.succession import goes_on, layouts, succession
from fstore.online.window_joins import event_state, unpublished

if TYPE_CHECKING:
    from fstore.online.postgres_store import PostgresGeneration

_TABLE: LiteralString = (
    "CREATE TABLE {rows} (key bytea NOT NULL, value bytea NOT NULL,"
    " pushed boolean NOT NULL DEFAULT false, events bytea)"
)
_EVENTS: LiteralString = (
    "UPDATE {rows} AS held SET events = new.events"
    " FROM unnest(%s::bytea[], %s::bytea[]) AS new (key, events) WHERE held.key = new.key"
)
_PUT: LiteralString = (
    "INSERT INTO {rows} (key, value, pushed)"
    " SELECT * FROM unnest(%s::bytea[], %s::bytea[], %s::boolean[])"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, pushed = excluded.pushed"
)


@dataclass
class PostgresWriter:
    """The holder of the lock, which is that of its connection."""

    server: PostgresServer
    connection: psycopg.Connection[Any]
    current: PostgresGeneration | None
    settings: Mapping[str, str]
    lock_timeout: float
    written: dict[str, tuple[Batch, Published]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A deletion from now on hides what this writer may have read before.
        row = self.connection.execute(
            "INSERT INTO fstore.current (namespace, highest) VALUES (%s, 1)"
            " ON CONFLICT (namespace) DO UPDATE SET highest = fstore.current.highest + 1"
            " RETURNING highest",
            (self.server.namespace,),
        ).fetchone()
        assert row is not None, "a row was written"
        self.number = int(row[0])
        self.spool = Spool(self.settings)
        self.clean()

    def interrupt(self) -> None:
        """Make a write that another thread has under way fail soon."""
        self.spool.interrupt()

    def write(self, batch: Batch) -> Published:
        """Write a view's rows into a table of their own, unseen until :meth:`publish`."""
        table = self.server.table(batch.view.reference, self.number)
        layout = Layout.of(batch.view, batch.columns)
        with (
            self.spool.gathered(batch) as (rows, some, blocks),
            self.server.errors("cannot be written"),
            self.connection.transaction(),
        ):
            self._run("DROP TABLE IF EXISTS {rows}", table)
            self._run(_TABLE, table)
            copy = statement("COPY {rows} (key, value) FROM STDIN (FORMAT BINARY)", rows=table)
            with self.connection.cursor().copy(copy) as into:
                for content in copied(some):
                    into.write(content)
            self.connection.execute(
                statement("ALTER TABLE {rows} ADD PRIMARY KEY (key)", rows=table)
            )
            for values in blocks:
                for at in range(0, len(values), BATCH):
                    keys, events = zip(*values[at : at + BATCH], strict=True)
                    self.connection.execute(
                        statement(_EVENTS, rows=table), (list(keys), list(events))
                    )
            if batch.keep_absent:
                rows += self._keep_absent(batch, table, layout)
            self.connection.execute(
                statement("CREATE INDEX ON {rows} (key) WHERE pushed", rows=table)
            )
            self.connection.execute(statement("ANALYZE {rows}", rows=table))
            counted = self.connection.execute(
                statement("SELECT count(*) FROM {rows}", rows=table)
            ).fetchone()
        published = batch.published(table, self.number, rows, counted[0] if counted else 0)
        self.written[batch.view.reference] = (batch, published)
        return published

    def _run(self, text: LiteralString, table: str) -> psycopg.Cursor[Any]:
        return self.connection.execute(statement(text, rows=table))

    def _keep_absent(self, batch: Batch, table: str, layout: Layout) -> int:
        """Copy the published rows of keys that are not there; return how many."""
        if self.current is None or not goes_on(self.current, batch):
            return 0
        before = self.current.catalog.views[batch.view.reference].file
        absent = "SELECT FROM {rows} AS new WHERE new.key = old.key"
        plain = self.connection.execute(
            statement(
                "INSERT INTO {rows} (key, value, events) SELECT key, value, events"
                " FROM {before} AS old"
                f" WHERE NOT pushed AND NOT EXISTS ({absent})"
                " RETURNING substring(value FROM %s FOR 4)",
                rows=table,
                before=before,
            ),
            (layout.followers_at + 1,),
            binary=True,
        )
        kept = sum(1 + int.from_bytes(followers, "little") for (followers,) in plain)
        pushed = self.connection.execute(
            statement(
                "SELECT key, value, events FROM {before} AS old"
                f" WHERE pushed AND NOT EXISTS ({absent})",
                rows=table,
                before=before,
            ),
            binary=True,
        ).fetchall()
        rows = {key: decoded(value, layout).rows for key, value, _ in pushed}
        values = {key: each + PLAIN for key, each in rows.items() if each}
        self._replace(table, values)
        events = {key: block for key, _, block in pushed if key in values and block is not None}
        if events:
            statement_of = statement(_EVENTS, rows=table)
            self.connection.execute(statement_of, (list(events), list(events.values())))
        return kept + sum(layout.rows_in(rows[key]) for key in values)

    def publish(self, registry: Registry, keep: frozenset[str], pushed_since: int) -> Catalog:
        """Make every view written so far readable, at once, with what is left of pushes."""
        views, declared = succession(self.current, self.written, registry, keep)
        catalog = Catalog(self.number, "registry", views)
        seen: dict[tuple[str, bytes], bytes] = {}
        with self.server.errors("cannot be written"):
            self._fold(catalog, declared, pushed_since, seen)  # most of it, while pushes go on
            with self.connection.transaction():
                self.server.hold_pushes(self.connection, self.lock_timeout)
                self._fold(catalog, declared, pushed_since, seen)
                self.connection.execute(
                    "UPDATE fstore.current SET stamp = %s, catalog = %s,"
                    " previous_registry = registry, registry = %s WHERE namespace = %s",
                    (
                        uuid.uuid4().hex[:16],
                        current_document(
                            catalog, self.current.catalog if self.current else None, self.number
                        ),
                        declared_document(declared),
                        self.server.namespace,
                    ),
                )
        return catalog

    def _fold(
        self,
        catalog: Catalog,
        declared: Declared,
        since: int,
        seen: dict[tuple[str, bytes], bytes],
    ) -> None:
        """Take over what was pushed and deleted, but for what ``seen`` has as it is."""
        new_layouts = layouts(catalog, declared)
        for reference in self.written:
            if self.current is None or reference not in self.current.catalog.views:
                continue
            old_layout, layout = self.current.layouts[reference], new_layouts[reference]
            if old_layout.key_types != layout.key_types:
                continue  # keys of another type can be no key of this view
            view, table = (
                declared.registry.views_by_reference[reference],
                catalog.views[reference].file,
            )
            state = event_state(view, declared.columns[reference])
            for some in self._pushed(reference, table):
                values = {}
                for key, old, written, block in some:
                    if seen.get((reference, key)) == old:
                        continue
                    seen[reference, key] = old
                    known = redeclared(view, layout, decoded(old, old_layout).known)
                    if state is not None:
                        known = unpublished(state, block, known, self.number, since)
                    rows = decoded(written, layout).rows
                    values[key] = encoded(folded(layout, rows, known, self.number, since))
                self._replace(table, values)

    def _pushed(
        self, reference: str, other: str
    ) -> Iterator[Sequence[tuple[bytes, bytes, bytes | None, bytes | None]]]:
        """Yield keys that were pushed or deleted, with what is held now and in another table.

        The last are the events that the other table has.
        """
        assert self.current is not None
        now = self.current.catalog.views[reference].file
        found = self.connection.execute(
            statement(
                "SELECT now.key, now.value, other.value, other.events FROM {now} AS now"
                " LEFT JOIN {other} AS other USING (key) WHERE now.pushed",
                now=now,
                other=other,
            ),
            binary=True,
        )
        while some := found.fetchmany(BATCH):
            yield some

    def _replace(self, table: str, values: Mapping[bytes, bytes]) -> None:
        kept = {key: value for key, value in values.items() if value}
        if gone := [key for key, value in values.items() if not value]:
            self.connection.execute(
                statement("DELETE FROM {rows} WHERE key = ANY(%s)", rows=table), (gone,)
            )
        if kept:
            flags = [value[-1:] > PLAIN for value in kept.values()]
            put = statement(_PUT, rows=table)
            self.connection.execute(put, (list(kept), list(kept.values()), flags))

    def rollback(self) -> Catalog:
        """Go back to the generation before the current one; it has none before it then.

        Whatever was pushed and deleted since stays.
        """
        with self.server.errors("cannot be written"):
            current, previous, registry = self._documents()
            if current is None or self.current is None:
                raise NothingPublishedError()
            if previous is None or registry is None:
                raise NoEarlierGenerationError(current.generation)
            declared = declared_of(f"fstore.current ({self.server.where})", registry)
            with self.connection.transaction():
                self.server.hold_pushes(self.connection, self.lock_timeout)
                self._unite(previous, declared)
                self.connection.execute(
                    "UPDATE fstore.current SET stamp = %s, catalog = %s,"
                    " registry = previous_registry, previous_registry = NULL WHERE namespace = %s",
                    (
                        uuid.uuid4().hex[:16],
                        current_document(previous, None, self.number),
                        self.server.namespace,
                    ),
                )
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
            for some in self._pushed(reference, published.file):
                values = {}
                for key, new, old, _ in some:
                    known = decoded(new, layout_now).known
                    values[key] = encoded(united(view, layout, decoded(old, layout), known, number))
                self._replace(published.file, values)

    def _documents(self) -> tuple[Catalog | None, Catalog | None, bytes | None]:
        """Return the current and the previous generation, and the declarations of the latter."""
        row = self.connection.execute(
            "SELECT catalog, previous_registry FROM fstore.current WHERE namespace = %s",
            (self.server.namespace,),
        ).fetchone()
        if row is None or row[0] is None:
            return None, None, None
        where = f"fstore.current ({self.server.where})"
        return (*catalogs_of(where, bytes(row[0])), None if row[1] is None else bytes(row[1]))

    def clean(self) -> None:
        """Drop the tables that no generation needs that can still be read or gone back to."""
        with suppress(OnlineStoreError, psycopg.Error):  # it can wait until the next time
            current, previous, _ = self._documents()
            catalogs = [catalog for catalog in (current, previous) if catalog]
            needed = {each.file for catalog in catalogs for each in catalog.views.values()}
            for table in set(self.server.tables_of_rows(self.connection)) - needed:
                self._run("DROP TABLE {rows}", table)
