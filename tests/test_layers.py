"""Rooms import only from their left, siblings never each other, and each library has its home."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RANKS = [
    {"errors"},
    {"definitions", "frames", "collector", "disk"},
    {"declarations"},
    {"manifest", "project", "compile"},
    {"offline", "online"},
    {"jobs"},
    {"store"},
    {"server", "cli"},
]
HOMES = {
    "sqlglot": {"compile"},
    "duckdb": {"offline", "online"},
    "redis": {"online"},
    "psycopg": {"online"},
    "click": {"cli"},
    "rich": {"cli"},
    "httptools": {"server"},
    "uvloop": {"server"},
    "orjson": {"server"},
    "prometheus_client": {"server"},
    "jinja2": {"project"},
    "yaml": {"project"},
    "dbt": set(),
    "tests": set(),
    "demo": set(),
}
LAZY = {
    "pandas",
    "polars",
    "numpy",
    "pyarrow",
}  # frames' libraries: the only imports inside functions
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Every import of a file as (dotted name, line, inside a function)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    inside = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, functions)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            # `from fstore import errors` names a room too
            whole = node.module == "fstore"
            for name in (
                [f"fstore.{alias.name}" for alias in node.names] if whole else [node.module]
            ):
                yield name or "", node.lineno, id(node) in inside


def test_layers():
    wrong = []
    for path in sorted((ROOT / "fstore").rglob("*.py")):
        room = path.relative_to(ROOT / "fstore").parts[0].removesuffix(".py")
        if room in ("__init__", "__main__", "dbt_package"):
            continue  # the public names, loaded lazily; the command; dbt's own macros
        assert room in RANK, f"{path}: {room} is a new room; say in RANKS what it may import"
        for name, line, inside in imports(path):
            top, _, rest = name.partition(".")
            other = rest.split(".")[0]
            where = f"{path.relative_to(ROOT)}:{line}"
            if top == "fstore" and other and other != room and RANK.get(other, 99) >= RANK[room]:
                wrong.append(f"{where}: {room} may not import {other}")
            if room not in HOMES.get(top, {room}):
                wrong.append(f"{where}: {top} belongs in {sorted(HOMES[top]) or 'no room'}")
            if inside and top not in LAZY:
                wrong.append(f"{where}: {name} is imported inside a function")
    assert not wrong, "\n".join(wrong)


def test_the_oracle_knows_nothing_of_fstore():
    names = [name for name, _, _ in imports(ROOT / "tests" / "oracle.py")]
    assert not [name for name in names if name.split(".")[0] in ("fstore", "sqlglot", "duckdb")]
