"""The command that serves online features over HTTP."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from fstore.cli import show
from fstore.cli.options import opens_store

if TYPE_CHECKING:
    from fstore.store import FeatureStore

_LIBRARIES = {"httptools", "orjson", "prometheus_client", "uvloop"}


@click.command()
@click.option("--host", help="The address to listen on. [default: 127.0.0.1, or server.host]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port to listen on. [default: 6566, or server.port]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that answer; they share the index in memory.",
)
@opens_store
def serve(store: FeatureStore, host: str | None, port: int | None, workers: int) -> None:
    """Serve online features over HTTP, as Feast's server does.

    Needs what is published and nothing else: no dbt, no warehouse, or a copied folder as
    --project-dir. What is published or pushed later is served at once. Without keys (in
    FSTORE_READ_KEY and FSTORE_WRITE_KEY, or server.keys in fstore.yml) only this host may ask.

    Routes: POST /get-online-features, POST /push, GET /health, /metrics, /openapi.json, /docs.
    TERM and Ctrl-C stop it after the requests in flight; HUP reads fstore.yml again. A line of
    JSON for each request goes to standard error.

    \b
    Examples:
      fstore serve
      fstore serve --host 0.0.0.0 --workers 4
    """
    try:
        run = importlib.import_module("fstore.server.run")  # its libraries are an extra
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        show.tell(
            "[bold red]Error:[/] {}",
            f"fstore serve needs {error.name}, which comes with the extra: install "
            "dbt-fstore[server] as you installed dbt-fstore.",
        )
        sys.exit(1)
    project = store.project
    serving = project.settings.serving
    serving = replace(
        serving,
        host=serving.host if host is None else host,
        port=serving.port if port is None else port,
    )
    found = store.status()
    state = f"generation {found.generation}, {len(found.views)} views" if found else "nothing yet"
    opened = {
        "project_dir": str(project.directory),
        "target": project.target if project.profile_name else None,
        "profiles_dir": str(project.profiles_path.parent) if project.profile_name else None,
    }

    def ready(url: str) -> None:
        names = ", ".join(key.name for key in serving.keys)
        keys = f"keys of {names}" if names else "no keys: open to this host"
        show.tell("[bold]fstore[/] {}", f"serves {state} at {url} (docs at {url}/docs; {keys})")

    store.close()
    run.serve(opened, serving, workers, ready, os.environ)
