"""What the runner and a peer say to each other: a Job as JSON in, a line of JSON out.

A peer runs in a process of its own, so that its memory is its own and a slow one can be killed.
This module is imported in every peer's environment: nothing beyond pandas and pyarrow is needed.
"""

from __future__ import annotations

import gc
import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

LIBRARIES = (
    "dbt-fstore",
    "dbt-duckdb",
    "duckdb",
    "pyarrow",
    "feast",
    "ibis-framework",
    "dask",
    "polars",
    "pandas",
)


@dataclass(frozen=True)
class View:
    """The rows of one feature view, as each kind of peer finds them."""

    name: str  # of the dbt model, which is the feature view
    parquet: str | None  # the file; None: only in the warehouse
    is_sorted: bool  # by key and event_timestamp
    relation: str  # in the warehouse
    key: str
    features: tuple[str, ...]
    ttl_days: int | None


@dataclass(frozen=True)
class Job:
    """What a peer is asked: the spine's rows with the features of the views.

    ``time_limit`` is what preparation, and then each call, may take, in seconds.
    """

    views: tuple[View, ...]
    spine: str  # a Parquet file
    project: str  # the dbt project's folder
    scratch: str  # a folder for what the peer needs to write
    answer: str  # the Parquet file that gets the rows of the last call
    repetitions: int
    time_limit: int
    variant: str  # of a peer that has several, the end of its name: feast-dask
    plan: str | None = None  # fstore: the plan to force
    memory_limit: str | None = None  # fstore

    @property
    def features(self) -> list[str]:
        """The features of all views."""
        return [name for view in self.views for name in view.features]

    def to_json(self) -> str:
        """Write the job as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what :meth:`to_json` wrote."""
        fields = json.loads(text)
        views = tuple(
            View(**each | {"features": tuple(each["features"])}) for each in fields.pop("views")
        )
        return cls(views=views, **fields)


Ask = Callable[[], "pd.DataFrame | None"]


def measure(job: Job, prepare: Callable[[Job], Ask], limited: bool = False) -> dict[str, Any]:
    """Prepare, call once to warm up, then time each call; write the last answer's rows.

    A call begins with the spine as a frame in memory and the peer's own store object at hand, and
    ends with a pandas frame, whose attrs are the peer's notes on it. Preparation is not timed.
    ``limited``: this process dies by SIGALRM, wherever it is, when the time limit is over.
    """
    alarm = signal.alarm if limited else _no_alarm
    alarm(job.time_limit)
    ask = prepare(job)
    seconds = []
    frame = None
    for repetition in range(job.repetitions + 1):
        frame = None  # the frame before goes first
        gc.collect()
        alarm(job.time_limit)
        begun = time.perf_counter()
        frame = ask()
        took = time.perf_counter() - begun
        if repetition:
            seconds.append(took)
    alarm(0)
    peak = peak_memory()
    notes: dict[str, Any] = {}
    if frame is not None:
        notes |= frame.attrs
        frame[["row_id", *job.features]].to_parquet(job.answer, index=False)
    return {"seconds": seconds, "peak_bytes": peak, "versions": versions()} | notes


def serve(prepare: Callable[[Job], Ask]) -> None:
    """Be the peer's process: the job is the first argument, the result is the last line."""
    job = Job.from_json(sys.argv[1])
    if sys.platform == "linux":  # where memory runs out, this process is the one to go
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    print(json.dumps(measure(job, prepare, limited=True)), flush=True)


def _no_alarm(seconds: int) -> None:
    del seconds


def peak_memory() -> int:
    """Return the most memory that this process ever had resident, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def versions() -> dict[str, str]:
    """Return the versions of the libraries that matter, where they are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
