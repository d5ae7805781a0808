"""Requests a second of ``fstore serve`` and ``feast serve`` under the same load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.online_protocol import Setup
from benchmarks.online_shapes import OnlineTable


def measure_http(
    setups: Mapping[str, Setup], table: OnlineTable, options: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """Load each server in turns; return what was measured, and what could not be."""
    del setups, table, options
    return [], ["HTTP: no server yet"]
