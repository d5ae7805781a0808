"""Every code block of the docs is run, as a reader would run it, page by page in a fresh folder.

A block's treatment follows from its language and the comment before it; one without a treatment
fails, so nothing is skipped in silence:

- after `<!-- file: models/x.sql -->`: written to that file
- bash: run, a line at a time; lines that set up a machine (make, pip, git, venv) are checked
  against the Makefile and pyproject.toml instead
- python: run; the blocks of a page share their names
- text after bash or python: what the block before it printed, exactly, with ... for anything
- sql, yaml, toml: must parse
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlglot
import yaml

ROOT = Path(__file__).parents[1]
GENERATED = {"docs/cli.md"}  # test_cli_reference holds it equal to the commands' own help
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
)
FENCE = re.compile(
    r"(?:<!-- (?P<marker>[^\n]*?) -->\n+)?"
    r"^(?P<ticks>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=ticks)$",
    re.DOTALL | re.MULTILINE,
)
SETS_UP = re.compile(r"(make|pip|git|cd|python3? -m (venv|pip)|source|\.) ?")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    file: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language or 'no language'})"


def blocks(page: str) -> Iterator[Block]:
    source = (ROOT / page).read_text(encoding="utf-8")
    assert source.count("\n```") % 2 == 0, f"{page}: a code block is not closed"
    for found in FENCE.finditer(source):
        marker = found["marker"] or ""
        assert not marker or marker.startswith("file: "), f"{page}: unknown comment: {marker}"
        yield Block(
            page=page,
            line=source.count("\n", 0, found.start("ticks")) + 1,
            language=found["language"],
            text=found["text"],
            file=marker.removeprefix("file: ") or None,
        )


class Reader:
    """Follows one page: has a folder, a shell and a Python session, and remembers what it saw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, object] = {}
        self.printed: str | None = None

    def follow(self, block: Block) -> None:
        if block.language == "text":
            assert self.printed is not None, f"{block}: text must follow a block that prints"
            assert matches(block.text, self.printed), (
                f"{block} says:\n{block.text}\nbut this was printed:\n{self.printed}"
            )
            self.printed = None
            return
        self.printed = None
        if block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "bash":
            self.printed = "".join(self.shell(line, block) for line in commands(block.text))
        elif block.language == "python":
            self.printed = self.python(block)
        elif block.language == "sql":
            assert sqlglot.parse_one(block.text, dialect="duckdb"), str(block)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, str(block)
        elif block.language == "toml":
            assert tomllib.loads(block.text), str(block)
        else:
            pytest.fail(f"{block} has no treatment: see the head of tests/test_docs.py")

    def shell(self, line: str, block: Block) -> str:
        if SETS_UP.match(line):
            check_setup(line, block)
            return ""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            ["bash", "-euc", line],
            cwd=self.folder,
            env={**os.environ, "PATH": programs, "COLUMNS": "100", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{block}: {line}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def python(self, block: Block) -> str:
        out = io.StringIO()
        code = compile("\n" * block.line + block.text, str(ROOT / block.page), "exec")
        with contextlib.redirect_stdout(out), contextlib.chdir(self.folder):
            exec(code, self.names)
        return out.getvalue()


def commands(text: str) -> Iterator[str]:
    """The commands of a bash block: its lines, without comments, continuations joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def check_setup(line: str, block: Block) -> None:
    """A line that sets up a machine names only what there is."""
    if line.startswith("make"):
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = {word for word in line.split("#")[0].split()[1:] if "=" not in word}
        assert named <= targets, f"{block}: the Makefile has no {named - targets}"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"\[([a-z,]+)\]", line):
        unknown = set(extras.split(",")) - set(declared["optional-dependencies"])
        assert not unknown, f"{block}: pyproject.toml has no extra {unknown}"
    # The distribution is not published: whoever runs `pip install <name>` gets somebody else's.
    bare = re.search(r"pip install\s(?:\S+\s)*?['\"]?(fstore|dbt-fstore)\b", line)
    assert not bare, f"{block}: install from a checkout or a wheel, not by a bare name"


def matches(expected: str, printed: str) -> bool:
    """Equal but for trailing blanks, where ... stands for anything."""
    pattern = r"\n".join(
        ".*?".join(re.escape(part) for part in line.rstrip().split("..."))
        for line in expected.rstrip().splitlines()
    )
    seen = "\n".join(line.rstrip() for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, seen, flags=re.DOTALL) is not None


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_page(page, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("DBT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    reader = Reader(tmp_path)
    for block in blocks(page):
        reader.follow(block)


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    """Links between files lead somewhere."""
    source = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", source):
        if not re.match(r"[a-z]+:", link):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link} leads nowhere"


def test_cli_reference_is_current():
    ran = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate_cli.py"), "--check"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_decisions_are_short_and_numbered():
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        lines = record.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 40, f"{record.name} has {len(lines)} lines; 40 are enough"
        assert "## Not taken" in lines, f"{record.name} names no option that was not taken"


def test_the_reader_notices_what_is_wrong(tmp_path):
    """The mechanism itself: untreated blocks, wrong output and bad commands all fail."""
    reader = Reader(tmp_path)

    def block(language: str, text: str) -> Block:
        return Block("page.md", 1, language, text, None)

    for bad in (
        block("", "x"),
        block("ruby", "x"),
        block("text", "x"),
        block("bash", "exit 3"),
        block("bash", "make nothing"),
        block("bash", "pip install 'dbt-fstore[dbt]'"),
        block("bash", "pip install -e '.[nothing]'"),
    ):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            reader.follow(bad)
    reader.follow(block("bash", "echo one\necho two"))
    reader.follow(block("text", "one\n...o\n"))
    reader.follow(block("python", "print(1)"))
    with pytest.raises(AssertionError, match="but this was printed"):
        reader.follow(block("text", "2"))
