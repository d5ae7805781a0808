"""One version, said in three places."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import fstore

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[?(\d[^\] ]*)\]?", text, flags=re.MULTILINE)
    assert released, "CHANGELOG.md has no released version"
    assert fstore.__version__ == declared == released[0]


def test_the_installed_distribution_is_this_one():
    assert version("dbt-fstore") == fstore.__version__


def test_the_changelog_is_in_order_and_dated():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert all(re.fullmatch(r"Unreleased|\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", head) for head in heads)
    kinds = re.findall(r"^### (.+)$", text, flags=re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
