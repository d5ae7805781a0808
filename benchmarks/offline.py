"""Measures the offline engine: ``python -m benchmarks.offline``, which ``make bench`` runs.

Makes data and the dbt project, then asks every peer in turn, each in a process of its own and
nothing beside it; checks the rows, and writes the results as JSON after each case.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.data import make_data, spine_path, table_path
from benchmarks.machine import cores, machine
from benchmarks.project import make_project, relation
from benchmarks.protocol import Job, View, measure
from benchmarks.shapes import (
    PARQUET_STORAGES,
    PEERS,
    SHAPES,
    SORTED_STORAGES,
    Case,
    all_cases,
    is_named,
)
from benchmarks.truth import check, make_truth

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
FEAST = ("feast-duckdb", "feast-dask")
PLAN_REPETITIONS = 3  # a forced plan only has to be told from one twice as fast


@dataclass(frozen=True)
class Options:
    """How to measure."""

    scale: float
    repetitions: int
    time_limit: int
    plan_limit: int
    feast_python: str
    in_process: bool
    data: Path


@click.command(help=__doc__)
@click.option("--shapes", default=",".join(SHAPES), show_default=True, help="or cases: e/10M")
@click.option("--peers", default=",".join(PEERS), show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="of all row counts")
@click.option("--repetitions", default=5, show_default=True, help="after one to warm up")
@click.option("--plans/--no-plans", default=True, help="also force each plan of ours")
@click.option("--time-limit", default=300, show_default=True, help="of a call, in seconds")
@click.option("--plan-limit", default=60, show_default=True, help="of a call of a forced plan")
@click.option("--data", default=HERE / ".data", type=click.Path(path_type=Path))
@click.option("--output", default=HERE / "results/offline.json", type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="keep what the output has of other cases")
@click.option(
    "--feast-python",
    default=str(HERE / ".venv-feast/bin/python"),
    help="the Python that has Feast",
)
@click.option("--in-process", is_flag=True, help="quick: no processes, no limits; without Feast")
def main(shapes: str, peers: str, plans: bool, output: Path, keep: bool, **options: Any) -> None:
    wanted = tuple(peers.split(","))
    if unknown := set(wanted) - set(PEERS):
        raise click.UsageError(f"--peers: {', '.join(unknown)} is none of {', '.join(PEERS)}")
    words, known = shapes.split(","), all_cases(options["scale"])
    todo = [case for case in known if any(is_named(case, word) for word in words)]
    if unknown := {word for word in words if not any(is_named(case, word) for case in known)}:
        names = ", ".join(case.name for case in known)
        raise click.UsageError(f"--shapes: {', '.join(unknown)} is no shape, nor one of {names}")
    chosen = Options(
        **options | {"data": options["data"].resolve() / f"scale-{options['scale']:g}"}
    )
    if any(peer in FEAST for peer in wanted):
        if chosen.in_process:
            wanted = tuple(peer for peer in wanted if peer not in FEAST)
        elif not Path(chosen.feast_python).exists():
            raise click.UsageError(
                f"{chosen.feast_python} is not there: run `make bench`, or --peers without Feast"
            )
    run(todo, wanted, plans, chosen, output, keep)


def run(
    todo: list[Case],
    peers: tuple[str, ...],
    plans: bool,
    options: Options,
    output: Path,
    keep: bool = False,
) -> dict[str, Any]:
    """Measure the cases and return what was written to ``output``."""
    raw, project = options.data / "raw", options.data / "project"
    click.echo(f"Making data for {len(todo)} cases in {options.data}")
    make_data(raw, todo)
    make_project(project, raw, todo)
    os.sync()  # or writing back goes on while the first are measured
    earlier = json.loads(output.read_text(encoding="utf-8")) if keep and output.exists() else {}
    measured = {case.name for case in todo}
    kept = [each for each in earlier.get("cases", []) if each["case"] not in measured]
    results: dict[str, Any] = {
        "machine": machine(),
        "versions": earlier.get("versions", {}),
        "in_one_run": not kept,
        "scale": options.scale,
        "disk_bytes": sum(path.stat().st_size for path in options.data.rglob("*")),
        "cases": kept,
    }
    order = [case.name for case in all_cases(options.scale)]
    output.parent.mkdir(parents=True, exist_ok=True)
    for case in todo:
        results["cases"].append(_measure_case(case, peers, plans, options, results["versions"]))
        results["cases"].sort(key=lambda each: order.index(each["case"]))
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def _measure_case(
    case: Case, peers: tuple[str, ...], plans: bool, options: Options, versions: dict[str, Any]
) -> dict[str, Any]:
    click.echo(f"\n{case.name}: {case.title}")
    truth = make_truth(options.data / "truth", options.data / "raw", case)
    entrants: list[tuple[str, str | None]] = [(peer, None) for peer in case.peers if peer in peers]
    if plans and "fstore" in peers:
        entrants += [("fstore", plan) for plan in case.plans]
    begun = time.monotonic()
    runs = []
    for peer, plan in entrants:
        outcome = _ask(case, peer, plan, options)
        if "versions" in outcome:
            versions["Feast's" if peer in FEAST else "ours"] = outcome.pop("versions")
        answer = options.data / "answer.parquet"
        if "seconds" in outcome and peer != "limit":
            outcome["rows"] = check(case, truth, answer)
        runs.append({"peer": peer, "plan": plan} | outcome)
        click.echo(_line(runs[-1]))
    return {
        "case": case.name,
        "shape": case.shape,
        "title": case.title,
        "storage": case.storage,
        "spine_rows": case.spine.rows,
        "feature_rows": sum(table.rows for table in case.tables),
        "features": sum(table.feature_count for table in case.tables),
        "memory_limit": case.memory_limit,
        "took_seconds": round(time.monotonic() - begun),
        "runs": runs,
    }


def _ask(case: Case, peer: str, plan: str | None, options: Options) -> dict[str, Any]:
    """Ask one peer; a run that failed has ``failed``, with the reason, in place of times."""
    job = _job(case, peer, plan, options)
    Path(job.answer).unlink(missing_ok=True)
    module = f"benchmarks.peers.{peer.partition('-')[0]}"
    if options.in_process:
        try:
            outcome = measure(job, importlib.import_module(module).prepare)
        except Exception as error:  # whatever a peer raises is its result
            return {"failed": f"{type(error).__name__}: {error}"[:300]}
    else:
        python = options.feast_python if peer in FEAST else sys.executable
        ran = subprocess.run(  # noqa: S603 - the words are ours
            [python, "-m", module, job.to_json()],
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore", "FEAST_USAGE": "False"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            return {"failed": _reason(ran, job)}
        outcome = json.loads(ran.stdout.splitlines()[-1])
    median = statistics.median(outcome["seconds"])
    rate = case.spine.rows / median / cores()
    return outcome | {"median": median, "rows_per_second_per_core": rate}


def _job(case: Case, peer: str, plan: str | None, options: Options) -> Job:
    raw = options.data / "raw"
    in_files = case.storage in PARQUET_STORAGES
    job = Job(
        views=tuple(
            View(
                name=table.model(case.storage),
                parquet=str(table_path(raw, table, case.storage)) if in_files else None,
                is_sorted=case.storage in SORTED_STORAGES,
                relation=relation(table, case.storage),
                key=table.key,
                features=table.features,
                ttl_days=table.ttl_days,
            )
            for table in case.tables
        ),
        spine=str(spine_path(raw, case.spine)),
        project=str(options.data / "project"),
        scratch=str(options.data / "scratch"),
        answer=str(options.data / "answer.parquet"),
        repetitions=options.repetitions,
        time_limit=options.time_limit,
        variant=peer.partition("-")[2],
        plan=plan,
        memory_limit=case.memory_limit,
    )
    if plan is None:
        return job
    repetitions = min(PLAN_REPETITIONS, options.repetitions)
    return replace(job, repetitions=repetitions, time_limit=options.plan_limit)


def _reason(ran: subprocess.CompletedProcess[str], job: Job) -> str:
    if ran.returncode == -signal.SIGALRM:
        return f"not finished in {job.time_limit} s"
    if ran.returncode == -signal.SIGKILL:
        return "killed for want of memory"
    lines = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
    if "bad_alloc" in lines[-1] or "MemoryError" in lines[-1]:
        return "killed for want of memory"
    return lines[-1][:300]


def _line(outcome: dict[str, Any]) -> str:
    name = outcome["peer"] + (f", {outcome['plan']}" if outcome["plan"] else "")
    if "failed" in outcome:
        return f"  {name:<18} {outcome['failed']}"
    peak = outcome["peak_bytes"] / 1e9
    rows = outcome.get("rows", "")
    return f"  {name:<18} {outcome['median']:8.3f} s  {peak:6.2f} GB  {rows}"


if __name__ == "__main__":
    main()
