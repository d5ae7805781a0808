"""A generation in Redis, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fstore.definitions import Column, FeatureView, Registry
from fstore.online.generation import Catalog, Declared
from fstore.online.held import UNHIDDEN, found
from fstore.online.lookup import row_reader
from fstore.online.protocol import Asked, Lookups
from fstore.online.records import Layout, Row
from fstore.online.redis_server import RedisServer, command
from fstore.online.succession import layouts
from fstore.online.window_joins import columns_of, window_joins

MARKER, NO_KEY = b"-", b"+"  # fields that are no key's: those begin with = or *
ROWS, EVENTS = b"=", b"*"  # how a key's fields begin: its value, its block of events


def _rows_command(
    name: str, size: int | None, field: bytes = ROWS
) -> Callable[[Sequence[bytes | None]], bytes]:
    """Return the function from keys to the command that reads their values, the marker first."""
    hash_name = name.encode()
    parts = (b"HMGET", hash_name, MARKER)
    start = command(*parts).partition(b"\r\n")[2]
    before = b"$%d\r\n%b" % (1 + (size or 0), field)
    between = b"\r\n" + before

    def pack(keys: Sequence[bytes | None]) -> bytes:
        if size is None or None in keys:
            fields = [NO_KEY if key is None else field + key for key in keys]
            return command(*parts, *fields)
        joined = between.join(keys)  # type: ignore[arg-type]  # no None among them
        return b"*%d\r\n%b%b%b\r\n" % (len(parts) + len(keys), start, before, joined)

    return pack


@dataclass(frozen=True)
class RedisGeneration:
    """One generation, as long as its stamp is the current one."""

    server: RedisServer
    outdated: Callable[[RedisGeneration], Exception]  # what to raise where the stamp is another
    content: bytes  # of the name ``current``
    stamp: bytes
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

    def rows_name(self, reference: str) -> str:
        """Return the name of the hash that has a view's rows."""
        return self.server.name(self.catalog.views[reference].file)

    def pushed_name(self, reference: str) -> str:
        """Return the name of the set of the fields that were pushed or deleted since."""
        return self.server.name("pushed", self.catalog.views[reference].file)

    def lookups(self, asked: Sequence[tuple[FeatureView, tuple[str, ...]]]) -> Lookups:
        layouts = [self.layouts[view.reference] for view, _ in asked]
        commands = [
            _rows_command(self.rows_name(view.reference), layout.key.size)
            for (view, _), layout in zip(asked, layouts, strict=True)
        ]
        readers = [
            row_reader(view, columns_of(view, features), layout, UNHIDDEN)
            for (view, features), layout in zip(asked, layouts, strict=True)
        ]
        windows = window_joins(self, asked)
        blocks = [
            (place, _rows_command(self.rows_name(view.reference), layouts[place].key.size, EVENTS))
            for place, (view, _) in enumerate(asked)
            if place in windows
        ]
        ask, stamp = self.server.ask, self.stamp

        def read(wanted: Sequence[Asked]) -> list[Sequence[Row]]:
            packed = [pack(keys) for pack, (keys, _) in zip(commands, wanted, strict=True)]
            packed += [pack(wanted[place][0]) for place, pack in blocks]
            answers = ask(b"".join(packed), len(packed))
            results: list[Sequence[Row]] = []
            of_rows, of_events = answers[: len(commands)], answers[len(commands) :]
            for answer, layout, reader, (_, at) in zip(
                of_rows, layouts, readers, wanted, strict=True
            ):
                if answer[0] != stamp:
                    raise self.outdated(self)
                del answer[0]
                at_hand = [
                    (0, value, None) if value and not value[-1] else found(value, layout)
                    for value in answer
                ]
                results.append(reader(at_hand, at))
            for answer, (place, _) in zip(of_events, blocks, strict=True):
                if answer[0] != stamp:
                    raise self.outdated(self)
                keys, at = wanted[place]
                values = of_rows[place]
                results[place] = windows[place].beside(results[place], keys, values, answer[1:], at)
            return results

        return Lookups.of(read)
