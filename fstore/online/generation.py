"""The online folder: which files are the current generation, and how that changes.

    online/CURRENT                       JSON: what is published now, and what was before it
    online/registry.<generation>.json    declarations and column types of that generation
    online/<view>.<generation>.duckdb    a view's rows, in the generation that published it
    online/<view>.<generation>.index     the image of that file, through which it is read
    online/<view>.<generation>.events    of a view of events: what windows are read from,
    online/<view>.<generation>.keys      and where in it the events of each key are
    online/pushes.<generation>.log       what was pushed and deleted since that generation
    online/LOCK                          held by the one writer
    online/PUSHES                        held while the log grows or is replaced
    online/NOTICES                       a counter by which readers know that nothing changed

CURRENT is replaced by a rename, after everything that it names is on disk. Whatever it names
neither now nor as the previous generation is a leftover, and the next writer removes it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb

from fstore.definitions import Column, Registry
from fstore.disk import sync, write_durably
from fstore.errors import OnlineStoreError
from fstore.online.declared import decode, encode

FORMAT = 1
CURRENT, LOCK, PUSHES = "CURRENT", "LOCK", "PUSHES"
_OURS = re.compile(
    r".+\.(?P<generation>\d+)\.(duckdb|index|events|keys|log|json)(\..+)?|CURRENT\..+"
)


@dataclass(frozen=True)
class Published:
    """A view as it stands in a generation. ``as_of`` is its K, aware and in UTC."""

    file: str
    generation: int  # in which it was published, perhaps an earlier one
    as_of: datetime
    published_at: datetime
    rows: int
    keys: int


@dataclass(frozen=True)
class Catalog:
    """What CURRENT says: the views of a generation, by ``FeatureView.reference``."""

    generation: int
    registry: str
    views: dict[str, Published] = field(default_factory=dict)

    @property
    def files(self) -> frozenset[str]:
        held = (name for view in self.views.values() for name in files_of(view.file))
        return frozenset({self.registry, log_file(self.generation), *held})


@dataclass(frozen=True)
class Declared:
    """The declarations of a generation, and the columns of each published view's relation."""

    registry: Registry
    columns: Mapping[str, tuple[Column, ...]]


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn the errors of disk and engine inside the block into OnlineStoreError."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        if isinstance(error, OnlineStoreError | TimeoutError):
            raise
        raise OnlineStoreError(f"{what}: {error}") from error


def view_file(reference: str, generation: int) -> str:
    """Return the name of a view's file; whatever a file name cannot hold is escaped."""
    return f"{quote(reference, safe='')}.{generation}.duckdb"


def image_file(file: str) -> str:
    """Return the name of the image of a view's file."""
    return file.removesuffix(".duckdb") + ".index"


def block_file(file: str) -> str:
    """Return the name of the block of events that belongs to a view's file."""
    return file.removesuffix(".duckdb") + ".events"


def keys_file(file: str) -> str:
    """Return the name of the directory of that block."""
    return file.removesuffix(".duckdb") + ".keys"


def files_of(file: str) -> tuple[str, ...]:
    """Return the names of all files that may belong to a view's file, itself included."""
    return file, image_file(file), block_file(file), keys_file(file)


def log_file(generation: int | str) -> str:
    return f"pushes.{generation}.log"


def log_number(path: Path) -> int:
    """Return the generation whose log lies at a path."""
    return int(path.name.split(".")[1])


def registry_file(generation: int) -> str:
    return f"registry.{generation}.json"


def read_catalogs(folder: Path) -> tuple[Catalog | None, Catalog | None]:
    """Return the current and the previous generation; None for what there is not."""
    path = folder / CURRENT
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    except OSError as error:
        raise OnlineStoreError(f"{path} cannot be read: {error}") from error
    return catalogs_of(path, content)


def read_declared(folder: Path, catalog: Catalog) -> Declared:
    """Return the declarations of a generation; FileNotFoundError where it has been cleaned away."""
    path = folder / catalog.registry
    return declared_of(path, path.read_bytes())


