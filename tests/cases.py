"""Reads the conformance files: YAML whose tables are text, one row a line.

    k: BIGINT | t: TIMESTAMP        | x: VARCHAR
    1         | 2024-01-01 00:00:00 | NULL

The head of a column is its name, then its DuckDB type where one matters. A cell is text that
DuckDB casts; NULL is NULL, and quotes keep what they hold as it stands: 'NULL', ' a ', ''.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from tests import harness, oracle

FOLDER = Path(__file__).parent / "conformance"
CLOCK_TYPES = ("TIMESTAMP", "DATE")
CASE_KEYS = {
    "case",
    "shows",
    "views",
    "services",
    "spine",
    "forms",
    "features",
    "feature_service",
    "full_feature_names",
    "include_event_timestamps",
    "event_timestamp",
    "start",
    "end",
    "expect",
    "pandas",
    "warns",
    "error",
    "steps",
    "clock",
    "oracle",
    "on_demand",
}


@dataclass(frozen=True)
class Table:
    """A table of a case: column names to types ("" where none is written), and rows of text."""

    columns: dict[str, str]
    rows: list[list[str | None]]

    @classmethod
    def parse(cls, text: str) -> Table:
        head, *body = [line for line in text.splitlines() if line.strip()]
        columns = dict(split_head(part.strip()) for part in head.split("|"))
        rows = [[cell(part.strip()) for part in line.split("|")] for line in body]
        for line, row in zip(body, rows, strict=True):
            if len(row) != len(columns):
                raise ValueError(f"{line!r} has {len(row)} cells, its head {len(columns)}")
        return cls(columns, rows)

    def values(self) -> list[oracle.Row]:
        """The rows as the oracle takes them; what it need not compare stays text."""
        names = list(self.columns)
        return [
            {name: value(text, self.columns[name]) for name, text in zip(names, row, strict=True)}
            for row in self.rows
        ]


def split_head(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition(": ")
    name, kind = (name, kind.strip()) if name else (text, "")
    return (name[1:-1] if re.fullmatch("'.*'", name) else name), kind


def cell(text: str) -> str | None:
    if text == "NULL":
        return None
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def value(text: str | None, kind: str) -> Any:
    """A cell as a Python value that equals and orders as DuckDB's does."""
    if text is None:
        return None
    if "INT" in kind and "[" not in kind and "(" not in kind:
        return int(text)
    if kind in ("DOUBLE", "FLOAT", "REAL"):
        return float(text)
    if kind.startswith("DECIMAL") and "[" not in kind:
        return Decimal(text)
    if kind == "BOOLEAN":
        return text == "true"
    return text


def duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    count, unit = text.split()
    return timedelta(**{unit if unit.endswith("s") else unit + "s": int(count)})


def texts(table: pa.Table) -> list[list[str | None]]:
    """Every cell as DuckDB writes it, in UTC."""
    connection = harness.in_memory()
    connection.register("answer", table)
    columns = ", ".join(f"CAST({harness.quoted(name)} AS VARCHAR)" for name in table.column_names)
    return [list(row) for row in connection.sql(f"SELECT {columns} FROM answer").fetchall()]


def types(table: pa.Table) -> dict[str, str]:
    """The DuckDB type of every column."""
    connection = harness.in_memory()
    connection.register("answer", table)
    described = connection.sql("DESCRIBE SELECT * FROM answer").fetchall()
    return {row[0]: row[1] for row in described}


