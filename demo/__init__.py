"""The demo of fstore on the reference project: `python -m demo` in the project's folder."""
