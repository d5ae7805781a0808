"""Measures window features offline: ``python -m benchmarks.windows``, or ``make bench-windows``.

Six windows x three functions, ours and SQL by hand, each in a process of its own; the rows are
checked against those of the range join before a time counts. Prints a line a run and writes JSON.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine
from benchmarks.peers.windows import measure
from benchmarks.project import WAREHOUSE
from benchmarks.windows_data import (
    GROWTH_EVENTS,
    GROWTH_SPINES,
    WINDOWS,
    Case,
    check,
    make_data,
    make_project,
    relation,
    slope,
)

HERE = Path(__file__).parent
ROOT = HERE.parent
ONCE = ("joins", "subqueries", "feast")  # for their order of magnitude
OF_FEAST = ("7 days",)  # the windows that it is asked for


def cases(scale: float) -> dict[str, list[Case]]:
    """Return the cases by what they are for."""
    keys = max(10, round(1e5 * scale))

    def of(events: float, spine: float, *, skewed: bool = False, storage: str = "parquet") -> Case:
        return Case(round(events * scale), round(spine * scale), keys, skewed, storage)

    return {
        "even": [of(5e6, 2e5), of(5e6, 2e5, storage="sorted")],
        "skewed": [of(5e6, 2e5, skewed=True), of(5e6, 2e5, skewed=True, storage="sorted")],
        "few": [of(5e6, 1e3), of(5e6, 1e3, skewed=True)],
        "daily": [Case(2000, 2000, 40, daily=True)],  # what Feast's tiles can say, in a minute
        "events": [of(events, 2e5) for events in GROWTH_EVENTS],
        "spine": [of(5e6, spine) for spine in GROWTH_SPINES],
        "skewed events": [of(events, 2e5, skewed=True) for events in GROWTH_EVENTS[:4]],
        "skewed spine": [of(5e6, spine, skewed=True) for spine in GROWTH_SPINES],
    }


GROWTH = ("events", "spine", "skewed events", "skewed spine")


@click.command(help=__doc__)
@click.option("--parts", default="even,skewed,few,daily," + ",".join(GROWTH), show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="of all counts")
@click.option("--repetitions", default=5, show_default=True, help="after one to warm up")
@click.option("--time-limit", default=300, show_default=True, help="of a call, in seconds")
@click.option("--data", default=HERE / ".data", type=click.Path(path_type=Path))
@click.option("--output", default=HERE / "results/windows.json", type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="keep what the output has of other parts")
@click.option(
    "--feast-python",
    default=str(HERE / ".venv-feast/bin/python"),
    help="the Python that has Feast",
)
@click.option("--in-process", is_flag=True, help="quick: no processes, no limits")
def main(parts: str, scale: float, data: Path, output: Path, keep: bool, **options: Any) -> None:
    known = cases(scale)
    wanted = parts.split(",")
    if unknown := set(wanted) - set(known):
        raise click.UsageError(f"--parts: {', '.join(unknown)} is none of {', '.join(known)}")
    todo = list(dict.fromkeys(case for part in wanted for case in known[part]))
    folder = data.resolve() / f"windows-{scale:g}"
    click.echo(f"Making data for {len(todo)} cases in {folder}")
    make_data(folder / "raw", todo)
    make_project(folder / "project", folder / "raw", todo)
    os.sync()  # or writing back goes on while the first are measured
    earlier = json.loads(output.read_text(encoding="utf-8")) if keep and output.exists() else {}
    results: dict[str, Any] = {"machine": machine(), "scale": scale}
    results |= {name: earlier.get(name, {}) for name in ("loads", "versions", "parts")}
    results["loads"] |= dict.fromkeys(wanted, os.getloadavg()[0])  # what else the machine does
    output.parent.mkdir(parents=True, exist_ok=True)
    for part in wanted:
        click.echo(f"\n{part}")
        results["parts"][part] = [
            _measured(case, part, folder, results["versions"], options) for case in known[part]
        ]
        if part in GROWTH:
            click.echo(f"  grows with exponent {_growth(results['parts'][part], part):.2f}")
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _growth(found: list[dict[str, Any]], part: str) -> float:
    of = "events" if part.endswith("events") else "spine_rows"
    return slope([(case[of], case["runs"][0]["median"]) for case in found])


def _measured(
    case: Case, part: str, folder: Path, versions: dict[str, str], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the runs of one case: ours first, then the others it is measured against."""
    runs: list[dict[str, Any]] = []
    entrants: list[tuple[str, str | None]] = [("fstore", None)]
    if part not in GROWTH:
        entrants += [("join", None), ("pairs", None), ("fstore", "bands"), ("fstore", "mixed")]
    if part == "even" and case.storage == "parquet":
        entrants += [("joins", None), ("subqueries", None)]
    if part == "daily" and Path(options["feast_python"]).exists() and not options["in_process"]:
        entrants.append(("feast", None))
    click.echo(f"  {case.name}")
    for peer, plan in entrants:
        answer = folder / f"answer-{peer}-{plan}.parquet"
        outcome = _ask(case, peer, plan, folder, answer, options)
        versions |= outcome.pop("versions", {})
        runs.append({"peer": peer, "plan": plan} | outcome)
    truth = folder / "answer-join-None.parquet"
    for run in runs:
        answer = folder / f"answer-{run['peer']}-{run['plan']}.parquet"
        if answer.exists() and part not in GROWTH and truth.exists():
            windows = OF_FEAST if run["peer"] == "feast" else WINDOWS
            run["rows"] = check(answer, truth, windows)
        click.echo(_line(run))
    return {
        "case": case.name,
        "events": case.events,
        "spine_rows": case.spine_rows,
        "keys": case.keys,
        "skewed": case.skewed,
        "storage": case.storage,
        "runs": runs,
    }


