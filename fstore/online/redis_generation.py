"""A generation in Redis, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fstore.definitions import Column, FeatureView, Registry
from fstore.online.generation import Catalog, Declared
from fstore.online.held import UNHIDDEN, found
from fstore.online.lookup import row_reader
from fstore.online.protocol import Lookups
from fstore.online.records import Layout, Row
from fstore.online.redis_server import RedisServer
from fstore.online.succession import layouts

MARKER, NO_KEY = b"-", b"+"  # fields that are no key's: those begin with =


def _field(key: bytes | None) -> bytes:
    return NO_KEY if key is None else b"=" + key


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
        names = [self.rows_name(view.reference) for view, _ in asked]
        layouts = [self.layouts[view.reference] for view, _ in asked]
        readers = [
            row_reader(view, features, layout, UNHIDDEN)
            for (view, features), layout in zip(asked, layouts, strict=True)
        ]
        ask, stamp = self.server.ask, self.stamp

        def read(wanted: Sequence[tuple[Sequence[bytes | None], int]]) -> list[Sequence[Row]]:
            answers = ask(
                [
                    (
                        "HMGET",
                        name,
                        MARKER,
                        *[NO_KEY if key is None else b"=" + key for key in keys],
                    )
                    for name, (keys, _) in zip(names, wanted, strict=True)
                ]
            )
            results: list[Sequence[Row]] = []
            for answer, layout, reader, (_, at) in zip(
                answers, layouts, readers, wanted, strict=True
            ):
                if answer[0] != stamp:
                    raise self.outdated(self)
                del answer[0]
                at_hand = [
                    (0, value, None) if value and not value[-1] else found(value, layout)
                    for value in answer
                ]
                results.append(reader(at_hand, at))
            return results

        return read
