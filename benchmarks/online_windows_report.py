"""Writes docs/benchmarks-online-windows.md: ``python -m benchmarks.online_windows_report``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.markdown import bounds, number, of, table
from benchmarks.online_windows_data import ASKED, FUNCTIONS, WINDOWS
from benchmarks.online_windows_goals import Found, find, form, goals, ratio

HERE = Path(__file__).parent


@click.command(help=__doc__)
@click.option(
    "--results", default=HERE / "results/online_windows.json", type=click.Path(path_type=Path)
)
@click.option(
    "--page",
    default=HERE.parent / "docs/benchmarks-online-windows.md",
    type=click.Path(path_type=Path),
)
def main(results: Path, page: Path) -> None:
    page.write_text(render(json.loads(results.read_text(encoding="utf-8"))), encoding="utf-8")


def render(results: Found) -> str:
    """Return the page."""
    parts = results["parts"]
    blocks = [*_opening(results), *_goals(parts)]
    for name, section in SECTIONS.items():
        if name in parts:
            blocks += section(parts[name])
    return "\n\n".join([*blocks, *_method(results)]) + "\n"


def _opening(results: Found) -> Iterator[str]:
    facts = results["machine"]
    libraries = ", ".join(f"{name} {it}" for name, it in sorted(results["versions"].items()))
    scale = results["scale"]
    small = "" if scale == 1 else f" **All counts are {scale:g} of what the text says.**"
    yield "# Benchmarks: window features online"
    yield (
        "Written by `python -m benchmarks.online_windows_report` from what "
        "`python -m benchmarks.online_windows` measured; do not edit. Ten features of one view of "
        f"events: {', '.join(WINDOWS)} x {' and '.join(ASKED)} of a DOUBLE, of which a twentieth "
        "is NULL. Each key has the same number of events, all within the longest window, spread "
        "evenly over the year. *Plain* is ten DOUBLE columns of another view of the same store "
        "over the same keys. The machine: "
        f"{facts['cores']} cores of {facts['processor']}, {facts['memory_bytes'] / 1e9:.0f} GB, "
        f"{facts['system']}, Python {facts['python']}. {libraries}.{small}"
    )
    busy = {
        name: load for name, load in results.get("busy", {}).items() if name in results["parts"]
    }
    shown = ", ".join(f"{name} {load:.1f}" for name, load in busy.items())
    yield (
        f"Load averages while the parts ran: {shown}. One is a core's worth, of which what is "
        "measured takes one, and two with a server; the rest was other work on the machine, which "
        "p99 and p99.9 show most."
    )


def _goals(parts: Found) -> Iterator[str]:
    yield "## Goals"
    yield table(
        ("goal", "measured", "must", ""),
        ((goal.what, of(goal), bounds(goal), goal.verdict) for goal in goals(parts)),
    )


def _times(found: Found) -> tuple[str, ...]:
    return *(number(found[kind]) for kind in ("p50", "p99", "p999")), f"{found['calls']:,}"


TIMES = ("p50 µs", "p99", "p99.9", "calls")


def _reads(part: Found) -> Iterator[str]:
    yield "## In process"
    rows = []
    for found in part["reads"]:
        plain = find(part["reads"], kind="plain", per_key=found["per_key"], keys=found["keys"])
        times = ratio(found, plain, "p50")
        facts = (f"{found['per_key']:,}", str(found["keys"]), found["kind"])
        rows.append((*facts, *_times(found), "-" if times is None else number(times)))
    yield table(("events a key", "keys a read", "what", *TIMES, "times plain (p50)"), rows)
    yield f"Answers: {_verdict(part['values'])}."
    yield "### A function alone"
    yield (
        "One feature a read, of the window of 365 days, one key; p50 in µs. "
        "`approx_count_distinct` is DuckDB's own sketch, for which a statement is run each time."
    )
    sizes = sorted({each["per_key"] for each in part["functions"]})
    rows = []
    for function in FUNCTIONS:
        each = (find(part["functions"], function=function, per_key=size) for size in sizes)
        rows.append((f"`{function}`", *(number(one["p50"]) if one else "-" for one in each)))
    yield table(("function", *(f"{size:,} events" for size in sizes)), rows)
    yield "### What one read goes to"
    yield (
        "A key with 10,000 events, ten windows: medians, each part by itself, over all keys in "
        "turn. One dash: within the plan's answer; two: within the ten windows, for which the "
        "searches are made once."
    )
    yield table(
        ("part", "µs"),
        ((each["part"], number(each["microseconds"])) for each in part["profile"]),
    )


def _verdict(values: Any) -> str:
    wrong = ", ".join(f"{name} {it}" for name, it in values.items() if it != "right")
    return wrong or "right, each of them"


def _http(part: Found) -> Iterator[str]:
    yield "## HTTP: one process of `fstore serve`, a key checked at each request"
    yield "One entity a request, ten features, 10,000 events a key; the load is on the same cores."
    served = []
    for found in part["reads"]:
        plain = find(part["reads"], kind="plain", connections=found["connections"])
        rate = ratio(plain, found, "requests_a_second")
        served.append(
            (str(found["connections"]), found["kind"], f"{found['requests_a_second']:,.0f}")
            + (number(found["p50"]), number(found["p99"]), _answers(found))
            + ("-" if rate is None else number(rate),)
        )
    head = ("connections", "what", "requests/s", "p50 µs", "p99", "answers", "plain/s over its own")
    yield table(head, served)
    yield f"Values: {part['values']}."
    single = {each["kind"]: each for each in part["reads"] if each["connections"] == 1}
    if len(single) == 2:
        more, cold = (
            each["windows"]["p50"] - each["plain"]["p50"] for each in (single, part["cold"])
        )
        yield (
            f"At one connection a window read takes {more:.0f} µs more than a plain one (p50). "
            f"In process it is {cold:.0f} µs where 8 MB of other memory are read between two "
            "reads, so that the processor's caches hold something else. The last hour of a key is "
            "often without events, too: its features are NULL, which takes JSON of its own."
        )
    yield "Pushes of 1,000 rows as JSON, times as text, one connection:"
    rows = [
        (f"{found['keys']:,}", f"{found['rows_a_second']:,.0f}", number(found["p50"] / 1e3))
        + (number(found["p99"] / 1e3), _answers(found), found["values"])
        for found in part["pushes"]
    ]
    yield table(("keys", "rows/s", "p50 ms", "p99", "answers", "values after"), rows)


def _answers(found: Found) -> str:
    trouble = [f"{count:,} x {status}" for status, count in found["statuses"].items()]
    return ", ".join(trouble + [f"{count} {words}" for words, count in found["failures"].items()])


def _pushes(part: Found) -> Iterator[str]:
    yield "## Pushes in process"
    yield (
        "1,000 rows a call, one fsync each, to a view with an event_key and a created_timestamp; "
        "one row in a hundred is a new version of an event that is published. Rows a second are "
        "1,000 over the median call, and beside that over the mean. Forms and views take turns. "
        "*Collector* is the share of the time that Python's garbage collector took: it "
        "looks at all objects now and then, those of the benchmark among them."
    )
    rows = [
        (f"{found['keys']:,}", form(found), f"{found['rows_a_second']:,.0f}")
        + (f"{found['mean_rows_a_second']:,.0f}", number(found["p50"] / 1e3))
        + (number(found["p99"] / 1e3), f"{found['calls']:,}")
        + (f"{found['collector_share']:.0%}",)
        for found in part["pushes"]
    ]
    head = ("keys", "rows as", "rows/s", "rows/s, mean", "p50 ms", "p99", "calls", "collector")
    yield table(head, rows)
    yield (
        f"Answers afterwards: {_verdict(part['values'])}. A call writes "
        f"{part['batch_bytes'] / 1e3:.0f} kB; to write as many bytes and wait for this disk takes "
        f"{part['fsync']['p50'] / 1e3:.2f} ms (p50), {part['fsync']['p99'] / 1e3:.1f} (p99)."
    )
    yield "### What a push goes to"
    yield (
        "Lists of dicts to 100 keys, by cProfile, which makes each call of a function dearer than "
        "it is; the largest own times."
    )
    yield table(
        ("function", "calls a push", "share of the time", "with what it calls"),
        (
            (f"`{each['function']}`", f"{each['calls']:,.0f}", f"{each['share']:.0%}")
            + (f"{each['share_with_calls']:.0%}",)
            for each in part["push_profile"]
        ),
    )


def _after(part: Found) -> Iterator[str]:
    yield "## Reads right after a push, and beside pushes"
    yield (
        "A push of one row to a key with 10,000 published events, then a read of ten windows of "
        "that key. The first read after a push makes a block of the key's events and the pushed "
        "one, which the next ones read."
    )
    names = {"before": "before the push", "after": "right after it", "again": "once more"}
    yield table(("read", *TIMES), ((words, *_times(part[kind])) for kind, words in names.items()))
    yield f"Answers afterwards: {part['values']}."
    others = part["others"]
    yield (
        "Reads of half of the keys while another process pushes batches of 1,000 rows to the other "
        f"half, {others['rows_a_second']:,.0f} rows a second in the meantime. A read takes in what "
        "was pushed since the one before:"
    )
    names = {"quiet": "quiet", "beside": "while pushes go on"}
    yield table(("read", *TIMES), ((words, *_times(others[kind])) for kind, words in names.items()))


def _state(part: Found) -> Iterator[str]:
    yield "## State"
    yield (
        "Bytes an event, from the files of a generation with 1,000 events a key: `.events` is what "
        "reads map, `.keys` says where a key's are, and the DuckDB file is what they are made "
        "from, which a server does not read."
    )
    sizes = [
        (found["asked"], "yes" if found["event_key"] else "no", f"{found['events_bytes']:.1f}")
        + (f"{found['keys_bytes']:.2f}", f"{found['duckdb_bytes']:.1f}")
        for found in part["bytes"]
    ]
    yield table(("windows ask for", "event_key", "`.events`", "`.keys`", "`.duckdb`"), sizes)
    yield (
        "To publish avg and max, with an event_key, from a Parquet file into an empty store, in a "
        "process of its own (memory: the most that was resident):"
    )
    rows = [
        (f"{found['events']:,}", f"{found['keys']:,}", f"{found['median']:.2f}")
        + (f"{found['events'] / found['median']:,.0f}", f"{found['peak_bytes'] / 1e6:,.0f}")
        + (f"{found['file_bytes'] / 1e6:,.0f}",)
        for found in part["published"]
    ]
    head = ("events", "keys", "seconds (median)", "events/s", "memory, MB", "`.events`, MB")
    yield table(head, rows)


def _stores(part: list[Found]) -> Iterator[str]:
    yield "## On Redis and PostgreSQL"
    yield (
        "The same ten features; servers on this host. A read fetches the block of a key's events "
        "whole, and computes here: what it takes grows with the bytes. No goal is set."
    )
    rows = [
        (found["store"], f"{found['per_key']:,}", str(found["keys"]), *_times(found))
        + (found["values"],)
        for found in part
    ]
    yield table(("store", "events a key", "keys a read", *TIMES, "values"), rows)


SECTIONS: dict[str, Callable[[Any], Iterator[str]]] = {
    "reads": _reads,
    "http": _http,
    "pushes": _pushes,
    "after": _after,
    "state": _state,
    "stores": _stores,
}


METHOD = """- The events are hashes of their numbers; the reads are of a million events, of as \
many keys as that makes. K is the instant at which the run began.
- Before any time counts, answers are compared with those of one query written by hand over the \
same events at the same instant, which shares nothing with fstore \
(`benchmarks/online_windows_data.py`): up to 200 keys of each view, every feature; after pushes \
again, with the pushed rows among the known ones. A server's clock cannot be set: its answer must \
be that of the instant just before the request or of the one just after it.
- Keys are drawn at random, and no read is of the keys of the one before. The clock is injected in \
process, and goes on a millisecond a read, so that no answer can be one that was given before.
- What is compared takes turns: {rounds} of each, after one to warm up. Calls are timed one by \
one, from the request to lists by column.
- HTTP: `benchmarks/load.py` keeps a number of connections busy; requests a second are the median \
of the turns. Batches that are pushed over HTTP are sent again when all were, and then each once \
more, before the answers are compared."""


def _method(results: Found) -> Iterator[str]:
    yield "## How it is measured"
    yield METHOD.format(rounds=results["rounds"])
    yield (
        "`python -m benchmarks.online_windows --help` has the rest: parts, and a smaller scale. "
        "`python -m benchmarks.online_windows_report` writes this page."
    )


if __name__ == "__main__":
    main()
