"""Window features of the joins of a request that a server holds, beside the rows of the join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fstore.definitions import Column, FeatureView
from fstore.errors import OnlineStoreError
from fstore.online.event_block import EventBlock, NotABlockError
from fstore.online.event_layout import EventLayout
from fstore.online.event_state import EventState
from fstore.online.held import found
from fstore.online.known import Known
from fstore.online.merged import EventSpan
from fstore.online.protocol import Generation
from fstore.online.records import Layout, Row
from fstore.online.windows import Cells, WindowPlan


@dataclass(frozen=True)
class WindowJoin:
    """The window features of one join; a row's come behind those of its columns."""

    plan: WindowPlan
    state: EventState
    generation: int  # that published the events

    def beside(
        self,
        rows: Sequence[Row],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        blocks: Sequence[bytes | None],
        at: int,
    ) -> list[Row]:
        """Return the rows with their window features.

        ``values`` are what is held of each key (fstore.online.held), ``blocks`` its events.
        """
        layout = self.state.rows
        return [
            row
            + _served(
                self.plan, self.state, (key, block, found(value, layout)[2]), self.generation, at
            )
            for row, key, value, block in zip(rows, keys, values, blocks, strict=True)
        ]


def columns_of(view: FeatureView, features: Sequence[str]) -> tuple[str, ...]:
    """Return those of the features that are columns."""
    return tuple(name for name in features if name not in view.windows_by_name)


def window_joins(
    generation: Generation, asked: Sequence[tuple[FeatureView, tuple[str, ...]]]
) -> dict[int, WindowJoin]:
    """Return what to read of the windows of each join that has some, by its place."""
    joins = {}
    for place, (view, features) in enumerate(asked):
        names = [name for name in features if name in view.windows_by_name]
        if names:
            columns = generation.columns[view.reference]
            state = event_state(view, columns)
            assert state is not None, "it has windows"
            number = generation.catalog.views[view.reference].generation
            joins[place] = WindowJoin(WindowPlan(view, columns, names), state, number)
    return joins


def event_state(view: FeatureView, columns: tuple[Column, ...]) -> EventState | None:
    """Return what makes one of published and pushed events; None where rows are no events."""
    if not view.windows:
        return None
    return EventState(view, EventLayout.of(view, columns), Layout.of(view, columns))


def unpublished(
    state: EventState, block: bytes | None, known: Known, number: int, since: int
) -> Known:
    """Return what generation ``number``, which published a key's block, needs of its pushes."""
    published = _place_in(block, state.layout, None, number)
    return state.unpublished(published, known, number, since)


def _served(
    plan: WindowPlan,
    state: EventState,
    asked: tuple[bytes | None, bytes | None, Known | None],
    generation: int,
    at: int,
) -> Cells:
    """Return the cells of one key of a server: of (key, its block, what was pushed of it)."""
    key, content, known = asked
    if key is None:
        return plan.nothing
    published = _place_in(content, state.layout, known, generation)
    if known is not None and known.events:
        published, at = state.place(key, published, known, at)
    if published is None:
        return plan.empty
    block, first, end = published
    return plan.bound(block)(first, end, at)


def _place_in(
    block: bytes | None, layout: EventLayout, known: Known | None, generation: int
) -> EventSpan | None:
    """Return where the published events of a key are, from its own block; None where none are."""
    if not block or (known is not None and known.hides >= generation):
        return None
    try:
        whole = EventBlock(block, layout)
    except NotABlockError as error:
        raise OnlineStoreError(f"Events are {error}. Run: fstore materialize") from error
    return whole, 0, whole.count