def _ask(
    case: Case,
    peer: str,
    plan: str | None,
    folder: Path,
    answer: Path,
    options: dict[str, Any],
) -> dict[str, Any]:
    slow = peer in ONCE or plan is not None or (peer == "join" and case.skewed)
    asked = {
        "peer": peer,
        "plan": plan,
        "events": relation(case, folder / "raw"),
        "spine": str(case.spine_path(folder / "raw")),
        "warehouse": str(folder / "project" / WAREHOUSE) if case.storage != "parquet" else None,
        "project": str(folder / "project"),
        "view": case.view,
        "answer": str(answer),
        "repetitions": 1 if slow else options["repetitions"],
        "warm": not slow,
        "time_limit": options["time_limit"],
    }
    answer.unlink(missing_ok=True)
    if options["in_process"]:
        outcome = measure(asked, limited=False)
    else:
        python, module = sys.executable, "benchmarks.peers.windows"
        if peer == "feast":
            python, module = options["feast_python"], "benchmarks.peers.windows_feast"
            asked["events"] = str(case.events_path(folder / "raw"))
        ran = subprocess.run(  # noqa: S603 - the words are ours
            [python, "-m", module, json.dumps(asked)],
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode == -signal.SIGALRM:
            return {"failed": f"not finished in {options['time_limit']} s"}
        if ran.returncode:
            return {"failed": (ran.stderr.strip().splitlines() or ["no word"])[-1][:300]}
        outcome = json.loads(ran.stdout.splitlines()[-1])
    cpu = statistics.median(outcome["cpu_seconds"])
    return outcome | {"median": statistics.median(outcome["seconds"]), "cpu": cpu}


def _line(run: dict[str, Any]) -> str:
    name = run["peer"] + (f", {run['plan']}" if run["plan"] else "")
    if "failed" in run:
        return f"    {name:<14} {run['failed']}"
    taken = f"({run['taken']})" if run.get("taken") else ""
    peak = run["peak_bytes"] / 1e6
    times = f"{run['median']:8.3f} s, {run['cpu']:8.3f} of cpu"
    return f"    {name:<14} {times} {peak:7.0f} MB  {run.get('rows', '')} {taken}"


if __name__ == "__main__":
    main()
