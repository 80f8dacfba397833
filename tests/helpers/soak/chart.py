"""The chart of a soak: what each cycle left behind, over the time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from soak.gauge import Sample
from soak.verdict import WARM_UP

# Before pyplot: nothing is shown, only written.
matplotlib.use("Agg")

from matplotlib import pyplot

__all__ = ["draw"]

_INK, _PALE, _GRID = "#1f2933", "#9aa5b1", "#e3e7eb"
_ROWS = (
    ("resident", "resident memory, MB", 1e6),
    ("traced", "allocated by Python, MB", 1e6),
    ("objects", "live objects, thousands", 1e3),
    ("tables", "entries of tables", 1.0),
)


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Draw the samples into a PNG."""
    minutes = [sample.seconds / 60 for sample in samples]
    figure, axes = pyplot.subplots(len(_ROWS), 1, sharex=True, figsize=(9, 9), layout="constrained")
    for axis, (attribute, title, unit) in zip(axes, _ROWS, strict=True):
        values = [getattr(sample, attribute) / unit for sample in samples]
        axis.plot(minutes, values, color=_INK, linewidth=1.2, marker=".", markersize=4)
        axis.set_ylim(0, max(values) * 1.25 or 1)
        axis.set_title(title, loc="left", fontsize=10, color=_INK)
        axis.grid(color=_GRID)
        axis.set_axisbelow(True)
        axis.axvspan(0, minutes[-1] * WARM_UP, color=_PALE, alpha=0.2, linewidth=0)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[0].text(0, axes[0].get_ylim()[1] * 0.04, " warm-up", fontsize=9, color=_INK)
    axes[-1].set_xlabel("minutes")
    figure.suptitle("What is left after each cycle, when all visitors have gone", fontsize=12)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
