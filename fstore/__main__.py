"""``python -m fstore``: the command, where its script is not on the path."""

from fstore.cli import main

main()
