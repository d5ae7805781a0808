"""Builds on disk what `dbt build` leaves behind, without running dbt (which takes seconds a call).

The result is a project directory with dbt_project.yml, profiles.yml, target/manifest.json in the
form of dbt 1.11 (v12) and the built relations in a DuckDB file. Tests use it through the public
API:

    project = make_project(tmp_path, views=[View("stats", {"k": "BIGINT", "t": "TIMESTAMP"}, rows)])
    FeatureStore(project)
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import yaml

if TYPE_CHECKING:
    import pytest

PROJECT = "shop"
WAREHOUSE = "wh.duckdb"
MANIFEST_VERSION = "https://schemas.getdbt.com/dbt/manifest/v12.json"


@dataclass(frozen=True)
class View:
    """A model or snapshot, built. ``meta`` is its meta.fstore; None makes it a plain model.

    ``columns`` maps names to DuckDB types; a row is a dict or a sequence in that order, its cells
    Python values or text that DuckDB can cast. ``select`` builds a view over that query instead.
    """

    name: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any] | Sequence[Any]] = ()
    meta: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)  # more of the node's config
    snapshot: bool = False
    version: int | str | None = None
    latest_version: int | str | None = None
    built: bool = True
    schema: str = "main"
    select: str | None = None
    declared_columns: Sequence[str] = ()

    @property
    def relation(self) -> str:
        return self.name if self.version is None else f"{self.name}_v{self.version}"

    @property
    def unique_id(self) -> str:
        kind = "snapshot" if self.snapshot else "model"
        suffix = "" if self.version is None else f".v{self.version}"
        return f"{kind}.{PROJECT}.{self.name}{suffix}"


def on_demand(name: str, sql: str, **meta: Any) -> View:
    """An ephemeral model that declares features on demand; ``meta`` has inputs, request, ..."""
    kind = {"kind": "on_demand"}
    config = {"materialized": "ephemeral"}
    return View(name, {}, meta=kind | meta, select=sql, config=config, built=False)


@dataclass(frozen=True)
class Service:
    """An exposure of type ml; ``features`` as its meta.fstore writes them."""

    name: str
    features: Sequence[str | Mapping[str, Any]]
    full_feature_names: bool | None = None
    depends_on: Sequence[str] | None = None  # unique ids; None: the views that features name


def make_project(
    directory: Path,
    views: Sequence[View] = (),
    services: Sequence[Service] = (),
    fstore_yml: Mapping[str, Any] | None = None,
) -> Path:
    """Write the whole project into ``directory`` (made if absent) and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"name": PROJECT, "profile": PROJECT, "version": "1.0", "model-paths": ["models"]}
    settings["flags"] = {"send_anonymous_usage_stats": False}
    output = {
        "type": "duckdb",
        "path": WAREHOUSE,
        "threads": 2,
        "settings": {"TimeZone": "UTC"},
        "retries": {"connect_attempts": 6},
    }
    write_yaml(directory / "dbt_project.yml", settings)
    write_yaml(directory / "profiles.yml", {PROJECT: {"target": "dev", "outputs": {"dev": output}}})
    if fstore_yml is not None:
        write_yaml(directory / "fstore.yml", fstore_yml)
    write_manifest(directory, views, services)
    write_tables(directory, views)
    return directory


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def cell_text(value: Any) -> str | None:
    """One cell as text that DuckDB casts to any column type; None is NULL."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat().replace("T", " ")
    if isinstance(value, float) and math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return str(value)


def typed_select(columns: Mapping[str, str], source: str) -> str:
    casts = [
        f"CAST(c{number} AS {kind}) AS {quoted(name)}"
        for number, (name, kind) in enumerate(columns.items())
    ]
    return f"SELECT {', '.join(casts)} FROM {source}"


def cells(columns: Mapping[str, str], row: Mapping[str, Any] | Sequence[Any]) -> list[str | None]:
    """A row's cells as text, in the order of ``columns``."""
    ordered = [row[name] for name in columns] if isinstance(row, Mapping) else row
    return [cell_text(value) for value in ordered]


def text_table(columns: Mapping[str, str], rows: Iterable[Any]) -> pa.Table:
    """The rows as a table of text columns c0, c1, ... in the order of ``columns``."""
    texts = [cells(columns, row) for row in rows]
    return pa.table(
        {
            f"c{number}": pa.array([row[number] for row in texts], pa.string())
            for number in range(len(columns))
        }
    )


@cache
def in_memory() -> duckdb.DuckDBPyConnection:
    """One database of this process for casts, so that a test does not start an engine a table."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def typed_table(columns: Mapping[str, str], rows: Iterable[Any]) -> pa.Table:
    """The rows as an Arrow table of the given DuckDB types: what tests hand over as a spine."""
    connection = in_memory()
    connection.register("texts", text_table(columns, rows))
    return connection.sql(typed_select(columns, "texts")).to_arrow_table()


def write_tables(directory: Path, views: Iterable[View]) -> None:
    """Create (or replace) the relations of the built views in the project's warehouse."""
    with duckdb.connect(str(directory / WAREHOUSE), config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for view in views:
            if not view.built:
                continue
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(view.schema)}")
            name = f"{quoted(view.schema)}.{quoted(view.relation)}"
            if view.select is not None:
                connection.execute(f"CREATE OR REPLACE VIEW {name} AS {view.select}")
                continue
            connection.register("texts", text_table(view.columns, view.rows))
            body = typed_select(view.columns, "texts")
            connection.execute(f"CREATE OR REPLACE TABLE {name} AS {body}")
            connection.unregister("texts")


