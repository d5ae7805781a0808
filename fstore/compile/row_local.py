"""The SQL of an on-demand view: one SELECT from ``inputs`` that never looks past its row.

What can be told by the shape of the text is told here, each expression by name; whether a function
is one that DuckDB computes of its arguments alone is for the engine's own list of them
(:mod:`fstore.compile.functions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp

from fstore.definitions import OnDemandView
from fstore.errors import OnDemandError, did_you_mean, listed

INPUTS = "inputs"  # the relation that the text selects from
_SHOWN = 80  # characters of an expression in a sentence

_PER_ROW = "on-demand SQL is computed for one row at a time"
_IN_A_VIEW = "compute it in a feature view, and name that in inputs"
# What a SELECT may not have, by sqlglot's name for it.
_CLAUSES = {
    "with_": "WITH",
    "distinct": "DISTINCT",
    "joins": "JOIN",
    "laterals": "LATERAL",
    "where": "WHERE",
    "group": "GROUP BY",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "windows": "WINDOW",
    "order": "ORDER BY",
    "limit": "LIMIT",
    "offset": "OFFSET",
    "sample": "USING SAMPLE",
}
# What an expression may not be: the kind of node, what it is, and what to do instead.
_REFUSED: tuple[tuple[tuple[type[exp.Expr], ...], str], ...] = (
    (
        (exp.Query, exp.Exists),
        f"is a subquery, which looks at other rows; {_PER_ROW}: {_IN_A_VIEW}",
    ),
    ((exp.Window,), f"is a window function, which looks at other rows; {_PER_ROW}: {_IN_A_VIEW}"),
    (
        (exp.AggFunc, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls),
        f"is an aggregate, which looks at other rows; {_PER_ROW}: {_IN_A_VIEW}",
    ),
    (
        (exp.UDTF, exp.Explode),
        f"makes several rows of one; {_PER_ROW}: take one element, or a list function",
    ),
    (
        (exp.Star, exp.Columns),
        "stands for columns that it does not name, and inputs are not returned: name each feature",
    ),
    (
        (
            exp.CurrentDate,
            exp.CurrentDatetime,
            exp.CurrentTime,
            exp.CurrentTimestamp,
            exp.Localtime,
            exp.Localtimestamp,
        ),
        "is the time at which a query runs: write event_timestamp, the instant that is asked for",
    ),
    (
        (exp.Rand, exp.Randn, exp.Uuid, exp.NextValueFor),
        "is another value at every call, so training and serving would differ: leave it out",
    ),
    (
        (exp.CurrentUser, exp.CurrentSchema, exp.CurrentCatalog),
        "depends on the session that runs it, so training and serving would differ: leave it out",
    ),
    ((exp.Placeholder, exp.Parameter), "is a parameter: declare a request field, and name it"),
)


@dataclass(frozen=True)
class Selected:
    """What an on-demand view selects: expressions by name, in order, and how it calls inputs.

    The trees are shared: copy what goes into another.
    """

    alias: str
    names: tuple[str, ...]
    expressions: tuple[exp.Expr, ...]

    def from_(self, source: exp.Expr) -> exp.Select:
        """Return the SELECT, reading from ``source``, whose alias is :attr:`alias`."""
        values = [each.copy() for each in self.expressions]
        return exp.Select(expressions=values).from_(source, copy=False)


def selected(view: OnDemandView) -> Selected:
    """Return what the view selects; OnDemandError names every expression that is not row-local."""
    found, reasons = read(view.sql)
    if reasons or found is None:
        raise OnDemandError(view.name, view.file, reasons)
    return found


@lru_cache(maxsize=256)
def read(sql: str) -> tuple[Selected | None, tuple[str, ...]]:
    """Return what a text selects, and why it cannot: one sentence for each part of it."""
    try:
        statements = [each for each in sqlglot.parse(sql, dialect="duckdb") if each is not None]
    except sqlglot.errors.SqlglotError as error:
        first = str(error).strip().partition("\n")[0]
        return None, (f"is not SQL that can be read: {first}",)
    if len(statements) != 1 or type(statements[0]) is not exp.Select:
        what = shown(statements[0]) if statements else "nothing"
        return None, (f"{what} is not one SELECT: write select <expressions> from {INPUTS}",)
    query = statements[0]
    for node in query.walk():
        node.comments = None
    reasons = [*_clauses(query), *_source(query)]
    names: list[str] = []
    for each in query.expressions:
        wrong = list(_not_row_local(each))
        reasons += wrong
        name = each.alias if isinstance(each, exp.Alias) else ""
        if not name and isinstance(each, exp.Column) and isinstance(each.this, exp.Identifier):
            name = each.name
        if name and name.casefold() in map(str.casefold, names):
            reasons.append(f"{name} is selected twice: name one of the two otherwise")
        elif not name and not wrong:
            reasons.append(f"{shown(each)} has no name: write {shown(each)} as <name>")
        names.append(name)
    if reasons:
        return None, tuple(reasons)
    table = query.find(exp.Table)
    assert table is not None, "the source was looked at"
    return Selected(table.alias or INPUTS, tuple(names), tuple(query.expressions)), ()


def unknown_columns(text: Selected, inputs: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each name that is neither a column of ``inputs`` nor selected before."""
    known = {name.casefold() for name in inputs}
    for name, each in zip(text.names, text.expressions, strict=True):
        bound = {it.expression.name.casefold() for it in each.find_all(exp.Comprehension)}
        for column in each.find_all(exp.Column):
            parts = [part.name for part in column.parts]
            if len(parts) > 1 and parts[0].casefold() == text.alias.casefold():
                del parts[0]
            if parts[0].casefold() not in known | bound:
                yield (
                    f"{parts[0]} in {shown(each.unalias())} is no column of {INPUTS}, which has: "
                    f"{listed(inputs)}.{did_you_mean(parts[0], inputs)}"
                )
        known.add(name.casefold())


