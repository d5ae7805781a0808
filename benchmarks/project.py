"""Makes the dbt project that fstore reads: a model a table and storage, built by dbt itself.

A model over raw Parquet is a dbt view over the file. The others are dbt's materialized tables, of
which the sorted ones differ by their ORDER BY alone. Models that are built already stay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.data import table_path
from benchmarks.shapes import PARQUET_STORAGES, Case, Table

WAREHOUSE = "warehouse.duckdb"
PROFILE = {
    "type": "duckdb",
    "path": WAREHOUSE,
    "settings": {"TimeZone": "UTC"},
    "retries": {"connect_attempts": 6},
}


def make_project(folder: Path, data: Path, cases: list[Case]) -> None:
    """Write the project and let dbt build the models of the cases that are not built yet."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / "dbt_project.yml", {"name": "bench", "profile": "bench"})
    write_yaml(folder / "profiles.yml", {"bench": {"outputs": {"default": PROFILE}}})
    note = folder / "built.json"
    built = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    wanted = {}
    for case in cases:
        for table in case.tables:
            name = table.model(case.storage)
            wanted[name] = _model(table, case.storage, data)
            (models / f"{name}.sql").write_text(wanted[name], encoding="utf-8")
            write_yaml(models / f"{name}.yml", _declaration(table, name))
    missing = [name for name, text in wanted.items() if built.get(name) != text]
    if missing:
        run_dbt(folder, "run", "--select", *missing)
        note.write_text(json.dumps(built | wanted, indent=1), encoding="utf-8")


def relation(table: Table, storage: str) -> str:
    """Return the table's rows as SQL names them where the warehouse is attached."""
    return f"{Path(WAREHOUSE).stem}.main.{table.model(storage)}"


def _model(table: Table, storage: str, data: Path) -> str:
    materialized = "view" if storage in PARQUET_STORAGES else "table"
    order = f"\norder by {table.key}, event_timestamp" if storage == "sorted" else ""
    return (
        f"{{{{ config(materialized='{materialized}') }}}}\n"
        f"select * from read_parquet('{table_path(data, table, storage)}'){order}\n"
    )


def _declaration(table: Table, name: str) -> dict[str, Any]:
    entity = table.key.removesuffix("_id")
    meta: dict[str, Any] = {"entities": {entity: table.key}, "event_timestamp": "event_timestamp"}
    if table.ttl_days is not None:
        meta["ttl"] = f"{table.ttl_days} days"
    return {"models": [{"name": name, "config": {"meta": {"fstore": meta}}}]}


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def run_dbt(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", *words]
    quiet = os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    run = subprocess.run(  # noqa: S603 - the words are ours
        command, cwd=folder, env=quiet, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SystemExit(f"dbt {words[0]} failed:\n{run.stdout[-3000:]}{run.stderr[-1000:]}")
