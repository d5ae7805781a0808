"""Measures window features online: ``python -m benchmarks.online_windows``.

``make bench-online-windows`` runs it. Ten windows of events beside ten plain columns of the same
store, in turns; HTTP; pushes; what the state takes; Redis and PostgreSQL. No part's times count
without its answers, which are compared with a query by hand. Writes the results as JSON after each
part.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine
from benchmarks.online_windows_http import measure_http
from benchmarks.online_windows_push import measure_after, measure_pushes
from benchmarks.online_windows_reads import Options, measure_reads, measure_stores
from benchmarks.online_windows_state import measure_state
from benchmarks.protocol import versions

HERE = Path(__file__).parent
PARTS = ("reads", "http", "pushes", "after", "state", "stores")
EVERY = 5.0  # seconds between looks at how busy the machine is


@click.command(help=__doc__)
@click.option("--parts", default=",".join(PARTS), show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="of all counts of keys and rows")
@click.option("--repetitions", default=3, show_default=True, help="of a materialize")
@click.option("--rounds", default=20, show_default=True, help="turns that each has")
@click.option("--seconds", default=0.2, show_default=True, help="of a turn")
@click.option("--connections", default=16, show_default=True, help="of the load on the server")
@click.option("--data", default=HERE / ".data/online-windows", type=click.Path(path_type=Path))
@click.option(
    "--output", default=HERE / "results/online_windows.json", type=click.Path(path_type=Path)
)
@click.option("--keep", is_flag=True, help="keep what the output has of other parts")
def main(parts: str, repetitions: int, output: Path, keep: bool, **options: Any) -> None:
    wanted = parts.split(",")
    if unknown := set(wanted) - set(PARTS):
        raise click.UsageError(f"--parts: {', '.join(unknown)} is none of {', '.join(PARTS)}")
    as_of = datetime.now(UTC).replace(microsecond=0)  # a server's clock cannot be set
    options["data"] = options["data"].resolve() / f"scale-{options['scale']:g}"
    chosen = Options(**options, as_of=as_of)
    measure: dict[str, Callable[[], Any]] = {
        "reads": lambda: measure_reads(chosen),
        "http": lambda: measure_http(chosen),
        "pushes": lambda: measure_pushes(chosen),
        "after": lambda: measure_after(chosen),
        "state": lambda: measure_state(chosen, repetitions),
        "stores": lambda: measure_stores(chosen),
    }
    earlier = json.loads(output.read_text(encoding="utf-8")) if keep and output.exists() else {}
    results: dict[str, Any] = {"parts": earlier.get("parts", {}), "busy": earlier.get("busy", {})}
    results |= {"machine": machine(), "versions": versions(), "scale": chosen.scale}
    results |= {"rounds": chosen.rounds, "connections": chosen.connections}
    output.parent.mkdir(parents=True, exist_ok=True)
    for part in wanted:
        click.echo(f"\n{part}")
        os.sync()  # or writing back goes on while the first are measured
        with _watched() as busy:
            results["parts"][part] = measure[part]()
        results["busy"][part] = statistics.median(busy) if busy else 0.0
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Note, beside the block, how many processes and threads ran or waited for a core."""
    seen, over = [os.getloadavg()[0]], threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            seen.append(os.getloadavg()[0])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
