"""What the online benchmark reads: three tables, each with the keys that are asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import spine_path, table_path
from benchmarks.project import relation
from benchmarks.protocol import View
from benchmarks.shapes import Case, Spine, Table

KEYS = (1, 10, 100, 500)  # of a call
ASKED = 50_000  # keys drawn to ask for; one in a hundred is unknown
TTL_DAYS = 3650  # checked at each read, and never over


@dataclass(frozen=True)
class OnlineTable:
    """A feature view, and where its rows and the keys to ask for are."""

    name: str  # of the dbt model, which is the feature view
    case: Case

    @property
    def table(self) -> Table:
        return self.case.tables[0]

    def view(self, data: Path) -> View:
        """Return the view as the peers find it."""
        return View(
            name=self.name,
            parquet=str(table_path(data, self.table, "parquet")),
            is_sorted=False,
            relation=relation(self.table, "parquet"),
            key=self.table.key,
            features=self.table.features,
            ttl_days=self.table.ttl_days,
        )

    def asked(self, data: Path) -> str:
        return str(spine_path(data, self.case.spine))


def ten(scale: float) -> OnlineTable:
    """5M rows x 10 features of 100,000 entities: materialized and read."""
    return _table("ten", round(5e6 * scale), round(1e5 * scale), 10)


def hundred(scale: float) -> OnlineTable:
    """100,000 rows x 100 features of 10,000 entities: read."""
    return _table("hundred", round(1e5 * scale), round(1e4 * scale), 100)


def million(scale: float) -> OnlineTable:
    """3M rows x 10 features of a million entities: what the image of an index takes."""
    return _table("million", round(3e6 * scale), round(1e6 * scale), 10)


def _table(name: str, rows: int, keys: int, features: int) -> OnlineTable:
    table = Table(name, "user_id", max(1000, rows), max(100, keys), features, TTL_DAYS)
    spine = Spine(f"asked-{name}", ASKED, ((table.key, table.keys),))
    case = Case("online", name, name, "parquet", (table,), spine, ())
    return OnlineTable(table.model("parquet"), case)
