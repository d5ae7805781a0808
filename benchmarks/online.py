"""Measures the online store: ``python -m benchmarks.online``, which ``make bench-online`` runs.

fstore and Feast publish the same rows, are checked for the right values, and then take turns: a
moment of reads each, one after the other, until all had their time. Writes the results as JSON
after each part.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.data import make_data
from benchmarks.machine import machine
from benchmarks.online_http import measure_http
from benchmarks.online_parts import (
    Options,
    check,
    make_redis_project,
    measure_during,
    measure_image,
    measure_materialize,
    measure_reads,
)
from benchmarks.online_peers import PeerFailedError, PeerProcess, redis
from benchmarks.online_shapes import hundred, million, ten
from benchmarks.project import make_project

HERE = Path(__file__).parent
PEERS = ("fstore", "feast-sqlite", "fstore-redis", "feast-redis")
SERVERS = ("fstore", "feast-sqlite", "feast-redis")
PARTS = ("materialize", "reads", "during", "image", "http")


@click.command(help=__doc__)
@click.option("--peers", default=",".join(PEERS), show_default=True)
@click.option("--parts", default=",".join(PARTS), show_default=True, help="materialize is first")
@click.option("--scale", default=1.0, show_default=True, help="of all row counts")
@click.option("--repetitions", default=3, show_default=True, help="of a materialize")
@click.option("--rounds", default=20, show_default=True, help="turns that each peer has")
@click.option("--seconds", default=0.5, show_default=True, help="of a turn")
@click.option("--connections", default=16, show_default=True, help="of the load on a server")
@click.option("--data", default=HERE / ".data/online", type=click.Path(path_type=Path))
@click.option("--output", default=HERE / "results/online.json", type=click.Path(path_type=Path))
@click.option(
    "--feast-python",
    default=str(HERE / ".venv-feast/bin/python"),
    help="the Python that has Feast",
)
def main(peers: str, parts: str, output: Path, **options: Any) -> None:
    chosen = Options(
        **options | {"data": options["data"].resolve() / f"scale-{options['scale']:g}"}
    )
    wanted = _words("--peers", peers, PEERS)
    if any(peer.startswith("feast") for peer in wanted) and not Path(chosen.feast_python).exists():
        raise click.UsageError(
            f"{chosen.feast_python} is not there: run `make bench-online`, or --peers fstore"
        )
    run(wanted, _words("--parts", parts, PARTS), chosen, output)


def _words(option: str, given: str, known: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(given.split(","))
    if unknown := set(words) - set(known):
        raise click.UsageError(f"{option}: {', '.join(unknown)} is none of {', '.join(known)}")
    return words


def run(
    peers: tuple[str, ...], parts: tuple[str, ...], options: Options, output: Path
) -> dict[str, Any]:
    """Measure, and return what was written to ``output``."""
    tables = {table.case.name: table for table in (f(options.scale) for f in (ten, hundred))}
    large = million(options.scale)
    cases = [table.case for table in (*tables.values(), large)]
    click.echo(f"Making data in {options.data}")
    make_data(options.raw, cases)
    make_project(options.data / "project", options.raw, cases)
    os.sync()  # or writing back goes on while the first are measured
    results: dict[str, Any] = {"machine": machine(), "scale": options.scale, "missing": []}
    results |= {"rounds": options.rounds, "connections": options.connections}

    def keep(part: str, measured: object) -> None:
        results[part] = measured
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    with redis(options.data / "redis") as address:
        if address:
            make_redis_project(options)
        elif any(peer.endswith("redis") for peer in peers):
            peers = tuple(peer for peer in peers if not peer.endswith("redis"))
            results["missing"].append("Redis: no redis-server on this machine")
        setups = {
            peer: options.setup(peer, (*tables.values(), large), address or "") for peer in peers
        }
        if "materialize" in parts:
            keep("materialize", measure_materialize(setups, options, tables))
        with ExitStack() as opened:
            open_peers = {
                peer: opened.enter_context(PeerProcess(peer, options.python(peer), setup))
                for peer, setup in setups.items()
            }
            keep("versions", {peer: each.ask("versions") for peer, each in open_peers.items()})
            keep("values", check(open_peers, tables, options))
            if "reads" in parts:
                keep("reads", measure_reads(open_peers, tables, options))
            if "during" in parts and "fstore" in peers:
                setup = setups["fstore"]
                keep("during", measure_during(open_peers["fstore"], setup, tables["ten"], options))
        if "image" in parts and "fstore" in peers:
            keep("image", measure_image(setups["fstore"], large, options))
        if "http" in parts:
            servers = {peer: setups[peer] for peer in SERVERS if peer in setups}
            found, missing = measure_http(servers, tables["ten"], options)
            results["missing"] += missing
            keep("http", found)
    return results


if __name__ == "__main__":
    try:
        main()
    except PeerFailedError as error:
        raise SystemExit(str(error)) from error
