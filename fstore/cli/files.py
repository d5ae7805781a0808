"""Rows in files, read for a push."""

from __future__ import annotations

import json
from typing import IO, Any

import click


def read_rows(file: IO[bytes]) -> Any:
    """Return the rows of a Parquet, CSV or JSON file, by the end of its name: JSON by default.

    Raises click.BadParameter where the content is not what its name says.
    """
    name = str(getattr(file, "name", ""))
    try:
        if name.endswith((".parquet", ".pq")):
            import pyarrow.parquet as pq

            return pq.read_table(file)
        if name.endswith(".csv"):
            import pyarrow.csv as csv

            return csv.read_csv(file)
        return _json(file.read().decode())
    except (ValueError, OSError) as error:  # what Arrow and json raise are such
        raise click.BadParameter(f"{name} cannot be read: {error}", param_hint="FILE") from error


def _json(text: str) -> Any:
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines() if line.strip()]
