"""What a generation on a server takes over of another's pushes: the next one, or the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fstore.online.generation import Catalog, Declared, Published
from fstore.online.held import Held, decoded, encoded, folded, redeclared, united
from fstore.online.instants import micros
from fstore.online.records import Layout
from fstore.online.succession import layouts
from fstore.online.window_joins import event_state, unpublished


class Pushed(NamedTuple):
    """A key that was pushed or deleted: its value now, and what the taker has of it."""

    key: bytes
    now: bytes | None
    there: bytes | None
    events: bytes | None  # asked for where Takeover.windowed


@dataclass(frozen=True)
class Takeover:
    """What one view takes over."""

    reference: str
    file: str  # of the one that takes
    held: Callable[[Pushed], Held]  # from then on
    windowed: bool = False
    _seen: dict[bytes, bytes | None] = field(default_factory=dict)

    def values(self, pushed: Iterable[Pushed]) -> dict[bytes, bytes]:
        """Return what to have of these keys, but for those that are as they were the last time."""
        values = {}
        for each in pushed:
            if self._seen.get(each.key, b"") != each.now:
                self._seen[each.key] = each.now
                values[each.key] = encoded(self.held(each))
        return values


def by_the_next(
    now: Mapping[str, Layout],
    written: Iterable[str],
    catalog: Catalog,
    declared: Declared,
    since: int,
) -> list[Takeover]:
    """Return what the views that were written for ``catalog`` take over from those of now."""
    then, views = layouts(catalog, declared), declared.registry.views_by_reference
    number = catalog.generation

    def takeover(reference: str) -> Takeover:
        view, layout, layout_now = views[reference], then[reference], now[reference]
        state = event_state(view, declared.columns[reference])
        as_of = micros(catalog.views[reference].as_of)

        def held(each: Pushed) -> Held:
            known = redeclared(view, layout, decoded(each.now, layout_now).known)
            if state is not None:
                known = unpublished(state, each.events, known, number, since)
            rows = decoded(each.there, layout).rows
            return folded(layout, rows, known, number, as_of, since)

        return Takeover(reference, catalog.views[reference].file, held, state is not None)

    return [
        takeover(reference)
        for reference in written
        if reference in now and then[reference].has_keys_of(now[reference])
    ]


def by_the_previous(
    catalog: Catalog, now: Mapping[str, Layout], previous: Catalog, declared: Declared
) -> list[Takeover]:
    """Return what the views of ``previous`` take over from those of ``catalog``, which are now."""
    then, views = layouts(previous, declared), declared.registry.views_by_reference

    def takeover(reference: str, published: Published) -> Takeover:
        view, layout, layout_now = views[reference], then[reference], now[reference]

        def held(each: Pushed) -> Held:
            older, newer = decoded(each.there, layout), decoded(each.now, layout_now).known
            return united(view, layout, older, newer, published.generation)

        return Takeover(reference, published.file, held)

    return [
        takeover(reference, published)
        for reference, published in previous.views.items()
        if reference in catalog.views and catalog.views[reference].file != published.file
    ]
