"""What of an on-demand view's SQL can be computed without an engine, as steps.

Only operations of which the results are known to be DuckDB's, NULLs, NaN and overflow included, on
operands of the types for which they are known; anything else of a text is the engine's work, and
:class:`NotHere` says why. The types are the engine's own: it is asked once about every part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlglot import exp

from fstore.compile.on_demand import typed_expressions
from fstore.compile.operations import (
    CLOCK,
    UNITS,
    all_as,
    among,
    arithmetic,
    cases,
    cast,
    compared,
    of_one,
    of_time,
    rounded,
    texts,
)
from fstore.compile.row_local import Selected, selected, shown
from fstore.compile.steps import INT_RANGES, Apply, Constant, Read, Step
from fstore.definitions import Column, OnDemandView


class NotHere(Exception):  # noqa: N818 - no error: the engine computes it
    """Part of an expression is the engine's work; the text says which, and why."""


@dataclass(frozen=True)
class Alone:
    """Features of an on-demand view, to be computed without an engine where that is possible.

    ``within`` are the parts of their expressions, by their text; ``why`` says of each feature that
    is the engine's work already what of it is.
    """

    text: Selected
    inputs: tuple[Column, ...]
    expressions: Mapping[str, exp.Expr]
    within: Mapping[str, exp.Expr]
    why: Mapping[str, str]

    @classmethod
    def of(cls, view: OnDemandView, inputs: tuple[Column, ...], wanted: Sequence[str]) -> Alone:
        """Look at the shape of the features' expressions."""
        text = selected(view)
        every = expanded(text, inputs)
        expressions, why = {}, {}
        within: dict[str, exp.Expr] = {}
        for name in wanted:
            try:
                within |= {key(part): part for part in parts(every[name])}
                expressions[name] = every[name]
            except NotHere as reason:
                why[name] = str(reason)
        return cls(text, inputs, expressions, within, why)

    def types(self) -> str:
        """Return the query whose DESCRIBE tells the types of the parts, in their order."""
        return typed_expressions(self.text, self.inputs, list(self.within.values()))

    def steps(
        self, types: Sequence[str], to_digits: str | None
    ) -> tuple[dict[str, Step], dict[str, str]]:
        """Return the features as steps, given the types of the parts; why the others are not.

        ``to_digits`` is the operation that rounds to digits as the engine does, if there is one.
        """
        places = {column.name.casefold(): place for place, column in enumerate(self.inputs)}
        made = _Steps(places, dict(zip(self.within, types, strict=True)), to_digits)
        found, why = {}, dict(self.why)
        for name, expression in self.expressions.items():
            try:
                found[name] = made.of(expression)
            except NotHere as reason:
                why[name] = str(reason)
        return found, why


