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
from fstore.compile.row_local import Selected, selected, shown
from fstore.compile.steps import INT_RANGES, Apply, Constant, Read, Step
from fstore.definitions import Column, OnDemandView

TIME = "TIMESTAMP WITH TIME ZONE"
_PLAIN = frozenset({"DOUBLE", "VARCHAR", "BOOLEAN", TIME, *INT_RANGES})
_EXACT_DIGITS = 15  # of a decimal constant that is the same as a DOUBLE, however it is made one
UNITS = {"SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000, "DAY": 86_400_000_000}


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

    def steps(self, types: Sequence[str]) -> tuple[dict[str, Step], dict[str, str]]:
        """Return the features as steps, given the types of the parts; why the others are not."""
        places = {column.name.casefold(): place for place, column in enumerate(self.inputs)}
        made = _Steps(places, dict(zip(self.within, types, strict=True)))
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
_CLOCK = {"HOUR": "hour", "MINUTE": "minute"}


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
    if kind is exp.Extract and node.name.upper() in _CLOCK:
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
            return _arithmetic(name, result, given)
        if kind in (exp.Sqrt, exp.Floor, exp.Ceil):
            name = kind.__name__.lower()
            fits = result == "DOUBLE" and (given[0].type == "DOUBLE" or kind is exp.Sqrt)
            return _all(name, result, given, "DOUBLE") if fits else None
        if kind is exp.Round:
            return _rounded(node, result, given[0])
        if kind in _COMPARED:
            return _compared(_COMPARED[kind], given)
        if kind in (exp.And, exp.Or, exp.Not):
            return _all(kind.__name__.lower(), result, given, "BOOLEAN")
        if kind is exp.Is:
            return Apply("is_null", tuple(given), result)
        if kind in (exp.Case, exp.If):
            return _case(result, given)
        if kind is exp.Coalesce:
            return _all("coalesce", result, given, result)
        if kind in (exp.Greatest, exp.Least):
            return _all(kind.__name__.lower(), result, given, result)
        if kind is exp.Nullif:
            same = _compared("equal", given)
            fits = same is not None and given[0].type == result
            return Apply("null_where", (same, given[0]), result) if same and fits else None
        if kind is exp.Between:
            low, high = (
                _compared(name, [given[0], bound])
                for name, bound in (("greater_or_equal", given[1]), ("less_or_equal", given[2]))
            )
            of_one = len({_family(it.type) for it in given}) == 1
            return Apply("and", (low, high), "BOOLEAN") if low and high and of_one else None
        if kind is exp.In:
            return _among(given)
        if kind is exp.DPipe:
            return _all("concatenate", result, given, "VARCHAR") if _texts(given) else None
        if kind is exp.Cast:
            return _cast(result, given[0])
        return _of_time(node, result, given)


def _arithmetic(name: str, result: str, given: Sequence[Step]) -> Step | None:
    if result == "DOUBLE" and name not in ("whole_divide", "remainder"):
        return _all(name, result, given, "DOUBLE")
    if result in INT_RANGES and name != "divide":
        return _all(f"{name}_whole", result, given, result)
    return None


def _all(name: str, result: str, given: Sequence[Step], wanted: str) -> Step | None:
    """Return the operation with all operands of the type wanted; None where one cannot be."""
    arguments = [as_type(each, wanted) for each in given]
    whole = tuple(each for each in arguments if each is not None)
    return Apply(name, whole, result) if len(whole) == len(arguments) else None


def as_type(given: Step, wanted: str) -> Step | None:
    """Return a step as one of the type wanted, where the engine makes the same value of it."""
    if isinstance(given, Constant):
        return _constant_as(given, wanted)
    if wanted not in _PLAIN:
        return None
    if given.type == wanted:
        return given
    if wanted == "DOUBLE":
        if given.type in INT_RANGES:
            return Apply("to_float", (given,), wanted)
        return given if given.type == "FLOAT" else None
    if wanted in INT_RANGES and given.type in INT_RANGES:
        low, high = INT_RANGES[given.type]
        least, most = INT_RANGES[wanted]
        return given if least <= low and high <= most else None
    return None


def _constant_as(given: Constant, wanted: str) -> Constant | None:
    value = given.value
    if value is None:
        return Constant(None, wanted)
    if isinstance(value, bool):
        return given if wanted == "BOOLEAN" else None
    if isinstance(value, str):
        return given if wanted == "VARCHAR" else None
    if wanted in INT_RANGES and isinstance(value, int):
        least, most = INT_RANGES[wanted]
        return Constant(value, wanted) if least <= value <= most else None
    if wanted == "DOUBLE":
        exact = not isinstance(value, Decimal) or len(value.as_tuple().digits) <= _EXACT_DIGITS
        small = not isinstance(value, int) or abs(value) < 2**53
        return Constant(float(value), wanted) if exact and small else None
    return None


def _family(kind: str) -> str:
    return "whole" if kind in INT_RANGES else kind


def _texts(given: Sequence[Step]) -> bool:
    return all(each.type == "VARCHAR" for each in given)


def _compared(name: str, given: Sequence[Step]) -> Step | None:
    """Return a comparison of two steps, as values that Python orders as the engine does."""
    kinds = {each.type for each in given}
    if kinds <= set(INT_RANGES) or kinds == {"VARCHAR"} or kinds == {"BOOLEAN"}:
        return Apply(name, tuple(given), "BOOLEAN")
    if kinds == {TIME}:
        return Apply(name, tuple(Apply("micros", (it,), "BIGINT") for it in given), "BOOLEAN")
    if kinds == {"FLOAT"} or "DOUBLE" in kinds:
        if any(isinstance(it, Constant) and it.value is None for it in given):
            return None
        wanted = [it if it.type == "FLOAT" else as_type(it, "DOUBLE") for it in given]
        whole = tuple(each for each in wanted if each is not None)
        return Apply(f"{name}_float", whole, "BOOLEAN") if len(whole) == len(wanted) else None
    return None


def _case(result: str, given: Sequence[Step]) -> Step | None:
    """Return a CASE: condition and value by turns, then perhaps the value of ELSE."""
    pairs = len(given) // 2 * 2
    arguments: list[Step] = []
    for place, each in enumerate(given):
        is_condition = place < pairs and place % 2 == 0
        found = as_type(each, "BOOLEAN" if is_condition else result)
        if found is None:
            return None
        arguments.append(found)
    if len(given) == pairs:
        arguments.append(Constant(None, result))
    return Apply("case", tuple(arguments), result)


def _among(given: Sequence[Step]) -> Step | None:
    one = len({_family(each.type) for each in given}) == 1
    tests = [_compared("equal", [given[0], each]) for each in given[1:]] if one else [None]
    found: Step | None = tests[0]
    for test in tests[1:]:
        found = Apply("or", (found, test), "BOOLEAN") if found and test else None
    return found


def _rounded(node: exp.Expr, result: str, given: Step) -> Step | None:
    decimals = node.args.get("decimals")
    text = "0" if decimals is None else str(decimals.this)
    if result != "DOUBLE" or given.type != "DOUBLE" or not (text.isdigit() and int(text) <= 15):
        return None
    name = "round" if decimals is None else "round_to"
    return Apply(name, (given,), result, option=int(text))


def _cast(result: str, given: Step) -> Step | None:
    if given.type == result and result in _PLAIN:
        return given
    if result in INT_RANGES and given.type in INT_RANGES:
        return Apply("to_whole", (given,), result)
    if result == "DOUBLE" and (given.type in INT_RANGES or given.type == "FLOAT"):
        return as_type(given, result)
    if result in INT_RANGES and given.type == "BOOLEAN":
        return Apply("truth_to_whole", (given,), result)
    return None


def _of_time(node: exp.Expr, result: str, given: Sequence[Step]) -> Step | None:
    if any(each.type != TIME for each in given):
        return None
    micros = tuple(Apply("micros", (each,), "BIGINT") for each in given)
    if isinstance(node, exp.TimeToUnix):
        return Apply("epoch", micros, result)
    if isinstance(node, exp.DateDiff):
        return Apply("micros_diff", micros, result, option=UNITS[str(node.args["unit"]).upper()])
    name = node.name.upper() if isinstance(node, exp.Extract) else type(node).__name__.upper()
    return Apply(_CLOCK[name], micros, result)
