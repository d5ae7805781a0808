"""Tiles: the events of a key cut, in order of time, into runs that are aggregated once for all.

A key of n events is cut into about as many tiles as a tile has events, for a spine row looks at
all tiles in its windows and at the events of those that a window cuts. It takes a tile as a whole
where no window begins or ends within it, and where all its events are settled at its time: known,
and, with an event_key, not to be superseded.
"""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.clocks import arrives_by_row
from fstore.compile.find import ROW
from fstore.compile.sql import aliased, joined, over, quoted, row_count, select, table_as
from fstore.compile.versions import settles_at
from fstore.compile.visibility import (
    happened_before,
    happened_since,
    has_versions,
    settled_by,
)
from fstore.compile.window_bands import ASKED, Windows
from fstore.compile.window_parts import TILE

# Where cutting a key's events into tiles pays, from trials: docs/decisions/0010-window-plans.md.
HOT_ROWS = 256
HOT_SPINE_ROWS = 8


def hot(windows: Windows) -> exp.Select:
    """Return the keys with many events and many spine rows."""

    def many(query: exp.Select, keys: list[exp.Expr], least: int) -> exp.Select:
        query.set("group", exp.Group(expressions=[key.copy() for key in keys]))
        enough = exp.GTE(this=row_count(), expression=exp.Literal.number(least))
        query.set("having", exp.Having(this=enough))
        return query

    names = [key for key, _ in windows.search.asked_keys()]
    asked: list[exp.Expr] = [quoted(name, ASKED) for name in names]
    often = many(select(asked, table_as(windows.name("bounds"), ASKED)), asked, HOT_SPINE_ROWS)
    keys: list[exp.Expr] = [quoted(name, ROW) for name in names]
    query = select(keys, table_as(windows.events.name, ROW))
    spine = exp.Subquery(this=often, alias=exp.TableAlias(this=exp.to_identifier(ASKED, True)))
    query.append("joins", joined(spine, windows.same_keys(ROW), kind="SEMI"))
    return many(query, keys, HOT_ROWS)


def cold(windows: Windows) -> exp.Select:
    """Return the spine rows of all other keys."""
    query = select([exp.Star()], table_as(windows.name("bounds"), ASKED))
    same = windows.same_keys("hot")
    query.append("joins", joined(table_as(windows.name("hot"), "hot"), same, kind="ANTI"))
    return query


def cut(windows: Windows, *, only_hot: bool) -> exp.Select:
    """Return events with the number of their tile within their key."""
    search = windows.search
    keys: list[exp.Expr] = [quoted(key, ROW) for key, _ in search.asked_keys()]
    place = over(exp.RowNumber(), keys, (search.clocks.event_time,), table=ROW)
    looks = exp.Literal.number(len(windows.beginnings) + 1)
    share = exp.Div(this=over(row_count(), [key.copy() for key in keys]), expression=looks)
    size = exp.Add(this=exp.cast(exp.Sqrt(this=share), "BIGINT"), expression=exp.Literal.number(1))
    tile = exp.IntDiv(this=place, expression=exp.Paren(this=size))
    every = exp.Column(this=exp.Star(), table=exp.to_identifier(ROW, True))
    query = select([every, aliased(tile, windows.names.tile)], table_as(windows.events.name, ROW))
    if only_hot:
        same = [
            exp.EQ(this=quoted(key, "hot"), expression=quoted(key, ROW))
            for key, _ in search.asked_keys()
        ]
        query.append("joins", joined(table_as(windows.name("hot"), "hot"), same, kind="SEMI"))
    return query


def tiles(windows: Windows) -> exp.Select:
    """Return each tile: its keys, its first and last E, when all is settled, and its parts."""
    search, names = windows.search, windows.names
    by: list[exp.Expr] = [quoted(key, ROW) for key, _ in search.asked_keys()]
    by.append(quoted(names.tile, ROW))
    time = quoted(search.clocks.event_time, ROW)
    values = [
        *by,
        aliased(exp.Min(this=time), names.first),
        aliased(exp.Max(this=time.copy()), names.last),
    ]
    if _settles_late(windows):
        last = exp.Max(this=settles_at(search.join.view, search.clocks, ROW))
        values.append(aliased(last, names.settled))
    query = select([*values, *windows.computed(settled=True)], table_as(windows.name("cut"), ROW))
    query.set("group", exp.Group(expressions=[it.copy() for it in by]))
    return query


def bands_of_tiles(windows: Windows) -> exp.Select:
    """Return the bands of the tiles that spine rows take as a whole.

    Means and squares of several tiles cannot be one aggregate: where a standard deviation is asked
    each tile stays a band of its own.
    """
    parts = windows.parts
    values: list[exp.Expr]
    if parts.has_squares:
        values = [quoted(part.name, TILE) for part in parts.every]
    else:
        values = [aliased(parts.merged(part), part.name) for part in parts.every]
    on = [*windows.same_keys(TILE), *_reached(windows), _whole(windows)]
    return windows.banded(
        windows.name("bounds"),
        (windows.name("tiles"), TILE),
        on,
        windows.names.first,
        values,
        grouped=not parts.has_squares,
    )


def edges(windows: Windows) -> exp.Select:
    """Return for each spine row the tiles of which it looks at the events."""
    every = exp.Column(this=exp.Star(), table=exp.to_identifier(ASKED, True))
    values = [every, quoted(windows.names.tile, TILE)]
    query = select(values, table_as(windows.name("bounds"), ASKED))
    whole = exp.Not(this=exp.Paren(this=_whole(windows)))
    on = [*windows.same_keys(TILE), *_reached(windows), whole]
    query.append("joins", joined(table_as(windows.name("tiles"), TILE), on))
    return query


def bands_of_edges(windows: Windows) -> exp.Select:
    """Return the bands of the events of those tiles."""
    tile = windows.names.tile
    same = exp.EQ(this=quoted(tile, ASKED), expression=quoted(tile, ROW))
    return windows.banded(
        windows.name("edges"),
        (windows.name("cut"), ROW),
        [*windows.same_keys(ROW), same, *windows.visible()],
        windows.search.clocks.event_time,
        windows.computed(),
    )


def _reached(windows: Windows) -> list[exp.Expr]:
    """Return that a tile may hold an event of a spine row's longest window."""
    names = windows.names
    q, since = quoted(windows.search.names.as_of, ASKED), quoted(names.since, ASKED)
    return [
        happened_before(quoted(names.first, TILE), q),
        happened_since(quoted(names.last, TILE), since),
    ]


def _whole(windows: Windows) -> exp.Expr:
    """Return that every event of a tile is in the same windows of a spine row, and settled."""
    names = windows.names
    q = quoted(windows.search.names.as_of, ASKED)
    conditions: list[exp.Expr] = [happened_before(quoted(names.last, TILE), q)]
    if len(windows.beginnings) > 1:
        conditions.append(
            exp.EQ(
                this=windows.held_by(TILE, names.first),
                expression=windows.held_by(TILE, names.last),
            )
        )
    else:
        since = quoted(names.since, ASKED)
        conditions.append(happened_since(quoted(names.first, TILE), since))
    if _settles_late(windows):
        settled = quoted(names.settled, TILE)
        conditions.append(settled_by(settled, windows.known_by()))
    return exp.and_(*conditions, copy=False)


def _settles_late(windows: Windows) -> bool:
    """Whether an event before q may be unknown at q, or known in another version later."""
    view = windows.search.join.view
    return arrives_by_row(view) or windows.reaches_back or has_versions(view)
