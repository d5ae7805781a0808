"""The online store in PostgreSQL: a table for each view of a generation, a row for each entity.

    fstore.current            a row for each project's target: what is published, and was before
    fstore.rows_<..>_<n>      the rows of a view that generation n published: the key's bytes, the
                              value (fstore.online.held), and whether it was pushed or deleted since

A read is one statement for all its views. It sees one moment, and the stamp of what is current then
comes with the rows. A publish is one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from fstore.definitions import Column, FeatureView, Registry
from fstore.errors import NothingPublishedError, OnlineStoreError
from fstore.online.entries import DELETE, Entry
from fstore.online.generation import Catalog, Declared, catalogs_of, declared_of
from fstore.online.held import (
    UNHIDDEN,
    Held,
    decoded,
    encoded,
    found,
    pushed_rows,
    with_pushes,
    without_rows,
)
from fstore.online.lookup import row_reader
from fstore.online.postgres_server import BATCH, PostgresServer, statement
from fstore.online.postgres_writer import PostgresWriter
from fstore.online.protocol import Asked, Lookups, OutdatedError, Writer, asking_weakly
from fstore.online.records import Layout, Row
from fstore.online.succession import layouts
from fstore.online.window_joins import columns_of, window_joins

_STAMP = b"SELECT stamp FROM fstore.current WHERE namespace = %s"
_CURRENT = b"SELECT stamp, catalog, registry FROM fstore.current WHERE namespace = %s"


@dataclass(frozen=True)
class PostgresGeneration:
    """One generation, as long as its stamp is the current one."""

    server: PostgresServer
    outdated: Callable[[PostgresGeneration], Exception]  # what to raise where the stamp is another
    stamp: str
    catalog: Catalog
    declared: Declared

    @property
    def registry(self) -> Registry:
        return self.declared.registry

    @property
    def columns(self) -> Mapping[str, tuple[Column, ...]]:
        return self.declared.columns

    @cached_property
    def layouts(self) -> Mapping[str, Layout]:
        """The layout of the rows of each published view."""
        return layouts(self.catalog, self.declared)

    def lookups(self, asked: Sequence[tuple[FeatureView, tuple[str, ...]]]) -> Lookups:
        stamped = sql.SQL(
            "SELECT -1, NULL::bytea, convert_to(stamp, 'UTF8'), NULL::bytea"
            " FROM fstore.current WHERE namespace = %s"
        )
        parts: list[sql.Composable] = [stamped]
        layouts, readers = [], []
        windows = window_joins(self, asked)
        for place, (view, features) in enumerate(asked):
            events = "events" if place in windows else "NULL::bytea"
            rows = statement(
                f"SELECT {place}, key, value, {events} FROM {{rows}} WHERE key = ANY(%s)",
                rows=self.catalog.views[view.reference].file,
            )
            parts.append(rows)
            layouts.append(self.layouts[view.reference])
            readers.append(row_reader(view, columns_of(view, features), layouts[-1], UNHIDDEN))
        query = sql.SQL(" UNION ALL ").join(parts).as_bytes(None)
        server, stamp = self.server, self.stamp.encode()

        def read(wanted: Sequence[Asked]) -> list[Sequence[Row]]:
            keys = [[key for key in each if key is not None] for each, _ in wanted]
            try:
                rows = server.ask(query, [server.namespace, *keys])
            except OnlineStoreError as error:
                if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                    raise self.outdated(self) from None
                raise
            values = {(place, key): value for place, key, value, _ in rows}
            if values.get((-1, None)) != stamp:
                raise self.outdated(self)
            results: list[Sequence[Row]] = [
                reader([found(values.get((place, key)), layout) for key in each], at)
                for place, (layout, reader, (each, at)) in enumerate(
                    zip(layouts, readers, wanted, strict=True)
                )
            ]
            blocks = {(place, key): events for place, key, _, events in rows} if windows else {}
            for place, join in windows.items():
                each, at = wanted[place]
                held = [values.get((place, key)) for key in each]
                events = [blocks.get((place, key)) for key in each]
                results[place] = join.beside(results[place], each, held, events, at)
            return results

        return Lookups.of(read)


class PostgresStore:
    """The online store of one project's target on a PostgreSQL server."""

    def __init__(
        self, url: str, project: str, target: str, settings: Mapping[str, str] | None = None
    ) -> None:
        self.server = PostgresServer(url, project, target)
        self._settings = dict(settings or {})
        self._known: PostgresGeneration | None = None

    def recent(self) -> PostgresGeneration | None:
        """Return the generation that was read last; a lookup tells if another has come."""
        return self._known or self.generation()

    def generation(self) -> PostgresGeneration | None:
        """Return what is published now; None where nothing ever was."""
        known = self._known
        if known is not None and self._ask(_STAMP) == (known.stamp,):
            return known
        row = self._ask(_CURRENT)
        if row is None or row[0] is None:
            self._known = None
            return None
        stamp, catalog, registry = row
        where = f"fstore.current ({self.server.where})"
        current, _previous = catalogs_of(where, bytes(catalog))
        assert current is not None, "a document has one"
        declared = declared_of(where, bytes(registry))
        self._known = PostgresGeneration(
            self.server, asking_weakly(self.outdated), stamp, current, declared
        )
        return self._known

    def _ask(self, query: bytes) -> tuple[Any, ...] | None:
        try:
            rows = self.server.ask(query, (self.server.namespace,))
        except OnlineStoreError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                return None
            raise
        return rows[0] if rows else None

    def outdated(self, generation: PostgresGeneration) -> Exception:
        """Return what to raise where the rows of a generation have not its stamp."""
        if self._known is generation:
            self._known = None
        now = self.generation()
        if now is None or now.stamp != generation.stamp:
            return OutdatedError()
        return OnlineStoreError(
            f"{self.server.where} lacks tables that it says are published. Run: fstore materialize"
        )

    def append(self, entry: Entry, lock_timeout: float) -> int:
        """Take in a push or a deletion, in one transaction; return how many rows were refused."""
        deadline = time.monotonic() + lock_timeout
        with self.server.errors("did not say that it has taken the rows; push them again"):
            while True:
                generation = self.generation()
                if generation is None:
                    raise NothingPublishedError()
                if entry.view not in generation.catalog.views:
                    return 0
                try:
                    try:
                        with self.server.pushing(lock_timeout) as connection:
                            return self._append(connection, generation, entry)
                    except psycopg.errors.UndefinedTable:
                        raise self.outdated(generation) from None
                except OutdatedError:
                    if time.monotonic() >= deadline:
                        raise self.server.pushes_held(lock_timeout) from None

    def _append(
        self, connection: psycopg.Connection[Any], generation: PostgresGeneration, entry: Entry
    ) -> int:
        view = generation.registry.views_by_reference[entry.view]
        layout = generation.layouts[entry.view]
        now = connection.execute(
            "SELECT stamp, highest FROM fstore.current WHERE namespace = %s",
            (self.server.namespace,),
        ).fetchone()
        if now is None or now[0] != generation.stamp:
            raise OutdatedError
        table = generation.catalog.views[entry.view].file
        if entry.kind == DELETE:
            if entry.layout.key_types != layout.key_types:
                return 0
            gone = set(entry.layout.keys_of(entry.block, entry.count))

            def deleted(_: bytes, held: Held) -> tuple[Held, int]:
                return without_rows(held, entry.received, now[1]), 0

            return _exchange(connection, table, layout, gone, deleted)
        rows = pushed_rows(view, layout, entry)

        def pushed(key: bytes, held: Held) -> tuple[Held, int]:
            return with_pushes(view, held, rows[key])

        return _exchange(connection, table, layout, set(rows), pushed)

    @contextmanager
    def writer(self, lock_timeout: float) -> Iterator[Writer]:
        """Wait for the lock and hold it for the block; what is not published then is dropped."""
        with self.server.writing(lock_timeout) as connection:
            with self.server.errors("cannot be written"):
                current = self._readable(connection)
                writer = PostgresWriter(
                    self.server, connection, current, self._settings, lock_timeout
                )
            try:
                yield writer
            finally:
                writer.clean()

    def _readable(self, connection: psycopg.Connection[Any]) -> PostgresGeneration | None:
        """Return the current generation for a writer, who also replaces a damaged one."""
        try:
            current = self.generation()
        except OnlineStoreError:
            return None
        if current is not None:
            files = {each.file for each in current.catalog.views.values()}
            if files - set(self.server.tables_of_rows(connection)):
                return None
        return current


