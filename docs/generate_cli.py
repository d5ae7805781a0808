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
2 called wrongly.
"""


def sections(command: click.Command, names: tuple[str, ...]) -> Iterator[str]:
    """The help of a command and of every command under it."""
    context = None
    for name in names:
        context = click.Context(main, info_name=name, parent=context, max_content_width=100)
    context = click.Context(command, info_name=names[-1], parent=context and context.parent)
    context.max_content_width = 100
    context.terminal_width = 100
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## {' '.join(names)}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for name, under in sorted(command.commands.items()):
            if not under.hidden:
                yield from sections(under, (*names, name))


if __name__ == "__main__":
    written = "\n".join([HEAD, *sections(main, ("fstore",))])
    if "--check" not in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != written:
        sys.exit("docs/cli.md is not current; run: make docs")
