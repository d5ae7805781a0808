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
            return cls(given.num_rows, names_of(given.column_names, called), given, called)
        if hasattr(given, "columns") and hasattr(given, "shape"):  # pandas or polars
            names = names_of(given.columns, called)
            if names != tuple(given.columns):
                given = given.set_axis(list(names), axis="columns")
            return cls(len(given), names, given, called)
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
        if getattr(getattr(cells, "dtype", None), "time_unit", None) == "ns":
            cells = cells.to_arrow()  # in a list polars leaves nanoseconds out
        for convert in ("to_pylist", "to_list", "tolist"):
            if hasattr(cells, convert):
                found: Sequence[Any] = getattr(cells, convert)()
                return found
        return list(cells)


def names_of(columns: Iterable[Any], called: str) -> tuple[str, ...]:
    """Return the names of columns as text; EntityRowsError where two have one."""
    names = tuple(map(str, columns))
    if len({*names}) < len(names):
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise EntityRowsError(
            f"{called} has more than one column named {listed(doubled)}: rename one, or leave it "
            "out."
        )
    return names


def _of_dicts(cls: type[EntityRows], given: Sequence[Any], called: str) -> EntityRows:
    if not given:
        return cls(0, (), {}, called)
    first = given[0]
    if len(given) == 1 and type(first) is dict:
        only = {}
        for name, value in first.items():
            only[str(name)] = [value]
        names = tuple(only) if len(only) == len(first) else names_of(first, called)
        return cls(1, names, only, called)
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
    texts = names_of(names, called)
    columns = {text: [row[name] for row in rows] for text, name in zip(texts, names, strict=True)}
    return cls(len(rows), texts, columns, called)


def _of_lists(cls: type[EntityRows], given: Mapping[str, Any], called: str) -> EntityRows:
    names = names_of(given, called)
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
    columns = dict(zip(names, given.values(), strict=True))
    return cls(next(iter(lengths.values()), 1), names, columns, called)
