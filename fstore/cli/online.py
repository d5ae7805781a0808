"""Commands about the online store: materialize it, read it, push to it, see what is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

import click

from fstore.cli import progress, show
from fstore.cli.files import read_rows
from fstore.cli.giving_way import gives_way
from fstore.cli.options import (
    INSTANT,
    as_json,
    feature_options,
    limits,
    opens_store,
    references,
)

if TYPE_CHECKING:
    from fstore.jobs.materialize import Materialization, Status
    from fstore.store import FeatureStore


def materialize_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of both ways to materialize."""
    for option in (
        as_json,
        click.option(
            "--force",
            is_flag=True,
            help="Allow an --as-of before the last one. What was pushed since stays: such a key is "
            "read as of its last push.",
        ),
        click.option(
            "--keep-going", is_flag=True, help="Publish the views that succeed; exit with 1."
        ),
        click.option(
            "--as-of", type=INSTANT, help="Publish what was known at this time. [default: now]"
        ),
        click.argument("feature_views", nargs=-1),
    ):
        command = option(command)
    return command


@click.command()
@materialize_options
@limits
@gives_way
@opens_store
def materialize(store: FeatureStore, **options: Any) -> None:
    """Publish the latest values of every key, for online reads.

    All views with `online: true`, or the FEATURE_VIEWS named. They become readable in one step;
    if one fails none does, unless --keep-going. Keys that the source no longer has leave.
    Other processes go first: it runs with niceness 10, unless it is started with another.

    \b
    Examples:
      fstore materialize
      fstore materialize carrier_delays --as-of 2013-12-31T12:00:00
    """
    _materialize(store.materialize, **options)


@click.command("materialize-incremental")
@materialize_options
@limits
@gives_way
@opens_store
def materialize_incremental(store: FeatureStore, **options: Any) -> None:
    """Publish as materialize does, but keep the keys that are gone from the source.

    \b
    Example:
      fstore materialize-incremental carrier_delays
    """
    _materialize(store.materialize_incremental, **options)


def _materialize(
    run: Callable[..., Materialization],
    feature_views: tuple[str, ...],
    as_of: datetime | None,
    keep_going: bool,
    force: bool,
    as_json: bool,
) -> None:
    with progress.shown() as display:
        result = run(
            as_of,
            list(feature_views) or None,
            keep_going=keep_going,
            force=force,
            progress=display.begin,
        )
    columns = ["view", "rows", "keys", "seconds", "as_of"]
    rows = [[it.view, it.rows, it.keys, round(it.seconds, 2), it.as_of] for it in result.views]
    if as_json:
        show.as_json(
            {
                "generation": result.generation,
                "as_of": result.as_of,
                "views": [dict(zip(columns, row, strict=True)) for row in rows],
                "failed": {view: str(error) for view, error in result.failed.items()},
            }
        )
    else:
        show.table(None, columns, rows)
        for view, error in result.failed.items():
            show.tell("[bold red]Failed:[/] {}", f"{view}: {error}")
    sys.exit(1 if result.failed else 0)


