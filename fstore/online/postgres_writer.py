"""Writes a generation to PostgreSQL beside the current one, then makes it current at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import starmap
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from fstore.definitions import Registry
from fstore.errors import NoEarlierGenerationError, NothingPublishedError, OnlineStoreError
from fstore.online.generation import (
    Catalog,
    Published,
    catalogs_of,
    current_document,
    declared_document,
    declared_of,
)
from fstore.online.held import PLAIN, decoded
from fstore.online.postgres_server import BATCH, PostgresServer, copied, statement
from fstore.online.protocol import Batch
from fstore.online.records import Layout
from fstore.online.spool import Spool
from fstore.online.succession import goes_on, succession
from fstore.online.takeover import Pushed, Takeover, by_the_next, by_the_previous

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
        now = self.current.layouts if self.current else {}
        takeovers = by_the_next(now, self.written, catalog, declared, pushed_since)
        with self.server.errors("cannot be written"):
            self._take_over(takeovers)  # most of it, while pushes go on
            with self.connection.transaction():
                self.server.hold_pushes(self.connection, self.lock_timeout)
                self._take_over(takeovers)
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

    def _take_over(self, takeovers: Sequence[Takeover]) -> None:
        for each in takeovers:
            for pushed in self._pushed(each):
                self._replace(each.file, each.values(pushed))

    def _pushed(self, takeover: Takeover) -> Iterator[Iterable[Pushed]]:
        """Yield what was pushed or deleted: now, and in another generation's rows."""
        assert self.current is not None
        found = self.connection.execute(
            statement(
                "SELECT now.key, now.value, there.value, there.events FROM {now} AS now"
                " LEFT JOIN {there} AS there USING (key) WHERE now.pushed",
                now=self.current.catalog.views[takeover.reference].file,
                there=takeover.file,
            ),
            binary=True,
        )
        while some := found.fetchmany(BATCH):
            yield starmap(Pushed, some)

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
                now = self.current
                self._take_over(by_the_previous(now.catalog, now.layouts, previous, declared))
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
