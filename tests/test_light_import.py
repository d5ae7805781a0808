"""`import fstore` is light: no engine, no frame library, no dbt, until a name that needs one."""

import json
import subprocess
import sys

HEAVY = ("dbt", "duckdb", "sqlglot", "pyarrow", "numpy", "pandas", "polars", "click", "rich")
CODE = """
import json, sys
import fstore
from fstore import FstoreError, DeclarationError
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(code: str) -> set[str]:
    """Top-level modules in sys.modules of a fresh process, as the code prints them."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout))


def test_import_loads_nothing_heavy():
    assert not loaded(CODE) & set(HEAVY)


def test_the_feature_store_loads_no_dbt_and_no_command_line():
    everything = loaded(CODE.replace("import fstore\n", "import fstore; fstore.FeatureStore\n"))
    assert not everything & {"dbt", "click", "rich", "pandas", "polars", "redis", "psycopg"}