def entity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which entities."""
    for option in (
        click.option(
            "--entity-rows",
            metavar="JSON",
            help='Several rows: \'[{"carrier": "UA"}, {"carrier": "AA"}]\'',
        ),
        click.option(
            "--entity",
            "-e",
            "entities",
            multiple=True,
            metavar="KEY=VALUE",
            help="The value of a join key or of a request field; several make one row.",
        ),
    ):
        command = option(command)
    return command


@click.command("get-online-features")
@feature_options
@entity_options
@click.option("--at", type=INSTANT, help="Read as of this time, after the last materialize.")
@click.option("--metadata", is_flag=True, help="Add each feature's status and event timestamp.")
@as_json
@opens_store
def get_online_features(
    store: FeatureStore,
    features: tuple[str, ...],
    feature_service: str | None,
    full_feature_names: bool | None,
    entities: tuple[str, ...],
    entity_rows: str | None,
    at: datetime | None,
    metadata: bool,
    as_json: bool,
) -> None:
    """Read the features of entities as they are now.

    \b
    Examples:
      fstore get-online-features -f 'carrier_delays:*' -e carrier=UA
      fstore get-online-features -f route_delays -e origin=JFK -e dest=LAX --metadata
      fstore get-online-features -f late_risk -e carrier=UA -e dep_delay_so_far=12.5
      fstore get-online-features --feature-service my_service --entity-rows '[{"carrier": "UA"}]'
    """
    response = store.get_online_features(
        features=references(features),
        entity_rows=_rows(entities, entity_rows),
        feature_service=feature_service,
        full_feature_names=full_feature_names,
        at=at,
    )
    answer = response.to_dict(include_metadata=metadata)
    if as_json:
        show.as_json(answer)
        return
    rows = list(zip(*answer.values(), strict=True))
    if len(rows) == 1:  # one entity reads better downwards
        show.table(None, ["name", "value"], list(zip(answer, rows[0], strict=True)))
    else:
        show.table(None, list(answer), rows)


def _rows(entities: tuple[str, ...], entity_rows: str | None) -> list[dict[str, Any]]:
    if entities and entity_rows is not None:
        raise click.UsageError(
            "--entity makes one row and --entity-rows several: give one of them."
        )
    if entity_rows is not None:
        try:
            rows = json.loads(entity_rows)
        except json.JSONDecodeError as error:
            raise click.BadParameter(f"is not JSON: {error}", param_hint="--entity-rows") from error
        return rows if isinstance(rows, list) else [rows]
    row = {}
    for entity in entities:
        key, equals, value = entity.partition("=")
        if not equals:
            raise click.BadParameter(f"{entity!r}: write KEY=VALUE", param_hint="--entity")
        if key in row:
            raise click.BadParameter(
                f"{key} is given twice: for several rows use --entity-rows", param_hint="--entity"
            )
        row[key] = value
    return [row]


@click.command()
@click.argument("feature_view")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--to",
    type=click.Choice(["online", "offline", "online_and_offline"]),
    default="online",
    show_default=True,
    help="To the online store, to a Parquet file for dbt, or both.",
)
@as_json
@opens_store
def push(store: FeatureStore, feature_view: str, file: IO[bytes], to: str, as_json: bool) -> None:
    """Push rows of FEATURE_VIEW; they are on disk, and read by everybody, when this ends.

    FILE is Parquet (.parquet), CSV with a header (.csv), or JSON: a list of objects, or an object a
    line; without FILE, JSON from standard input. Rows are whole: join keys, event_timestamp, every
    feature. The newer (event_timestamp, created_timestamp) wins, in whatever order rows come.

    \b
    Examples:
      fstore push carrier_delays rows.parquet
      echo '{"carrier": "UA", ...}' | fstore push carrier_delays --to online_and_offline
    """
    done = store.push(feature_view, read_rows(file), to)
    facts = {"view": done.view, "rows": done.rows, "refused": done.refused, "file": done.file}
    if as_json:
        show.as_json(facts | {"file": None if done.file is None else str(done.file)})
        return
    show.facts({name: value for name, value in facts.items() if value is not None})
    if done.refused:
        show.tell(
            "[bold yellow]Warning:[/] {}",
            f"{done.refused} rows arrived before their key was deleted, and were refused.",
        )


@click.command()
@click.argument("feature_view")
@entity_options
@as_json
@opens_store
def delete(
    store: FeatureStore,
    feature_view: str,
    entities: tuple[str, ...],
    entity_rows: str | None,
    as_json: bool,
) -> None:
    """Delete keys of FEATURE_VIEW from the online store, at once.

    Later pushes of rows from before are refused. A later materialize that finds the key in the
    source brings it back: delete it there, too.

    \b
    Example:
      fstore delete carrier_delays -e carrier=UA
    """
    done = store.delete(feature_view, _rows(entities, entity_rows))
    facts = {"view": done.view, "keys": done.keys}
    if as_json:
        show.as_json(facts)
    else:
        show.facts(facts)


@click.command()
@as_json
@opens_store
def status(store: FeatureStore, as_json: bool) -> None:
    """Show what is online: each view's rows, keys, and how old its data is.

    \b
    Example:
      fstore status --json
    """
    _show_status(store.status(), as_json)


@click.command()
@as_json
@opens_store
def rollback(store: FeatureStore, as_json: bool) -> None:
    """Go back to the generation that was online before the current one.

    Nothing is computed: the files of the last two generations are kept.

    \b
    Example:
      fstore rollback
    """
    _show_status(store.rollback(), as_json)


def _show_status(found: Status | None, as_json: bool) -> None:
    columns = ["view", "rows", "keys", "as_of", "age", "generation"]
    views = found.views if found else ()
    rows = [[it.view, it.rows, it.keys, it.as_of, it.age, it.generation] for it in views]
    if as_json:
        generation = found.generation if found else None
        views_as_dicts = [dict(zip(columns, row, strict=True)) for row in rows]
        show.as_json({"generation": generation, "views": views_as_dicts})
    elif found is None:
        click.echo("Nothing is online yet. Run: fstore materialize")
    else:
        show.table(f"generation {found.generation}", columns, rows)
