"""entity_rows, in whatever form they were given, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fstore.errors import EntityRowsError, did_you_mean, listed

_FORMS = (
    "a list of dicts ([{'carrier': 'UA'}]), a dict of lists, or a pandas, polars or Arrow table"
)


class EntityRows:
    """The caller's rows: how many, and their columns; only those asked for are read."""

    __slots__ = ("_source", "called", "count", "names")

    def __init__(self, count: int, names: tuple[str, ...], source: Any, called: str) -> None:
        """Take the rows; ``called`` is what the caller knows them as."""
        self.count, self.names, self._source, self.called = count, names, source, called

    @classmethod
    def of(cls, given: Any, called: str = "entity_rows") -> EntityRows:
        """Read the rows; EntityRowsError for a form that is none, and for ragged rows."""
        if type(given) is list:
            return _of_dicts(cls, given, called)
        if given is None:
            raise EntityRowsError(f"{called} is missing: give {_FORMS}.")
        if isinstance(given, Mapping):
            return _of_lists(cls, given, called)
        if hasattr(given, "column_names"):  # Arrow
            return cls(given.num_rows, tuple(given.column_names), given, called)
        if hasattr(given, "columns") and hasattr(given, "shape"):  # pandas or polars
            return cls(len(given), tuple(str(name) for name in given.columns), given, called)
        if isinstance(given, Sequence) and not isinstance(given, str | bytes):
            return _of_dicts(cls, given, called)
        raise EntityRowsError(f"{called} cannot be a {type(given).__name__}: give {_FORMS}.")

    def has(self, name: str) -> bool:
        """Whether there is a column of this name, as :meth:`column` would find it."""
        return name in self.names or name.casefold() in map(str.casefold, self.names)

    def column(self, name: str, wanted_by: str, role: str = "a join key of") -> Sequence[Any]:
        """Return a column by its name, else by its name without regard to case.

        EntityRowsError where there is none says that it is ``role`` ``wanted_by``.
        """
        source = self._source
        if name not in self.names:
            folded = {known.casefold(): known for known in self.names}
            if name.casefold() not in folded:
                has = f"It has: {listed(self.names)}." if self.names else "It has no columns."
                raise EntityRowsError(
                    f"{self.called} has no column {name}, {role} {wanted_by}. {has}"
                    f"{did_you_mean(name, self.names)}"
                )
            name = folded[name.casefold()]
        cells = source[name]
        if type(cells) is list:
            return cells.copy()
        for convert in ("to_pylist", "to_list", "tolist"):
            if hasattr(cells, convert):
                found: Sequence[Any] = getattr(cells, convert)()
                return found
        return list(cells)


def _of_dicts(cls: type[EntityRows], given: Sequence[Any], called: str) -> EntityRows:
    if not given:
        return cls(0, (), {}, called)
    first = given[0]
    if len(given) == 1 and type(first) is dict:
        only = {}
        for name, value in first.items():
            only[str(name)] = [value]
        return cls(1, tuple(only), only, called)
    if {*map(type, given)} == {dict} and sum(map(len, given)) == len(given) * len(first):
        try:
            return _of_columns(cls, first, given, called)
        except KeyError:  # as many columns, but not the same
            pass
    rows = list(given)
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise EntityRowsError(
                f"{called}[{place}] is a {type(row).__name__}; each row is a dict of column to "
                "value."
            )
        if row.keys() != rows[0].keys():
            raise EntityRowsError(
                f"{called}[{place}] has {listed([str(name) for name in row])}, and "
                f"{called}[0] has {listed([str(name) for name in rows[0]])}: every row needs "
                "the same columns; give None where there is no value."
            )
    return _of_columns(cls, rows[0], rows, called)


def _of_columns(
    cls: type[EntityRows], names: Iterable[Any], rows: Sequence[Any], called: str
) -> EntityRows:
    columns = {str(name): [row[name] for row in rows] for name in names}
    return cls(len(rows), tuple(columns), columns, called)


def _of_lists(cls: type[EntityRows], given: Mapping[str, Any], called: str) -> EntityRows:
    lengths: dict[str, int] = {}
    for name, cells in given.items():
        if isinstance(cells, str | bytes) or not hasattr(cells, "__len__"):
            raise EntityRowsError(
                f"{called}[{name!r}] is a {type(cells).__name__}: give a list of values, or "
                f"rows as a list of dicts."
            )
        lengths[str(name)] = len(cells)
    if len(set(lengths.values())) > 1:
        sizes = listed([f"{name} {length}" for name, length in lengths.items()])
        raise EntityRowsError(f"{called} has columns of different lengths: {sizes}.")
    # No column at all is one row of what needs no key.
    return cls(next(iter(lengths.values()), 1), tuple(lengths), dict(given), called)
