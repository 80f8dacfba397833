"""The charts of a run: how many times as fast as Twisted each pairing is, workload by workload.

The bars begin at 1, which is Twisted, and go to the right if faster and to the left if slower, on a
logarithmic scale: as long for twice as fast as for half as fast. A short line is a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib

from bench import tables
from bench.pairings import ALL, PAIRINGS
from bench.targets import FORMS, PB_DIALECT, PB_MIXED, PB_PAIRINGS, TARGETS
from bench.workloads import TITLES

# Before pyplot: nothing is shown, only written.
matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, NullLocator

__all__ = ["PB", "RATIOS", "SHORT", "Chart", "draw"]

_INK, _PALE, _GRID = "#1f2933", "#66727f", "#e3e7eb"
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Chart:
    """What a chart shows.

    Attributes:
        title: its title.
        colours: of the pairings that it shows, in their order.
        goals: the targets of a workload, by pairing.
        workloads: those that it shows.
    """

    title: str
    colours: Mapping[str, str]
    goals: Mapping[str, Mapping[str, float]]
    workloads: Sequence[str] = tuple(ALL)


RATIOS = Chart(
    "How many times as fast as Twisted's Perspective Broker",
    MappingProxyType(
        {
            "ours": "#12508f",
            "ours-uvloop": "#4a97d9",
            "ours-pure": "#74b6e8",
            "ours-pb": "#b4d6f0",
            "pyro5": "#d9822b",
            "grpc": "#7a9a5a",
            "websocket": "#a7619c",
            "capnp": "#8c8c8c",
        }
    ),
    {name: dict(zip(FORMS, goals, strict=True)) for name, goals in TARGETS.items()},
)
"""broker in both loops, in pure Python and in the dialect of Twisted, and the other libraries."""

SHORT = Chart(
    RATIOS.title,
    MappingProxyType(
        {each: RATIOS.colours[each] for each in ("ours", "pyro5", "grpc", "websocket")}
    ),
    {},
    ("W1", "W2", "W3", "W6b", "W8"),
)
"""The workloads that a stranger understands, for the first page of the documentation."""

PB = Chart(
    "The pb dialect, how many times as fast as between two of Twisted",
    MappingProxyType(
        {
            "ours-pb": "#12508f",
            "ours-pb-pure": "#74b6e8",
            "to-twisted": "#4a97d9",
            "from-twisted": "#9cc9ec",
        }
    ),
    {
        name: {
            **dict(zip(PB_PAIRINGS, goals, strict=True)),
            **dict.fromkeys(("to-twisted", "from-twisted"), PB_MIXED[name]),
        }
        for name, goals in PB_DIALECT.items()
    },
)
"""Between two of ours, and with Twisted at one end."""


def draw(run: tables.Run, chart: Chart, path: Path) -> None:
    """Draw a chart of a run, and write it as a PNG file."""
    shown = [
        (name, pairing, found[0])
        for name in chart.workloads
        for pairing in chart.colours
        if (found := tables.ratio(run, name, pairing)) is not None
    ]
    if chart is PB:
        mixed = {name for name, pairing, _ in shown if pairing not in PB_PAIRINGS}
        shown = [row for row in shown if row[0] in mixed]
    figure, axes = pyplot.subplots(layout="constrained")
    # A target that does not hold for the Python of the run is not shown.
    goals = {name: each for name, each in chart.goals.items() if tables.is_judged(run, name)}
    chart = replace(chart, goals=goals)
    rows = _bars(axes, shown, chart)
    figure.set_size_inches(10, 1.6 + 0.18 * rows)
    _frame(axes, [ratio for _, _, ratio in shown], chart)
    _legend(figure, {pairing for _, pairing, _ in shown}, chart)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bars(axes: Any, shown: list[tuple[str, str, float]], chart: Chart) -> int:
    """Draw the bars, in a group for each workload; return how many rows they take."""
    row, places = 0.0, {}
    for name in dict.fromkeys(name for name, _, _ in shown):
        first = row
        for _, pairing, ratio in (each for each in shown if each[0] == name):
            axes.barh(row, ratio - 1, left=1, height=0.86, color=chart.colours[pairing], zorder=2)
            _number(axes, row, ratio)
            goal = chart.goals.get(name, {}).get(pairing)
            if goal is not None:
                axes.plot([goal, goal], [row - 0.43, row + 0.43], color=_INK, lw=2, zorder=3)
            row += 1
        places[(first + row - 1) / 2] = f"{name}\n{TITLES[name]}"
        row += 1.1
    axes.set_yticks(list(places), list(places.values()), fontsize=9, color=_INK)
    axes.set_ylim(row - 0.6, -1)
    return round(row)


def _number(axes: Any, row: float, ratio: float) -> None:
    is_faster = ratio >= 1
    text = f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"
    axes.annotate(
        text,
        (ratio, row),
        xytext=(4 if is_faster else -4, 0),
        textcoords="offset points",
        ha="left" if is_faster else "right",
        va="center",
        fontsize=7.5,
        color=_PALE,
        zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _frame(axes: Any, ratios: list[float], chart: Chart) -> None:
    axes.set_xscale("log")
    goals = [goal for each in chart.goals.values() for goal in each.values()]
    axes.set_xlim(min([0.8, *ratios]) / 1.4, max([2, *goals, *ratios]) * 1.35)
    low, high = axes.get_xlim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}×" for tick in ticks], fontsize=9, color=_INK)
    axes.tick_params(length=0, labeltop=True)
    axes.grid(axis="x", color=_GRID, zorder=0)
    axes.axvline(1, color=_INK, lw=1, zorder=3)
    axes.spines[:].set_visible(False)
    axes.set_title(chart.title, loc="left", fontsize=13, color=_INK, pad=14, weight="bold")


def _legend(figure: Any, pairings: set[str], chart: Chart) -> None:
    handles = [
        pyplot.Rectangle((0, 0), 1, 1, color=colour, label=PAIRINGS[pairing].label)
        for pairing, colour in chart.colours.items()
        if pairing in pairings
    ]
    if chart.goals:
        handles.append(
            pyplot.Line2D([], [], color=_INK, marker="|", ls="", ms=9, mew=2, label="target")
        )
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=_INK,
    )