def expanded(text: Selected, inputs: Sequence[Column]) -> dict[str, exp.Expr]:
    """Return each feature's expression over columns of ``inputs`` alone, by their bare names.

    Where it names a feature that is selected before it, that one's expression takes its place.
    """
    columns = {column.name.casefold() for column in inputs}
    before: dict[str, exp.Expr] = {}

    def replaced(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        bare = len(node.parts) == 2 and node.table.casefold() == text.alias.casefold()
        folded = node.name.casefold()
        if not node.table and folded not in columns and folded in before:
            return exp.paren(before[folded], copy=True)
        return exp.column(node.this.copy()) if bare else node

    found = {}
    for name, each in zip(text.names, text.expressions, strict=True):
        found[name] = before[name.casefold()] = each.unalias().copy().transform(replaced)
    return found


def parts(expression: exp.Expr) -> Iterator[exp.Expr]:
    """Yield every part of an expression; NotHere where one has no operation."""
    yield expression
    for operand in _operands(expression):
        yield from parts(operand)


def key(part: exp.Expr) -> str:
    """Return what stands for a part among the types: parts of one text are of one type."""
    return part.sql(dialect="duckdb", comments=False)


_BINARY: dict[type[exp.Expr], str] = {
    exp.Add: "add",
    exp.Sub: "subtract",
    exp.Mul: "multiply",
    exp.Div: "divide",
    exp.IntDiv: "whole_divide",
    exp.Mod: "remainder",
}
_COMPARED: dict[type[exp.Expr], str] = {
    exp.EQ: "equal",
    exp.NEQ: "unequal",
    exp.LT: "less",
    exp.LTE: "less_or_equal",
    exp.GT: "greater",
    exp.GTE: "greater_or_equal",
    exp.NullSafeEQ: "same",
    exp.NullSafeNEQ: "distinct",
}


def _operands(node: exp.Expr) -> list[exp.Expr]:
    """Return the operands of an operation that is known here; NotHere for any other."""
    kind = type(node)
    if isinstance(node, exp.Literal | exp.Boolean | exp.Null):
        return []
    if kind is exp.Column:
        return _engine(node) if node.args.get("table") else []
    if kind in _BINARY or kind in _COMPARED or kind in (exp.And, exp.Or, exp.DPipe, exp.Nullif):
        return [node.this, node.expression]
    if kind in (exp.Paren, exp.Not, exp.Neg, exp.Abs, exp.Sqrt, exp.Floor, exp.Ceil, exp.Cast):
        plain = all(key in ("this", "to", "_type") for key, value in node.args.items() if value)
        return [node.this] if plain else _engine(node)
    if kind is exp.Is:
        return [node.this] if isinstance(node.expression, exp.Null) else _engine(node)
    if kind is exp.Case and node.args.get("this") is None:
        branches = [each for it in node.args["ifs"] for each in (it.this, it.args["true"])]
        return [*branches, *([node.args["default"]] if node.args.get("default") else [])]
    if kind is exp.If:
        otherwise = node.args.get("false")
        return [node.this, node.args["true"], *([otherwise] if otherwise else [])]
    if kind in (exp.Coalesce, exp.Greatest, exp.Least):
        return [node.this, *node.expressions]
    if kind is exp.Between and not node.args.get("symmetric"):
        return [node.this, node.args["low"], node.args["high"]]
    if kind is exp.In and node.expressions and not node.args.get("query"):
        return [node.this, *node.expressions]
    if kind is exp.Round and isinstance(node.args.get("decimals"), exp.Literal | None):
        return [node.this]
    if kind is exp.TimeToUnix or kind is exp.Hour or kind is exp.Minute:
        return [node.this]
    if kind is exp.Extract and node.name.upper() in CLOCK:
        return [node.expression]
    if kind is exp.DateDiff and str(node.args.get("unit") or "").upper() in UNITS:
        return [node.expression, node.this]
    return _engine(node)


def _engine(node: exp.Expr) -> list[exp.Expr]:
    raise NotHere(f"{shown(node)} is not among what is computed without it")


@dataclass(frozen=True)
class _Steps:
    """Turns parts into steps; each method returns one, or raises NotHere."""

    places: Mapping[str, int]
    types: Mapping[str, str]
    to_digits: str | None

    def of(self, node: exp.Expr) -> Step:
        kind = type(node)
        if kind is exp.Paren:
            return self.of(node.this)
        if kind is exp.Column:
            return Read(self.places[node.name.casefold()], self.types[key(node)])
        if isinstance(node, exp.Literal | exp.Boolean | exp.Null) or (
            kind is exp.Neg and isinstance(node.this, exp.Literal)
        ):
            return self._constant(node)
        result = self.types[key(node)]
        found = self._apply(node, result, [self.of(operand) for operand in _operands(node)])
        if found is None:
            given = ", ".join(self.types[key(operand)] for operand in _operands(node))
            raise NotHere(f"{shown(node)} is not computed without it for {given}")
        return found

    def _constant(self, node: exp.Expr) -> Constant:
        kind = self.types[key(node)]
        if isinstance(node, exp.Null):
            return Constant(None, kind)
        if isinstance(node, exp.Boolean):
            return Constant(bool(node.this), kind)
        literal = node.this if isinstance(node, exp.Neg) else node
        if literal.is_string:
            return Constant(str(literal.this), kind)
        sign = "-" if isinstance(node, exp.Neg) else ""
        if kind in INT_RANGES:
            return Constant(int(f"{sign}{literal.this}"), kind)
        if kind == "DOUBLE":
            return Constant(float(f"{sign}{literal.this}"), kind)
        if kind.startswith("DECIMAL"):
            return Constant(Decimal(f"{sign}{literal.this}"), kind)
        raise NotHere(f"{shown(node)} is a {kind}")

    def _apply(self, node: exp.Expr, result: str, given: list[Step]) -> Step | None:
        kind = type(node)
        if kind in _BINARY or kind in (exp.Neg, exp.Abs):
            name = _BINARY.get(kind) or ("negate" if kind is exp.Neg else "absolute")
            return arithmetic(name, result, given)
        if kind in (exp.Sqrt, exp.Floor, exp.Ceil):
            name = kind.__name__.lower()
            fits = result == "DOUBLE" and (given[0].type == "DOUBLE" or kind is exp.Sqrt)
            return all_as(name, result, given, "DOUBLE") if fits else None
        if kind is exp.Round:
            return rounded(node, result, given[0], self.to_digits)
        if kind in _COMPARED:
            return compared(_COMPARED[kind], given)
        if kind in (exp.And, exp.Or, exp.Not):
            return all_as(kind.__name__.lower(), result, given, "BOOLEAN")
        if kind is exp.Is:
            return Apply("is_null", tuple(given), result)
        if kind in (exp.Case, exp.If):
            return cases(result, given)
        if kind is exp.Coalesce:
            return all_as("coalesce", result, given, result)
        if kind in (exp.Greatest, exp.Least):
            return all_as(kind.__name__.lower(), result, given, result)
        if kind is exp.Nullif:
            same = compared("equal", given)
            fits = same is not None and given[0].type == result
            return Apply("null_where", (same, given[0]), result) if same and fits else None
        if kind is exp.Between:
            low, high = (
                compared(name, [given[0], bound])
                for name, bound in (("greater_or_equal", given[1]), ("less_or_equal", given[2]))
            )
            return Apply("and", (low, high), "BOOLEAN") if low and high and of_one(given) else None
        if kind is exp.In:
            return among(given)
        if kind is exp.DPipe:
            return all_as("concatenate", result, given, "VARCHAR") if texts(given) else None
        if kind is exp.Cast:
            return cast(result, given[0])
        return of_time(node, result, given)
