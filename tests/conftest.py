"""What every test session shows first: the engines it ran on. Fixtures live in harness.py."""

import os
from importlib.metadata import version

import pytest

ENGINES = ("duckdb", "dbt-core", "dbt-duckdb", "sqlglot")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write tests/golden anew")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--golden") and os.environ.get("CI"):
        raise pytest.UsageError("--golden rewrites what is expected: never in CI")


def pytest_report_header(config: pytest.Config) -> str:
    return ", ".join(f"{name} {version(name)}" for name in ENGINES)