def as_select(columns: Mapping[str, str], rows: Sequence[Any]) -> str:
    """The rows as one SELECT, its ORDER BY not among its columns."""
    texts = [harness.cells(columns, row) for row in rows]
    values = [
        ", ".join([str(number), *("NULL" if text is None else literal(text) for text in row)])
        for number, row in enumerate(texts or [[None] * len(columns)])
    ]
    names = ", ".join(["n", *(f"c{number}" for number in range(len(columns)))])
    source = f"(VALUES {', '.join(f'({row})' for row in values)}) AS given({names})"
    return harness.typed_select(columns, source) + (" ORDER BY n" if texts else " WHERE false")


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class BuiltView:
    """A view of a case, ready for the harness and for the oracle."""

    name: str
    meta: dict[str, Any] | None
    table: Table
    snapshot: bool = False
    version: int | str | None = None
    latest_version: int | str | None = None
    config: Mapping[str, Any] | None = None
    declared_columns: Sequence[str] = ()
    built: bool = True

    @property
    def reference(self) -> str:
        return self.name if self.version is None else f"{self.name}.v{self.version}"

    def for_harness(self) -> harness.View:
        return harness.View(
            self.name,
            self.table.columns,
            self.table.rows,
            self.meta,
            config=self.config or {},
            snapshot=self.snapshot,
            version=self.version,
            latest_version=self.latest_version,
            declared_columns=self.declared_columns,
            built=self.built,
        )

    def for_oracle(self) -> oracle.View:
        meta = self.meta or {}
        rows = self.table.values()
        return oracle.View(
            columns=list(self.table.columns),
            keys=self.keys,
            event_timestamp=self.event_timestamp,
            rows=rows,
            created_timestamp=meta.get("created_timestamp"),
            known_at=meta.get("known_at", True),
            delay=duration(meta.get("delay")),
            backfilled_until=meta.get("backfilled_until"),
            ttl=duration(meta.get("ttl")),
            valid_to=self.present("dbt_valid_to") if self.snapshot else None,
            is_deleted=self.present("dbt_is_deleted") if self.snapshot else None,
            event_key=self.event_key,
            windows=self.windows(rows),
        )

    @property
    def event_key(self) -> list[str]:
        given = (self.meta or {}).get("event_key", [])
        return [given] if isinstance(given, str) else given

    def windows(self, rows: list[oracle.Row]) -> dict[str, oracle.Window]:
        """The window features that the view declares, for these rows of it."""
        found = {}
        for entry in (self.meta or {}).get("aggregations", []):
            column, where = entry.get("column"), entry.get("where")
            held = None if where is None else self.held(where, rows)
            for window in entry["windows"]:
                count, unit = window.split()
                for function in entry.get("functions", ["count"]):
                    parts = (entry.get("name") or column, function, f"{count}{unit[0]}")
                    found["_".join(part for part in parts if part)] = oracle.Window(
                        function, column, duration(window), held, duration(entry.get("hop"))
                    )
        return found

    def held(self, where: str, rows: list[oracle.Row]) -> Callable[[oracle.Row], bool | None]:
        """What says of one of these rows whether a condition holds: DuckDB, asked row by row."""
        connection = harness.in_memory()
        given = as_select(self.table.columns, self.table.rows).removesuffix(" ORDER BY n")
        answers = connection.execute(f"SELECT {where} FROM ({given})").fetchall()
        by_row = {id(row): answer for row, (answer,) in zip(rows, answers, strict=True)}
        return lambda row: by_row[id(row)]

    @property
    def kinds(self) -> dict[str, str]:
        """The type of every column and of every window feature."""
        kinds = dict(self.table.columns)
        for name, window in self.windows(self.table.values()).items():
            given = self.table.columns.get(window.column or "", "")
            kinds[name] = {"count": "BIGINT", "approx_count_distinct": "BIGINT"}.get(
                window.function, given
            )
            if window.function in ("avg", "stddev"):
                kinds[name] = "DOUBLE"
            elif window.function == "sum" and given.startswith("DECIMAL"):
                kinds[name] = f"DECIMAL(38,{given.rpartition(',')[2]}"
            elif window.function == "sum":
                kinds[name] = given if given == "DOUBLE" else "BIGINT"
        return kinds

    def present(self, name: str) -> str | None:
        return name if name in self.table.columns else None

    @property
    def event_timestamp(self) -> str:
        default = "dbt_valid_from" if self.snapshot else (self.config or {}).get("event_time")
        return (self.meta or {}).get("event_timestamp", default)

    @property
    def keys(self) -> list[str]:
        entities = (self.meta or {}).get("entities", {})
        nested = [[keys] if isinstance(keys, str) else keys for keys in entities.values()]
        return list(dict.fromkeys(key for keys in nested for key in keys))

    @property
    def features(self) -> list[str]:
        meta = self.meta or {}
        if "aggregations" in meta:
            return list(self.windows(self.table.values()))
        apart = {*self.keys, self.event_timestamp, meta.get("created_timestamp")}
        apart |= set(meta.get("exclude", ()))
        return [
            name
            for name in self.table.columns
            if name not in apart
            and not (self.snapshot and name.startswith("dbt_"))
            and name in meta.get("features", self.table.columns)
        ]


