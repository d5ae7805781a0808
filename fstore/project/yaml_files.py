"""Reading a YAML mapping from a file, with one sentence for each way that can fail."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fstore.errors import ProfileError


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that the file holds; an empty file is an empty mapping.

    Raises ProfileError naming the file, and the line where there is one. The file's own text is
    never quoted: it may hold a password.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ProfileError(path, "is not UTF-8 text.") from None
    except OSError as error:
        raise ProfileError(path, f"cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        raise ProfileError(path, f"is not YAML{_place(error)}.") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ProfileError(path, f"must hold keys and values, not a {type(found).__name__}.")
    return found


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = re.sub(r"'[^']{3,}'", "...", getattr(error, "problem", None) or "")
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return where + (f": {problem}" if problem else "")
