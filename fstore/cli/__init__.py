"""The ``fstore`` command: one verb for each thing a feature store does."""

from __future__ import annotations

import click

import fstore
from fstore.cli import offline, online, project, serve


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(fstore.__version__, prog_name="fstore")
def main() -> None:
    """A feature store on your dbt project: point-in-time training sets and online features.

    A dbt model with `meta.fstore` is a feature view. Run `dbt build`, then:

    \b
      fstore check                     is every declaration right?
      fstore get-historical-features   a training set, correct in time
      fstore materialize               publish the latest values
      fstore get-online-features       read them
      fstore serve                     read them over HTTP

    Exit codes: 0 done, 1 something is wrong, 2 called wrongly, 130 stopped by Ctrl-C.
    """


for command in (
    project.check,
    project.list_names,
    project.describe,
    offline.sql,
    offline.get_historical_features,
    offline.saved_datasets,
    online.materialize,
    online.materialize_incremental,
    online.get_online_features,
    online.push,
    online.delete,
    online.status,
    online.rollback,
    serve.serve,
):
    main.add_command(command)