def _exchange(
    connection: psycopg.Connection[Any],
    table: str,
    layout: Layout,
    keys: set[bytes],
    change: Callable[[bytes, Held], tuple[Held, int]],
) -> int:
    """Change what is held of these keys, each row locked; return how many pushes were refused.

    Always in order of the keys, so that two who push never wait for each other.
    """
    select = statement(
        "SELECT key, value FROM {rows} WHERE key = ANY(%s) ORDER BY key FOR UPDATE", rows=table
    )
    update = statement(
        "UPDATE {rows} AS held SET value = new.value, pushed = true"
        " FROM unnest(%s::bytea[], %s::bytea[]) AS new (key, value) WHERE held.key = new.key",
        rows=table,
    )
    insert = statement(
        "INSERT INTO {rows} (key, value, pushed) SELECT key, value, true"
        " FROM unnest(%s::bytea[], %s::bytea[]) AS new (key, value)"
        " ON CONFLICT (key) DO NOTHING RETURNING key",
        rows=table,
    )
    refused, waiting = 0, sorted(keys)
    while waiting:
        some, waiting = waiting[:BATCH], waiting[BATCH:]
        olds = dict(connection.execute(select, (some,), binary=True).fetchall())
        changed = {key: change(key, decoded(olds.get(key), layout)) for key in some}
        values = {key: encoded(held) for key, (held, _) in changed.items()}
        there, absent = (
            [key for key in some if key in olds],
            [key for key in some if key not in olds],
        )
        if there:
            connection.execute(update, (there, [values[key] for key in there]))
        done = set(there)
        if absent:
            news = [values[key] for key in absent]
            done |= {key for (key,) in connection.execute(insert, (absent, news), binary=True)}
        waiting = [key for key in some if key not in done] + waiting  # another was quicker
        refused += sum(changed[key][1] for key in done)
    return refused
