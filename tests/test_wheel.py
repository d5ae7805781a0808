"""The wheel holds the library and nothing else, and says what it is."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_holds_only_the_library(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"fstore", "dbt_fstore-0.1.0.dist-info"}
    assert "fstore/py.typed" in wheel.namelist()
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "fstore").rglob("*.py")}
    assert sources <= set(wheel.namelist())


def test_the_metadata(wheel):
    metadata = wheel.read("dbt_fstore-0.1.0.dist-info/METADATA").decode()
    assert "Name: dbt-fstore\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    core = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    assert not [line for line in core if "dbt-core" in line and "extra ==" not in line]
    entry = wheel.read("dbt_fstore-0.1.0.dist-info/entry_points.txt").decode()
    assert "fstore = fstore.cli:main" in entry


def test_constraints_name_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [project["dependencies"], *project["optional-dependencies"].values()]
    direct = [Requirement(text) for texts in listed for text in texts]
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert "://" not in line, f"{line}: constraints hold no addresses"
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            pinned[name.casefold().replace("_", "-")] = version
    for requirement in direct:
        if requirement.name != "dbt-fstore":
            version = pinned.get(requirement.name.casefold().replace("_", "-"))
            assert version is not None, f"{requirement.name} is not in constraints.txt"
            assert version in requirement.specifier, f"{requirement}: constraints.txt has {version}"
