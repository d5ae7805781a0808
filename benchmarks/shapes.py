"""What is measured: the tables, the spines and the cases made of them.

Everything is plain values that follow from the scale alone. A scale of 1 is what the results page
shows; 0.01 is a quick look at whether everything runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PLANS = ("pairs", "bounded", "bucketed", "asof", "placed")
PARQUET_PEERS = ("limit", "fstore", "feast-duckdb", "feast-dask", "polars", "polars-late", "pandas")
WAREHOUSE_PEERS = ("limit", "fstore")  # no other peer reads a dbt-duckdb warehouse
GROWTH_PEERS = ("limit", "fstore", "feast-duckdb", "polars", "polars-late")
PEERS = PARQUET_PEERS
GROWTH_MILLIONS = (1, 3, 10, 30, 100)
MONTH = 30  # days of ttl

# How the rows of a view are stored. `table` is dbt's materialized table, its rows in the order in
# which they came; `sorted` is the same with an ORDER BY key, time at its end.
STORAGES = {
    "parquet": "raw Parquet",
    "sorted-parquet": "Parquet, sorted by key and time",
    "table": "dbt table",
    "sorted": "dbt table, sorted by key and time",
}
PARQUET_STORAGES = ("parquet", "sorted-parquet")
SORTED_STORAGES = ("sorted-parquet", "sorted")


@dataclass(frozen=True)
class Table:
    """The rows of one feature view: one key column, event_timestamp and features."""

    name: str
    key: str
    rows: int
    keys: int
    feature_count: int
    ttl_days: int | None = MONTH
    skewed: bool = False  # 1% of the keys hold half of the rows

    @property
    def features(self) -> tuple[str, ...]:
        """Names that are unique over the views of a case, so that no peer must prefix them."""
        return tuple(f"{self.name}_{number}" for number in range(self.feature_count))

    def model(self, storage: str) -> str:
        """Return the name of the dbt model, which is that of the feature view."""
        return f"{self.name}_{storage.replace('-', '_')}"


@dataclass(frozen=True)
class Spine:
    """The rows to train on: row_id (0, 1, ...), the keys and event_timestamp."""

    name: str
    rows: int
    keys: tuple[tuple[str, int], ...]  # column, how many there are to draw from
    skewed: bool = False  # drawn as the rows of a skewed table are; else evenly over the keys


@dataclass(frozen=True)
class Case:
    """One question to every peer: these views, in this storage, for this spine."""

    shape: str
    name: str
    title: str
    storage: str
    tables: tuple[Table, ...]
    spine: Spine
    peers: tuple[str, ...]
    plans: tuple[str, ...] = PLANS  # of ours, each forced in turn
    memory_limit: str | None = None  # of ours

    @property
    def data(self) -> str:
        """Name what the answer depends on: the storage makes no difference to it."""
        return f"{self.spine.name}-{'-'.join(table.name for table in self.tables)}"


def all_cases(scale: float) -> list[Case]:
    """Return every case there is, in order of the shapes."""
    return [case for shape in SHAPES.values() for case in shape(scale)]


def is_named(case: Case, word: str) -> bool:
    """Tell whether a word of --shapes means the case: a, e/10M, f/even/sorted."""
    return f"{case.name}/".startswith(f"{word}/")


def _count(full: float, scale: float) -> int:
    return max(1, round(full * scale))


def _five_million(scale: float) -> Table:
    return Table("five", "user_id", _count(5e6, scale), _count(1e5, scale), 10)


def _in_storages(shape: str, spine: str, storages: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield (name, title, storage) of each storage."""
    for storage in storages:
        yield f"{shape}/{storage}", f"{spine}, from {STORAGES[storage]}", storage


def _peers(storage: str) -> tuple[str, ...]:
    return PARQUET_PEERS if storage in PARQUET_STORAGES else WAREHOUSE_PEERS


