"""The page of the online benchmark: goals, reads, serving, publishing, memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.goals import GB, Goal
from benchmarks.markdown import bounds, number, of, table
from benchmarks.online_goals import (
    SQLITE,
    Results,
    goals,
    materialized,
    median,
    reading,
    served,
    times_ours,
)
from benchmarks.online_shapes import KEYS

NAMES = {
    "fstore": "**fstore**",
    "fstore-redis": "**fstore, Redis**",
    "feast-sqlite": "Feast, SQLite",
    "feast-redis": "Feast, Redis",
}
CALLS_BEYOND = {"p99": 1_000, "p999": 10_000}  # ten calls lie beyond the quantile


def render(results: Results) -> str:
    """Return the page."""
    blocks = [
        _opening(results),
        _goals(goals(results)),
        "![p50 of a read by the number of keys](img/online.svg)",
        *(_reads(results, features) for features in (10, 100)),
        _during(results),
        _http(results),
        _materialize(results),
        _image(results),
        _profile(results),
        _http_profile(results),
        _set_against(results),
        _how(results),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _opening(results: Results) -> str:
    machine, scale = results["machine"], results["scale"]
    versions = results.get("versions", {})
    libraries = "; ".join(
        f"{words}: " + ", ".join(f"{name} {it}" for name, it in sorted(versions[peer].items()))
        for words, peer in (("ours", "fstore"), ("Feast's", "feast-sqlite"))
        if peer in versions
    )
    small = "" if scale == 1 else f"\n\n**All row counts are {scale:g} of what is said here.**"
    missing = "".join(f"\n\n**Not measured: {words}.**" for words in results["missing"])
    wrong = "".join(
        f"\n\n**{NAMES[peer].replace('*', '')} gave {words}: no goal uses it.**"
        for peer, words in results.get("values", {}).items()
        if words != "right"
    )
    return (
        "# Benchmarks of the online store\n\n"
        "`benchmarks/online.py`, which `make bench-online` runs, measured every number here in one "
        "run, peers in turns on the same rows. "
        f"The machine: {machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory_bytes'] / GB:.0f} GB, {machine['system']}, Python {machine['python']}. "
        f"Versions, {libraries}.{small}{missing}{wrong}"
    )


def _goals(found: list[Goal]) -> str:
    rows = [(goal.what, of(goal), bounds(goal), goal.verdict) for goal in found]
    return "## Goals\n\n" + table(("goal", "measured", "must (aim)", ""), rows)


def _reads(results: Results, features: int) -> str:
    rows = []
    for keys in KEYS:
        for peer in NAMES:
            found = reading(results, peer, keys, features)
            ratio = times_ours(results, peer, keys, features)
            if found:
                ratio_text = number(ratio) if ratio else "-"
                rows.append((str(keys), NAMES[peer], *_times(found), ratio_text))
    if not rows:
        return ""
    head = ("keys", "who", "p50 µs", "p99", "p99.9", "calls", "times ours (p50)")
    return f"## In process: {features} features\n\n" + table(head, rows)


def _times(found: dict[str, Any]) -> tuple[str, ...]:
    """Return the quantiles, each where enough calls lie beyond it."""
    quantiles = (
        number(found[name]) if found["calls"] >= CALLS_BEYOND.get(name, 0) else "-"
        for name in ("p50", "p99", "p999")
    )
    return (*quantiles, f"{found['calls']:,}")


def _during(results: Results) -> str:
    rows = []
    for found in results.get("during", []):
        quiet = found["quiet"]
        rows.append((str(found["keys"]), "nothing else", *_times(quiet), _spread(quiet)))
        beside = f"{found['published']} materializes"
        rows.append((str(found["keys"]), beside, *_times(found), _spread(found)))
    if not rows:
        return ""
    head = ("keys", "beside", "p50 µs", "p99", "p99.9", "calls", "p99 / p50")
    return (
        "## fstore while another process materializes\n\n"
        "10 features; the same view is published again and again, and each read is of the newest "
        "generation.\n\n" + table(head, rows)
    )


def _spread(found: dict[str, Any]) -> str:
    return number(found["p99"] / found["p50"])


def _http(results: Results) -> str:
    rows = []
    measured = results.get("http", [])
    for found in measured:
        ours = [
            each["requests_a_second"]
            for each in measured
            if each["peer"] == "fstore" and each["keys"] == found["keys"]
        ]
        rate = found["requests_a_second"]
        trouble = [f"{count} {status}" for status, count in found["statuses"].items()]
        trouble += [f"{count} {words}" for words, count in found["failures"].items()]
        rows.append(
            (str(found["keys"]), NAMES[found["peer"]], f"{rate:,.0f}", number(found["p50"] / 1e3))
            + (number(found["p99"] / 1e3), ", ".join(trouble), found["values"])
            + ((number(ours[0] / rate) if ours else "-"),)
            + ((number(found["load_us"]) if "load_us" in found else "-"),)
        )
    if not rows:
        return ""
    head = ("keys", "who", "requests/s", "p50 ms", "p99 ms", "answers", "values", "ours / theirs")
    head += ("load, µs",)
    return (
        f"## HTTP: {results['connections']} connections, one process that answers\n\n"
        "10 features. Ours checks a bearer key, applies the ttl, and writes statuses, metrics and "
        "a line of its log for each request; Feast's checks no key and writes no access log. "
        "`benchmarks/load.py` loads both; on two cores it has one of them, and the last column is "
        "what it takes of that for a request.\n\n" + table(head, rows)
    )


def _materialize(results: Results) -> str:
    rows = []
    ours = materialized(results, "fstore")
    for peer in NAMES:
        found = materialized(results, peer)
        if found:
            seconds = median(found["seconds"])
            ratio = number(seconds / median(ours["seconds"])) if ours else "-"
            calls = str(len(found["seconds"]))
            peak = f"{found['peak_bytes'] / GB:.2f}"
            rows.append((NAMES[peer], f"{seconds:.2f}", calls, ratio, peak))
    if not rows:
        return ""
    facts = results["materialize"][0]
    words = (
        f"{facts['entities']:,} entities from {facts['rows']:,} rows x {facts['features']} features"
    )
    head = ("who", "seconds", "runs", "times ours", "peak GB")
    return f"## Materialize: {words}\n\n" + table(head, rows)


def _image(results: Results) -> str:
    found = results.get("image")
    if not found:
        return ""
    million = found["entities"] / 1e6
    rows = [
        (words, f"{found[name] / 1e6:.1f}", f"{found[name] / 1e6 / million:.1f}")
        for words, name in (
            ("the index image", "index_bytes"),
            ("its DuckDB table, which no read opens", "table_bytes"),
            ("memory of a reader's own, once every key was read", "own_bytes"),
            ("mapped pages of the image, shared by all readers", "file_bytes"),
        )
    ]
    return f"## Memory: {found['entities']:,} entities x {found['features']} features\n\n" + table(
        ("", "MB", "MB a million entities"), rows
    )


# What Feast took on the machine for which the goals were set, and the unit.
_SET_AGAINST = (
    ("1 key x 10, p50", 340.0, "µs"),
    ("100 keys x 10, p50", 12_000.0, "µs"),
    ("HTTP, 1 key", 300.0, "/s"),
    ("HTTP, 100 keys", 23.0, "/s"),
    ("materialize", 24.0, "s"),
)


def _set_against(results: Results) -> str:
    """Return what the goals' ratios were set against, beside what was met here."""
    rows, faster = [], []
    for (what, then, unit), found in zip(_SET_AGAINST, _here(results), strict=True):
        theirs, ours = found
        if theirs is not None and ours is not None:
            rate = unit == "/s"
            faster.append(theirs / then if rate else then / theirs)
            ratio = ours / then if rate else then / ours
            told = f"{then:,.0f} {unit}", f"{theirs:,.1f} {unit}", f"{ours:,.2f} {unit}"
            rows.append((what, *told, f"{ratio:.0f}x"))
    if not rows:
        return ""
    heads = ("", "Feast then", "Feast here", "fstore here", "fstore here / Feast then")
    return f"""\
## What the goals were set against

The ratios were set from what Feast took on another machine. On this one Feast is \
{min(faster):.1f} to {max(faster):.1f} times faster than that, and the ratios above are against \
what it takes here.

{table(heads, rows)}"""


