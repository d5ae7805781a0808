"""What every test session shows first: the engines it ran on. Fixtures live in harness.py."""

from importlib.metadata import version

import pytest

ENGINES = ("duckdb", "dbt-core", "dbt-duckdb", "sqlglot")


def pytest_report_header(config: pytest.Config) -> str:
    return ", ".join(f"{name} {version(name)}" for name in ENGINES)