def large_spine(scale: float) -> Iterator[Case]:
    """(a) 200k spine rows, 5M rows x 10 features of 100k keys over a year, ttl 30 days."""
    table = _five_million(scale)
    spine = Spine("large", _count(2e5, scale), ((table.key, table.keys),))
    storages = ("parquet", "sorted-parquet", "table", "sorted")
    for name, title, storage in _in_storages("a", "200k x 5M x 10", storages):
        yield Case("a", name, title, storage, (table,), spine, _peers(storage))


def small_spine(scale: float) -> Iterator[Case]:
    """(b) 1,000 spine rows on the rows of (a)."""
    table = _five_million(scale)
    spine = Spine("small", _count(1e3, scale), ((table.key, table.keys),))
    for name, title, storage in _in_storages("b", "1k x 5M x 10", ("parquet", "table", "sorted")):
        yield Case("b", name, title, storage, (table,), spine, _peers(storage))


def three_keys(scale: float) -> Iterator[Case]:
    """(c) 1M spine rows, three views of 10M rows x 4 features, each with a key of its own."""
    rows, kinds = _count(1e7, scale), (("user", 1e6), ("item", 2e5), ("store", 5e3))
    tables = tuple(Table(name, f"{name}_id", rows, _count(n, scale), 4) for name, n in kinds)
    keys = tuple((table.key, table.keys) for table in tables)
    spine = Spine("three", _count(1e6, scale), keys)
    storages = ("parquet", "table", "sorted")
    for name, title, storage in _in_storages("c", "1M x 3 views of 10M x 4", storages):
        yield Case("c", name, title, storage, tables, spine, _peers(storage))


def wide(scale: float) -> Iterator[Case]:
    """(d) 17k spine rows, ten views of 100 features, 37 MB of Parquet in all; no ttl."""
    rows, keys = _count(5400, scale), _count(1000, scale)
    tables = tuple(
        Table(f"wide{number}", "customer_id", rows, keys, 100, ttl_days=None)
        for number in range(10)
    )
    spine = Spine("wide", _count(17e3, scale), (("customer_id", keys),))
    for name, title, storage in _in_storages("d", "17k x 10 views x 100", ("parquet", "table")):
        yield Case("d", name, title, storage, tables, spine, _peers(storage))


def growth(scale: float) -> Iterator[Case]:
    """(e) 200k spine rows, 1M to 100M rows x 4 features, 50 rows a key; ours may use 6 GB."""
    for millions in GROWTH_MILLIONS:
        rows = _count(millions * 1e6, scale)
        table = Table(f"grown{millions}", "user_id", rows, max(1, rows // 50), 4)
        spine = Spine(f"grown{millions}", _count(2e5, scale), ((table.key, table.keys),))
        spine_title = f"200k x {millions}M x 4"
        for name, title, storage in _in_storages(
            f"e/{millions}M", spine_title, ("parquet", "sorted")
        ):
            peers = GROWTH_PEERS if storage == "parquet" else WAREHOUSE_PEERS
            yield Case("e", name, title, storage, (table,), spine, peers, (), "6GB")


def skew(scale: float) -> Iterator[Case]:
    """(f) as (a), but 1% of the keys hold half of the rows; the spine even, or skewed as well."""
    table = Table("skewed", "user_id", _count(5e6, scale), _count(1e5, scale), 10, skewed=True)
    for kind in ("even", "skewed"):
        keys = ((table.key, table.keys),)
        spine = Spine(f"skew-{kind}", _count(2e5, scale), keys, skewed=kind == "skewed")
        for name, title, storage in _in_storages(
            f"f/{kind}", f"hot keys, {kind} spine", ("parquet", "table", "sorted")
        ):
            yield Case("f", name, title, storage, (table,), spine, ("limit", "fstore"))


SHAPES = {
    "a": large_spine,
    "b": small_spine,
    "c": three_keys,
    "d": wide,
    "e": growth,
    "f": skew,
}