@dataclass(frozen=True)
class Case:
    """One case: what it shows, the project it needs, and what is asked of it."""

    file: str
    name: str
    shows: str
    views: list[BuiltView]
    services: dict[str, Any]
    content: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.content.get(key)

    @property
    def id(self) -> str:
        return f"{self.file}: {self.name}"

    def view(self, reference: str) -> BuiltView:
        """The view of a reference: ``v``, or ``v.v2``; a bare name is the latest version."""
        for view in self.views:
            latest = view.version is None or str(view.version) == str(view.latest_version)
            if reference == view.reference or (reference == view.name and latest):
                return view
        raise KeyError(reference)

    def with_rows(self, rows: Mapping[str, str]) -> Case:
        """The case after the tables of some views were replaced."""
        views = [
            BuiltView(**{**view.__dict__, "table": Table.parse(rows[view.name])})
            if view.name in rows
            else view
            for view in self.views
        ]
        return Case(self.file, self.name, self.shows, views, self.services, self.content)

    def make(self, directory: Path, extra: Sequence[harness.View] = ()) -> Path:
        services = [
            harness.Service(name, parts["features"], parts.get("full_feature_names"))
            for name, parts in self.services.items()
        ]
        views = [view.for_harness() for view in self.views]
        views += [
            harness.on_demand(name, **parts) for name, parts in (self["on_demand"] or {}).items()
        ]
        return harness.make_project(directory, [*views, *extra], services)

    def projections(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a request asks: one part a view, ``features`` in the order asked."""
        service = request.get("feature_service")
        asked = self.services[service]["features"] if service else request["features"]
        parts: list[dict[str, Any]] = []
        for item in asked:
            part = dict(item) if isinstance(item, Mapping) else split_reference(item)
            if part["view"] in (self["on_demand"] or {}):
                continue  # what it computes is not for the oracle
            view = self.view(part["view"])
            part["features"] = list(part.get("features") or view.features)
            parts.append(part | {"pinned": "." in part["view"], "built": view})
        return parts

    def asked(self, request: Mapping[str, Any]) -> list[oracle.Asked]:
        """The request as the oracle takes it, output names and all."""
        service = self.services.get(request.get("feature_service") or "", {})
        full = request.get("full_feature_names")
        full = service.get("full_feature_names", False) if full is None else full
        stamped: set[str] = set()
        asked = []
        for part in self.projections(request):
            view: BuiltView = part["built"]
            label = view.reference.replace(".", "_") if part["pinned"] else view.name
            prefixed = full or part.get("alias")
            label = part.get("alias") or label
            stamp = f"{label}__event_timestamp" if request.get("include_event_timestamps") else None
            names = {name: f"{label}__{name}" if prefixed else name for name in part["features"]}
            once = stamp if stamp not in stamped else None
            asked.append(oracle.Asked(view.for_oracle(), names, part.get("join_keys", {}), once))
            stamped |= {stamp} if stamp else set()
        return asked


def split_reference(text: str) -> dict[str, Any]:
    view, _, feature = text.partition(":")
    return {"view": view} if feature in ("", "*") else {"view": view, "features": [feature]}


def read_views(content: Mapping[str, Any]) -> list[BuiltView]:
    return [
        BuiltView(
            parts.get("name", name),
            parts.get("meta"),
            Table.parse(parts["rows"]),
            **{
                key: parts[key]
                for key in (
                    "snapshot",
                    "version",
                    "latest_version",
                    "config",
                    "declared_columns",
                    "built",
                )
                if key in parts
            },
        )
        for name, parts in content.items()
    ]


def load(path: Path) -> Iterator[Case]:
    """Every case of a file. What stands at its top (views, services) holds for all its cases."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for each in content["cases"]:
        unknown = set(each) - CASE_KEYS
        if unknown or not each.get("shows"):
            raise ValueError(f"{path.name}: {each.get('case')}: {unknown or 'shows is missing'}")
        views = content.get("views", {}) | each.get("views", {})
        services = content.get("services", {}) | each.get("services", {})
        each["on_demand"] = content.get("on_demand", {}) | each.get("on_demand", {})
        yield Case(path.stem, each["case"], each["shows"], read_views(views), services, each)


def load_all() -> list[Case]:
    cases = [case for path in sorted(FOLDER.glob("*.yml")) for case in load(path)]
    ids = [case.id for case in cases]
    twice = {name for name in ids if ids.count(name) > 1}
    if twice:
        raise ValueError(f"these cases have one name twice: {sorted(twice)}")
    return cases
