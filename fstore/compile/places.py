"""Where a relation's rows lie: the row numbers by which a few of them are read without the rest.

DuckDB numbers the rows of its tables and of a Parquet file. The numbers hold for one query, on
what does not change meanwhile; they say where a row is and never which row is the one to see.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

ROW_ID = "rowid"  # of DuckDB's tables
FILE_ROW_NUMBER = "file_row_number"  # of its Parquet reader


@dataclass(frozen=True)
class Places:
    """How the rows of a view's relation are numbered: by the column ``number``.

    ``file`` is the Parquet file that a dbt view is over, which is read in its stead, for a view
    hides the numbers; None for a table.
    """

    number: str
    file: str | None = None

    def rows(self) -> exp.Expr | None:
        """Return the rows of the file; None where the relation itself has the numbers."""
        if self.file is None:
            return None
        return exp.Table(this=exp.ReadParquet(expressions=[exp.Literal.string(self.file)]))


def file_of_view(sql: str) -> str | None:
    """Return the one Parquet file of which a view, given as its CREATE VIEW, is all rows as stored.

    None for every view that does more: that names several files, sets options, renames, computes
    or filters. The one option that dbt-duckdb writes for an external model is the default.
    """
    try:
        created = sqlglot.parse_one(sql, dialect="duckdb")
    except SqlglotError:
        return None
    query = created.expression if isinstance(created, exp.Create) else None
    if isinstance(query, exp.Subquery):
        query = query.unnest()
    if not isinstance(query, exp.Select) or {k for k, v in query.args.items() if v} != {
        "expressions",
        "from_",
    }:
        return None
    source = query.args["from_"].this
    reader = source.this
    if any(value for key, value in source.args.items() if key not in ("this", "alias")):
        return None
    if not isinstance(reader, exp.ReadParquet):
        return None
    named, *options = reader.expressions
    if not all(map(_is_default, options)):
        return None
    as_stored = all(
        type(value) is exp.Column or (type(value) is exp.Star and not any(value.args.values()))
        for value in query.expressions
    )
    single = isinstance(named, exp.Literal) and named.is_string and not set(named.name) & set("*?[")
    return named.name if as_stored and single else None


def _is_default(option: exp.Expr) -> bool:
    """Return whether this is ``union_by_name = false``, which DuckDB puts in parentheses."""
    option = option.unnest()
    if not isinstance(option, exp.EQ | exp.PropertyEQ):
        return False
    name, value = option.this.name, option.expression
    unset = isinstance(value, exp.Boolean) and not value.this
    return name.casefold() == "union_by_name" and unset