def catalogs_of(where: object, content: bytes) -> tuple[Catalog | None, Catalog | None]:
    """Return the current and the previous generation from what :func:`current_document` made."""
    document = _parsed(where, content)
    previous = document.get("previous")
    try:
        return _catalog(document), None if previous is None else _catalog(previous)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(where, error) from error


def declared_of(where: object, content: bytes) -> Declared:
    """Return the declarations from what :func:`declared_document` made."""
    document = _parsed(where, content)
    try:
        return Declared(
            registry=decode(Registry, document["registry"]),
            columns={
                reference: tuple(Column(name, kind) for name, kind in columns)
                for reference, columns in document["columns"].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(where, error) from error


def _damaged(where: object, error: Exception) -> OnlineStoreError:
    return OnlineStoreError(f"{where} is damaged ({error!r}). Run: fstore materialize")


def _parsed(where: object, content: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(content)
        found = document["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(where, error) from error
    if found != FORMAT:
        raise OnlineStoreError(
            f"{where} has format {found}, and this version of fstore reads {FORMAT}: "
            "use the version that wrote it, or run: fstore materialize"
        )
    return document


def _catalog(document: Mapping[str, Any]) -> Catalog:
    views = {name: decode(Published, each) for name, each in document["views"].items()}
    return Catalog(int(document["generation"]), str(document["registry"]), views)


def _encoded(catalog: Catalog) -> dict[str, Any]:
    views = {name: encode(each) for name, each in catalog.views.items()}
    return {"generation": catalog.generation, "registry": catalog.registry, "views": views}


def current_document(catalog: Catalog, previous: Catalog | None, highest: int) -> bytes:
    """Return what says which generation is read, which was before it, and the highest number."""
    document = {"format": FORMAT, **_encoded(catalog)}
    document["previous"] = None if previous is None else _encoded(previous)
    document["highest"] = highest
    return json.dumps(document, indent=1).encode()


def declared_document(declared: Declared) -> bytes:
    """Return the declarations of a generation as JSON."""
    columns = {
        reference: [[column.name, column.type] for column in each]
        for reference, each in declared.columns.items()
    }
    document = {"format": FORMAT, "registry": encode(declared.registry), "columns": columns}
    return json.dumps(document, indent=1).encode()


def write_declared(folder: Path, catalog: Catalog, declared: Declared) -> None:
    """Write the declarations of a generation that is about to become the current one."""
    write_durably(folder / catalog.registry, declared_document(declared))


def swap(folder: Path, catalog: Catalog, previous: Catalog | None) -> None:
    """Make ``catalog`` the current generation, at once for every reader."""
    highest = max(catalog.generation, _highest(folder))
    temporary = folder / f"{CURRENT}.tmp"
    sync(folder)  # the files that it names, before it
    write_durably(temporary, current_document(catalog, previous, highest))
    temporary.replace(folder / CURRENT)
    sync(folder)


def next_number(folder: Path) -> int:
    """Return a number that no generation in the folder has had, nor one rolled back from."""
    found = [int(match["generation"]) for match in _ours(folder).values() if match["generation"]]
    return max([_highest(folder), *found]) + 1


def _highest(folder: Path) -> int:
    try:
        return int(json.loads((folder / CURRENT).read_bytes())["highest"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def clean(folder: Path) -> None:
    """Remove leftovers. Only the holder of the lock may."""
    try:
        keep = {name for catalog in read_catalogs(folder) if catalog for name in catalog.files}
    except OnlineStoreError:  # what cannot be read cannot tell what is needed
        return
    for name in _ours(folder).keys() - keep:
        path = folder / name
        try:
            if path.is_dir():  # where DuckDB spills to
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError:  # it can wait until the next time
            continue


def _ours(folder: Path) -> dict[str, re.Match[str]]:
    matches = {path.name: _OURS.fullmatch(path.name) for path in folder.iterdir()}
    return {name: match for name, match in matches.items() if match}
