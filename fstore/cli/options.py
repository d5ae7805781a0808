"""What the commands share: options, the store that they open, and how errors reach a person."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

import fstore
from fstore.cli.show import tell
from fstore.errors import FstoreError, FstoreWarning, RequestError
from fstore.project import Settings, with_limits
from fstore.project.settings import MOST_THREADS

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program to read.")


class Instant(click.ParamType[datetime]):
    """An instant: ISO text, UTC unless it says its zone."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, _ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time: write 2013-01-31 or 2013-01-31T12:00:00", param)


INSTANT = Instant()
LIMITS = ("memory_limit", "threads", "temp_directory")
INTERRUPTED = 130  # 128 and the number of SIGINT, as a shell says it


class Size(click.ParamType[str]):
    """A size of memory, as DuckDB writes it."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, _ctx: click.Context | None) -> str:
        try:
            with_limits(Settings(), memory_limit=value)
        except RequestError:
            self.fail(f"{value!r} is not a size: write 4GB or 80%", param)
        return str(value)


def limits(command: Command) -> Command:
    """Add what DuckDB may use; given, it goes before what fstore.yml says. See opens_store."""
    for option in (
        click.option(
            "--temp-directory",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where what exceeds the memory goes.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1, MOST_THREADS),
            help="How many threads DuckDB uses.",
        ),
        click.option("--memory-limit", type=Size(), help="How much memory DuckDB uses: 4GB, 80%."),
    ):
        command = option(command)
    return command


def opens_store(command: Command) -> Command:
    """Give a command dbt's own options; it is called with the open store as first argument.

    An error of fstore is printed as its sentence, without a traceback, and exits with 1, Ctrl-C
    with 130; a warning is printed to standard error. What ``limits`` adds is the store's.
    """

    @click.option(
        "--project-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="The dbt project. [default: the nearest directory upwards that holds one]",
    )
    @click.option(
        "--profiles-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where profiles.yml is, if not where dbt finds it.",
    )
    @click.option("--target", "-t", help="The target of the profile.")
    @functools.wraps(command)
    def opened(
        *args: Any,
        project_dir: Path | None,
        profiles_dir: Path | None,
        target: str | None,
        **options: Any,
    ) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always", FstoreWarning)
            warnings.showwarning = _show_warning
            given = {name: options.pop(name) for name in LIMITS if name in options}
            try:
                store = fstore.FeatureStore(
                    project_dir, target=target, profiles_dir=profiles_dir, **given
                )
                with store:
                    return command(store, *args, **options)
            except FstoreError as error:
                tell("[bold red]Error:[/] {}", str(error))
                sys.exit(1)
            except KeyboardInterrupt:
                tell("[bold red]{}[/]", "Interrupted.")
                sys.exit(INTERRUPTED)
            except BrokenPipeError:  # the reader of a pipe has had enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(0)

    return opened  # type: ignore[return-value]


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    tell("[bold yellow]Warning:[/] {}", str(message))


def feature_options(command: Command) -> Command:
    """Add the options that say which features."""
    for option in (
        click.option(
            "--full-feature-names/--bare-feature-names",
            default=None,
            help="Name the columns view__feature.",
        ),
        click.option("--feature-service", help="A feature service, instead of --features."),
        click.option(
            "--features",
            "-f",
            multiple=True,
            metavar="REF",
            help="view:feature, view:* or view; several by commas or repeated.",
        ),
    ):
        command = option(command)
    return command


def references(features: tuple[str, ...]) -> list[str] | None:
    """Return the references of --features, split at commas; None where there are none."""
    split = [part.strip() for each in features for part in each.split(",")]
    return [part for part in split if part] or None