def columns_read(text: Selected) -> frozenset[str]:
    """Return the names, case folded, that may be columns of ``inputs`` in the text."""
    every = (column for each in text.expressions for column in each.find_all(exp.Column))
    return frozenset(part.name.casefold() for column in every for part in column.parts)


def shown(node: exp.Expr) -> str:
    """Return an expression as a sentence has it."""
    text = node.sql(dialect="duckdb", comments=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _clauses(query: exp.Select) -> Iterator[str]:
    for key, name in _CLAUSES.items():
        if found := query.args.get(key):
            what = found[0] if isinstance(found, list) else found
            yield (
                f"{shown(what)} is not for an on-demand view ({name}), which has one row for each "
                f"row of {INPUTS} and reads nothing else: write select <expressions> from {INPUTS}"
            )
    for key, found in query.args.items():
        if found and key not in _CLAUSES and key not in ("expressions", "from_", "kind"):
            yield f"{key} is not for an on-demand view: write select <expressions> from {INPUTS}"


def _source(query: exp.Select) -> Iterator[str]:
    source = query.args.get("from_")
    table = None if source is None else source.this
    if (
        not isinstance(table, exp.Table)
        or not isinstance(table.this, exp.Identifier)
        or table.name.casefold() != INPUTS
        or any(value for key, value in table.args.items() if key not in ("this", "alias"))
        or table.alias_column_names
    ):
        what = "nothing" if table is None else shown(table)
        yield (
            f"it reads from {what}: an on-demand view reads from {INPUTS} alone, which has what "
            "its meta.fstore names under inputs and request"
        )


def _not_row_local(node: exp.Expr) -> Iterator[str]:
    """Yield why parts of an expression cannot be; of a part that cannot, nothing within it."""
    for kinds, reason in _REFUSED:
        if isinstance(node, kinds):
            yield f"{shown(node)} {reason}"
            return
    for child in node.iter_expressions():
        if isinstance(node, exp.Column) and isinstance(child, exp.Star):
            yield from (f"{shown(node)} {why}" for kinds, why in _REFUSED if exp.Star in kinds)
        else:
            yield from _not_row_local(child)
