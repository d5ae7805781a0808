"""Writes docs/cli.md from the commands' own help; with --check only tells whether it is current."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["COLUMNS"] = "100"
os.environ["NO_COLOR"] = "1"

import click

from fstore.cli import main

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# The command line

Written by `make docs` from the commands' own help; do not edit. Every command takes dbt's own
`--project-dir`, `--profiles-dir` and `--target`. Exit codes: 0 done, 1 found something wrong,
2 called wrongly, 130 stopped by Ctrl-C.
"""


def sections(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[str]:
    """The help of a command and of every command under it."""
    settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## {context.command_path}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for under_name, under in sorted(command.commands.items()):
            if not under.hidden:
                yield from sections(under, under_name, context)


if __name__ == "__main__":
    written = "\n".join([HEAD, *sections(main, "fstore")])
    if "--check" not in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != written:
        sys.exit("docs/cli.md is not current; run: make docs")
