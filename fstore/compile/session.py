"""The statements that prepare a DuckDB session: settings, secrets, attached databases.

Names go through sqlglot as identifiers and values as literals, whatever a profile holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp

from fstore.compile.sql import identifier, render

# One row: what a session may use.
LIMITS = "SELECT " + ", ".join(
    f"current_setting('{name}')" for name in ("memory_limit", "threads", "temp_directory")
)


def attach(
    path: str,
    alias: str | None,
    *,
    read_only: bool = False,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Return ``ATTACH 'path' AS "alias" (READ_ONLY, ...)``."""
    what: exp.Expr = exp.Literal.string(path)
    if alias:
        what = exp.alias_(what, identifier(alias))
    words = [exp.AttachOption(this=exp.var("READ_ONLY"))] if read_only else []
    words += [
        exp.AttachOption(this=exp.var(_word(name).upper()), expression=literal(value))
        for name, value in (options or {}).items()
    ]
    return exp.Attach(this=what, expressions=words).sql(dialect="duckdb")


def detach(name: str) -> str:
    """Return ``DETACH "name"``."""
    return f"DETACH {render(identifier(name))}"


def use(database: str, schema: str) -> str:
    """Return ``USE "database"."schema"``."""
    table = exp.Table(this=identifier(schema), db=identifier(database))
    return render(exp.Use(this=table))


def set_value(name: str, value: Any) -> str:
    """Return ``SET name = value``."""
    return f"SET {_word(name)} = {render(literal(value))}"


def create_secret(
    name: str,
    kind: str,
    provider: str | None,
    scope: Sequence[str],
    parameters: Mapping[str, Any],
) -> str:
    """Return ``CREATE SECRET "name" (TYPE kind, ...)``, for this session only."""
    parts = [f"TYPE {_word(kind)}"]
    if provider:
        parts.append(f"PROVIDER {_word(provider)}")
    if scope:
        parts.append(f"SCOPE {render(literal(list(scope)))}")
    parts += [f"{_word(key)} {render(literal(value))}" for key, value in parameters.items()]
    return f"CREATE TEMPORARY SECRET {render(identifier(name))} ({', '.join(parts)})"


def load_extension(name: str) -> str:
    """Return ``LOAD name``."""
    return f"LOAD {_word(name)}"


def literal(value: Any) -> exp.Expr:
    """Return a Python value (text, number, boolean, list or mapping of them) as SQL."""
    if isinstance(value, Mapping):
        keys = exp.Array(expressions=[literal(key) for key in value])
        values = exp.Array(expressions=[literal(item) for item in value.values()])
        return exp.Map(keys=keys, values=values)
    if isinstance(value, list | tuple):
        return exp.Array(expressions=[literal(item) for item in value])
    return exp.convert(value)


def _word(name: str) -> str:
    """Return a bare word of SQL; ValueError for anything that is not one."""
    if not (name.isidentifier() and name.isascii()):
        raise ValueError(f"{name!r} is not a plain word")
    return name
