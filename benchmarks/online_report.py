"""Writes docs/benchmarks-online.md and its picture: ``python -m benchmarks.online_report``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmarks.markdown import of
from benchmarks.online_goals import goals
from benchmarks.online_page import render
from benchmarks.online_plots import draw

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


@click.command(help=__doc__)
@click.option("--results", default=HERE / "results/online.json", type=click.Path(path_type=Path))
@click.option("--page", default=DOCS / "benchmarks-online.md", type=click.Path(path_type=Path))
@click.option("--picture", default=DOCS / "img/online.svg", type=click.Path(path_type=Path))
def main(results: Path, page: Path, picture: Path) -> None:
    measured = json.loads(results.read_text(encoding="utf-8"))
    draw(measured, picture)
    page.write_text(render(measured), encoding="utf-8")
    for goal in goals(measured):
        click.echo(f"{goal.verdict:<16} {goal.what}: {of(goal)}")


if __name__ == "__main__":
    main()
