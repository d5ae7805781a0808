"""The picture of a window minute by minute: offline, online, and what dbt computed beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.dates import DateFormatter, HourLocator
from matplotlib.figure import Figure

from demo.decay import PAIRS, SINCE, UNTIL

if TYPE_CHECKING:
    from demo.decay import Decay

PICTURE = Path("data/decay.svg")
PANELS = {  # what a window is, and where the legend has room
    "carrier_landings_count_1d": ("landings", (0.01, 0.05)),
    "carrier_arr_delay_avg_1d": ("mean delay, minutes", (0.27, 0.14)),
}


def draw(decay: Decay, path: Path) -> None:
    """Write the picture as SVG, the same bytes for the same values."""
    with mpl.rc_context({"svg.hashsalt": "fstore", "font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 5.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        at = decay.offline["event_timestamp"]
        for axes, (window, (what, place)) in zip((top, bottom), PANELS.items(), strict=True):
            precomputed = PAIRS[window]
            stuck = decay.offline[precomputed].astype("float64")
            axes.plot(
                at,
                stuck,
                color="#d98324",
                linewidth=1.2,
                label=f"{precomputed}, computed at each landing",
            )
            truth = decay.offline[window].astype("float64")
            axes.plot(at, truth, color="#a9cbe3", linewidth=5, label=f"{window}, offline")
            read = decay.online[window].astype("float64")
            axes.plot(at, read, color="#0b3c5d", linewidth=1.2, label=f"{window}, online")
            axes.set_ylabel(f"{what}, last 24 hours")
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc=place)
        top.set_title("JetBlue in the blizzard of 8 and 9 February 2013, minute by minute")
        foot = bottom.get_ylim()[0]
        feet = [foot] * len(decay.landed_at)
        bottom.plot(decay.landed_at, feet, "|", color="black", clip_on=False)
        bottom.set(xlabel="UTC; a tick is a landing, pushed as it happened", xlim=(SINCE, UNTIL))
        bottom.xaxis.set_major_locator(HourLocator(byhour=range(0, 24, 6)))
        bottom.xaxis.set_major_formatter(DateFormatter("%d Feb %H:%M"))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
