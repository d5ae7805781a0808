"""What the state of windows takes: bytes an event on disk, seconds and memory to publish it."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.online_windows_data import ASKED, FUNCTIONS, Source, make
from benchmarks.online_windows_reads import Options, opened

ROOT = Path(__file__).parents[1]
KINDS = {"only count": ("count",), "avg and max": ASKED, "all functions": FUNCTIONS}
PUBLISHED = (1e6, 5e6)


def measure_state(options: Options, repetitions: int) -> dict[str, Any]:
    """Bytes by what the windows ask for; seconds and memory by how many events there are."""
    return {"bytes": _bytes(options), "published": _published(options, repetitions)}


def _bytes(options: Options) -> list[dict[str, Any]]:
    sources = {
        (words, keyed): Source(
            f"{words.replace(' ', '_')}_{'keyed' if keyed else 'plain'}",
            options.count(1_000),
            1_000,
            functions,
            keyed,
        )
        for words, functions in KINDS.items()
        for keyed in (False, True)
    }
    project = opened(options, "state", list(sources.values()))
    measured = []
    for (words, keyed), source in sources.items():
        values = project.check(source) if source.functions != ("count",) else "right"
        facts = {"asked": words, "event_key": keyed, "events": source.events, "values": values}
        sizes = {
            f"{kind}_bytes": _size(options.data / "state", f"{source.name}.*.{kind}")
            / source.events
            for kind in ("events", "keys", "duckdb")
        }
        measured.append(facts | sizes)
        click.echo(f"state        {measured[-1]}")
    project.store.close()
    return measured


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern))


def _published(options: Options, repetitions: int) -> list[dict[str, Any]]:
    """Publish into an empty store, each time in a process of its own."""
    measured = []
    for events in PUBLISHED:
        source = Source("published", options.count(events / 1_000), 1_000)
        folder = make(options.data / "published", options.raw, [source], options.as_of)
        runs = []
        for _ in range(repetitions):
            shutil.rmtree(folder / ".fstore", ignore_errors=True)
            words = {"project": str(folder), "as_of": options.as_of.isoformat()}
            done = subprocess.run(  # noqa: S603 - the words are ours
                [sys.executable, "-m", "benchmarks.peers.online_windows", json.dumps(words)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
            runs.append(json.loads(done.stdout))
        seconds = [run["seconds"] for run in runs]
        found = {
            "events": source.events,
            "keys": source.keys,
            "seconds": seconds,
            "median": statistics.median(seconds),
            "peak_bytes": max(run["peak_bytes"] for run in runs),
            "file_bytes": _size(folder / ".fstore", "*.events"),
        }
        measured.append(found)
        click.echo(f"published    {found}")
    return measured
