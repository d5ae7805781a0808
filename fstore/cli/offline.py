"""Commands about training sets: sql, get-historical-features, saved-datasets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fstore.cli import progress, show
from fstore.cli.options import (
    INSTANT,
    as_json,
    feature_options,
    limits,
    opens_store,
    references,
)
from fstore.cli.rows import rows_of, write_csv

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.offline.job import RetrievalJob
    from fstore.store import FeatureStore

ROWS_SHOWN = 20
_OTHER_FORMS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".arrow", ".feather", ".xlsx")


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a training set."""
    for option in (
        click.option(
            "--plan",
            metavar="PLAN",
            help="Force how rows are found (pairs, bounded, bucketed, asof, placed) or windows "
            "computed (bands, tiles, mixed); all give the same. [default: the cheapest a view]",
        ),
        click.option(
            "--include-event-timestamps",
            is_flag=True,
            help="Add view__event_timestamp: when the row that was seen happened.",
        ),
        click.option("--event-timestamp", help="The spine's time column."),
        click.option("--end", type=INSTANT, help="Without a spine: rows visible up to this time."),
        click.option(
            "--start", type=INSTANT, help="Without a spine: rows visible from this time on."
        ),
        feature_options,
        click.option(
            "--entity-df",
            "-e",
            metavar="SQL|MODEL",
            help="The rows to train on: a SELECT (it may read files), or a dbt model's name.",
        ),
    ):
        command = option(command)
    return command


def _job(store: FeatureStore, entity_df: str | None, **options: Any) -> RetrievalJob:
    features = references(options.pop("features"))
    return store.get_historical_features(entity_df, features, **options)


@click.command()
@request_options
@click.option(
    "--explain",
    is_flag=True,
    help="Print instead how each view's rows are found and why, and DuckDB's plan.",
)
@opens_store
def sql(store: FeatureStore, explain: bool, **options: Any) -> None:
    """Print the SQL of a training set, which is not made: rows are only counted, to plan it.

    \b
    Examples:
      fstore sql -e "select * from 'labels.parquet'" -f carrier_delays:avg_delay
      fstore sql -e my_labels -f carrier_delays --explain
    """
    job = _job(store, **options)
    click.echo(job.explain() if explain else job.to_sql())


@click.command("get-historical-features")
@request_options
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a Parquet file; whole, or not at all.",
)
@click.option("--save-as", metavar="NAME", help="Keep it as a saved dataset of this name.")
@as_json
@limits
@opens_store
def get_historical_features(
    store: FeatureStore, output: Path | None, save_as: str | None, as_json: bool, **options: Any
) -> None:
    """Make a training set: every row of the spine, with the features known at its time.

    Prints the first rows as a table on a terminal, all of them as CSV into a pipe, or as JSON, a
    line a row, with --json.

    \b
    Examples:
      fstore get-historical-features -e my_labels -f 'carrier_delays:*' -o train.parquet
      fstore get-historical-features -e "select * from 'labels.csv'" --feature-service my_service
      fstore get-historical-features --start 2013-01-01 --end 2013-02-01 -f carrier_delays
    """
    if output is not None and save_as is not None:
        raise click.UsageError("--output and --save-as are two places: give one of them.")
    if output is not None and output.suffix.lower() in _OTHER_FORMS:
        raise click.UsageError(
            f"--output writes Parquet, and {output} would not say so: name it "
            f"{output.with_suffix('.parquet')}, or leave --output out and redirect, for CSV."
        )
    job = _job(store, **options)
    started = time.perf_counter()
    if save_as is not None:
        with progress.shown():
            dataset = store.create_saved_dataset(save_as, job)
        _report(dataset.rows, dataset.path, started)
    elif output is not None:
        with progress.shown():
            job.to_parquet(output)
        _report(None, output, started)
    else:
        _print(job, as_json)


def _report(rows: int | None, path: Path, started: float) -> None:
    counted = "" if rows is None else f"{rows:,} rows in "
    seconds = time.perf_counter() - started
    show.tell("{}", f"{counted}{path}, {seconds:.1f} s")


def _print(job: RetrievalJob, as_json: bool) -> None:
    names = [column.name for column in job.features]
    hugeints = job.hugeints
    if as_json:
        for batch in _batches(job):
            for row in rows_of(batch, hugeints):
                click.echo(show.json_line(dict(zip(names, row, strict=True))))
    elif show.on_terminal():
        with progress.shown():
            table = job.to_arrow()
        head = table.slice(0, ROWS_SHOWN).combine_chunks().to_batches()
        show.table(None, names, [row for batch in head for row in rows_of(batch, hugeints)])
        if table.num_rows > ROWS_SHOWN:
            more = table.num_rows - ROWS_SHOWN
            click.echo(f"... {more:,} more rows; -o train.parquet keeps all.")
    else:
        write_csv(_batches(job), names, hugeints, sys.stdout)


def _batches(job: RetrievalJob) -> Iterator[pa.RecordBatch]:
    """Yield the training set; on a terminal the first rows take the place of the bar."""
    with progress.shown() as display:
        for batch in job.to_batches():
            if show.on_terminal():
                display.end()
            yield batch


@click.command("saved-datasets")
@as_json
@opens_store
def saved_datasets(store: FeatureStore, as_json: bool) -> None:
    """List the training sets that were kept with --save-as or create_saved_dataset.

    \b
    Example:
      fstore saved-datasets --json
    """
    columns = ["name", "rows", "columns", "created_at", "path"]
    rows = [
        [each.name, each.rows, len(each.columns), each.created_at, str(each.path)]
        for each in store.saved_datasets()
    ]
    if as_json:
        show.as_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif not rows:
        click.echo("Nothing is kept yet. Run: fstore get-historical-features ... --save-as NAME")
    else:
        show.table(None, columns, rows)