def _profile(results: Results) -> str:
    """Return what one read goes to, where benchmarks.online_profile has said so."""
    parts = results.get("profile")
    if not parts:
        return ""
    rows = [(name, f"{micros:.2f}") for name, micros in parts.items()]
    return f"""\
## What one read goes to

One key and ten features, as `benchmarks/online_profile.py` prints it: medians, each part by itself.

{table(("", "µs"), rows)}"""


def _http_profile(results: Results) -> str:
    """Return what a request goes to, where benchmarks.online_http_profile has said so."""
    profiles = results.get("http_profile", {}).get("1")
    if not profiles:
        return ""
    steps = next(iter(profiles.values()))
    rows = [(name, *(f"{each[name]:.2f}" for each in profiles.values())) for name in steps]
    return f"""\
## What one HTTP request goes to

One key and ten features, as `benchmarks/online_http_profile.py` prints it: microseconds of the \
server's own work for a request, medians, by how many requests take each step together. What the \
kernel and the event loop take comes on top.

{table(("requests at a time", *profiles), rows)}"""


def _here(results: Results) -> Iterator[tuple[float | None, float | None]]:
    for keys in (1, 100):
        found = [reading(results, peer, keys) for peer in (SQLITE, "fstore")]
        yield tuple(each and each["p50"] for each in found)  # type: ignore[misc]
    for keys in (1, 100):
        found = [served(results, peer, keys) for peer in (SQLITE, "fstore")]
        yield tuple(each and each["requests_a_second"] for each in found)  # type: ignore[misc]
    found = [materialized(results, peer) for peer in (SQLITE, "fstore")]
    yield tuple(each and median(each["seconds"]) for each in found)  # type: ignore[misc]


def _how(results: Results) -> str:
    return f"""\
## How it is measured

- A read is the whole call that a user makes: entity rows as a list of dicts in, \
`get_online_features(...).to_dict()` out, in one thread of one process. Keys are drawn at random, \
one in a hundred of them unknown; no call asks the same keys as the one before.
- Peers take {results["rounds"]} turns each, one after the other, so that what else the machine \
does meets all of them. A quantile is shown where at least ten calls lie beyond it.
- Before any time counts, 2,000 keys of each view are read by every peer and compared, value by \
value, with the newest source rows, found by a query that shares nothing with fstore \
(`benchmarks/online_truth.py`). So are 100 keys of each server.
- Feast reads the same Parquet files through its DuckDB offline store and keeps the rows in SQLite \
or Redis; Redis is private, on the loopback, and writes nothing to disk.
- A materialize runs in a process of its own, into an empty store, peers in turns; peak memory is \
the most that the process ever had resident, without Redis.

```bash
make bench-online
```

`python -m benchmarks.online --help` has the rest. `python -m benchmarks.online_report` writes \
this page. What Redis and PostgreSQL cost as our own online stores, beside a bare client, \
`python -m benchmarks.online_stores` prints."""