def write_manifest(directory: Path, views: Sequence[View], services: Sequence[Service]) -> None:
    """Write target/manifest.json as dbt 1.11 does, with what fstore could look at."""
    (directory / "target").mkdir(exist_ok=True)
    nodes = {view.unique_id: node(view) for view in views}
    exposures = [exposure(service, views) for service in services]
    manifest = {
        "metadata": {
            "dbt_schema_version": MANIFEST_VERSION,
            "dbt_version": "1.11.16",
            "generated_at": "2024-01-01T00:00:00.000000Z",
            "env": {},
            "project_name": PROJECT,
            "adapter_type": "duckdb",
            "quoting": {"database": True, "schema": True, "identifier": True, "column": None},
        },
        "nodes": nodes,
        "sources": {},
        "macros": {},
        "docs": {},
        "exposures": {each["unique_id"]: each for each in exposures},
        "metrics": {},
        "groups": {},
        "selectors": {},
        "disabled": {},
        "parent_map": {name: [] for name in nodes},
        "child_map": {name: [] for name in nodes},
        "group_map": {},
        "saved_queries": {},
        "semantic_models": {},
        "unit_tests": {},
        "functions": {},
    }
    text = json.dumps(manifest, ensure_ascii=False)
    (directory / "target" / "manifest.json").write_text(text, encoding="utf-8")


def node(view: View) -> dict[str, Any]:
    """One entry of the manifest's nodes."""
    kind, folder = ("snapshot", "snapshots") if view.snapshot else ("model", "models")
    meta = {} if view.meta is None else {"fstore": dict(view.meta)}
    config = {
        "enabled": True,
        "alias": None,
        "schema": None,
        "database": None,
        "tags": [],
        "meta": meta,
        "group": None,
        "materialized": "snapshot" if view.snapshot else "table",
        "unique_key": None,
        "contract": {"enforced": False, "alias_types": True},
        "event_time": None,
        "access": "protected",
    }
    if view.snapshot:
        added = ("valid_from", "valid_to", "scd_id", "updated_at", "is_deleted")
        names = {f"dbt_{name}": None for name in added}
        config |= {"strategy": "check", "snapshot_meta_column_names": names}
    return {
        "database": Path(WAREHOUSE).stem,
        "schema": view.schema,
        "name": view.name,
        "resource_type": kind,
        "package_name": PROJECT,
        "path": f"{view.relation}.sql",
        "original_file_path": f"{folder}/{view.relation}.sql",
        "unique_id": view.unique_id,
        "fqn": [PROJECT, view.name],
        "alias": view.relation,
        "checksum": {"name": "sha256", "checksum": "0" * 64},
        "config": config | dict(view.config),
        "tags": [],
        "description": "",
        "columns": {
            name: {"name": name, "description": "", "meta": {}, "data_type": None, "tags": []}
            for name in view.declared_columns
        },
        "meta": meta,
        "group": None,
        "patch_path": f"{PROJECT}://{folder}/{view.name}.yml",
        "relation_name": f'"{Path(WAREHOUSE).stem}".{quoted(view.schema)}.{quoted(view.relation)}',
        "raw_code": view.select or "select 1",
        "language": "sql",
        "refs": [],
        "sources": [],
        "depends_on": {"macros": [], "nodes": []},
        "compiled": True,
        "compiled_code": view.select or "select 1",
        "access": "protected",
        "version": view.version,
        "latest_version": view.latest_version,
    }


def exposure(service: Service, views: Sequence[View]) -> dict[str, Any]:
    """One entry of the manifest's exposures."""
    meta: dict[str, Any] = {"fstore": {"features": list(service.features)}}
    if service.full_feature_names is not None:
        meta["fstore"]["full_feature_names"] = service.full_feature_names
    depends_on = service.depends_on
    if depends_on is None:
        named = {
            part.split(":")[0] if isinstance(part, str) else part["view"]
            for part in service.features
        }
        bare = {name.rpartition(".v")[0] or name for name in named}
        depends_on = [view.unique_id for view in views if view.name in bare]
    return {
        "name": service.name,
        "resource_type": "exposure",
        "package_name": PROJECT,
        "path": "services.yml",
        "original_file_path": "models/services.yml",
        "unique_id": f"exposure.{PROJECT}.{service.name}",
        "fqn": [PROJECT, service.name],
        "type": "ml",
        "owner": {"email": "ops@example.com", "name": "Ops"},
        "description": "",
        "meta": meta,
        "tags": [],
        "config": {"enabled": True, "tags": [], "meta": meta},
        "url": None,
        "depends_on": {"macros": [], "nodes": list(depends_on)},
        "refs": [],
        "sources": [],
        "metrics": [],
    }


def steps(patch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """From now on, what is waited for until it is on disk, and what is given a name, in order."""
    happened: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, os.replace

    def waits(descriptor: int) -> None:
        happened.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def renames(path: Path, to: Path) -> None:
        happened.append(("replace", Path(to)))
        replace(path, to)

    patch.setattr(os, "fsync", waits)
    patch.setattr(Path, "replace", renames)
    return happened
