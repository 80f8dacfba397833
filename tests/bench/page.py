"""The ratios of a run as a table, and the page on performance, made from the runs written down."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["ratio", "rounded", "table", "write"]

INTRODUCTION = """\
# Performance

How fast broker is beside Twisted's Perspective Broker: both measured in the same run, taking turns,
over loopback TCP, in the `pb` dialect that both speak. Above 1 is faster than Twisted. Only the
ratios mean anything elsewhere; the absolute figures are those of the machine of the run.

`make bench` makes this page. Each figure is the median of its rounds. The ratio is the median of
the ratios of single rounds, in which each pairing runs right after the other; the lowest and the
highest of them stand behind it. Server and client are processes of their own, started anew for each
measurement and pinned to one core each.

The ratio of CPU is that of the time which client and server together have the processor for one
call: steadier than the rates on a machine that does something else besides.

- **W1**: one call outstanding, `echo("hello")`, calls a second. With one core for each side, each
  call pays for waking up an idle core twice; *one core* for both shows the cost of the call itself.
- **W2**: 100 calls outstanding on one connection, by 100 coroutines.
- **W3**: 100 dicts of five fields there and back, compared; one call outstanding.
- **W5**: a list of so many ints, answered with its length; one call outstanding.

Ours are `broker.serve` and `broker.connect` in asyncio's own loop; Twisted's are its factories in
its default reactor. TCP_NODELAY is as each sets it: on with ours, off with Twisted.
"""


def rates(figures: list[dict[str, float]]) -> list[float]:
    """Return how often a second, of each round."""
    return [figure["rate"] for figure in figures]


def ratio(run: dict[str, Any], name: str, pairing: str = "ours") -> tuple[float, float, float]:
    """Return the ratios to Twisted of single rounds: their median, the lowest and the highest."""
    theirs = rates(run["figures"][name]["twisted"])
    ours = rates(run["figures"][name][pairing])
    each = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return median(each), min(each), max(each)


def cpu_ratio(figures: dict[str, Any], pairing: str) -> str:
    """Return how much more of the processor Twisted takes; empty where that is not known."""
    theirs, ours = (
        median(figure["cpu_us"] for figure in figures[each]) for each in ("twisted", pairing)
    )
    return f"{theirs / ours:.2f}" if ours else ""


def table(run: dict[str, Any]) -> str:
    """Return a run's figures as a table of Markdown."""
    pairings = list(next(iter(run["figures"].values())))
    mixed = [pairing for pairing in pairings if pairing not in ("twisted", "ours")]
    head = ["workload", "unit", "Twisted", "ours", "ratio", "of one round", "CPU", *mixed]
    lines = [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)])]
    for name, figures in run["figures"].items():
        best, low, high = ratio(run, name)
        cells = [name, _unit(figures), _shown(figures["twisted"]), _shown(figures["ours"])]
        cells += [f"**{best:.2f}**", f"{low:.2f} to {high:.2f}"]
        cells += [cpu_ratio(figures, "ours")]
        cells += [
            f"{ratio(run, name, pairing)[0]:.2f} (CPU {cpu_ratio(figures, pairing)})"
            for pairing in mixed
        ]
        lines.append(_line(cells))
    return "\n".join(lines)


def rounded(run: Any) -> Any:
    """Return a run with its figures to four digits, which is more than they are worth."""
    if isinstance(run, dict):
        return {key: rounded(value) for key, value in run.items()}
    if isinstance(run, list):
        return [rounded(value) for value in run]
    return float(f"{run:.4g}") if isinstance(run, float) else run


def write(folder: Path) -> None:
    """Make ``index.md`` from ``runs.jsonl``: the last run whole, and the ratios of those before."""
    lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    parts = [INTRODUCTION, "## The last run\n", f"{_method(runs[-1])}\n", table(runs[-1]) + "\n"]
    parts += ["## All runs\n", _history(runs)]
    (folder / "index.md").write_text("\n".join(parts) + "\n", encoding="utf-8")


def _method(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return (
        f"{run['date'][:10]}, commit `{run['commit']}`, `{run['command']}`: {run['rounds']} rounds"
        f" of {run['secs']:g} s. Python {run['python']}, {versions}; {run['machine']}."
    )


def _history(runs: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for run in runs for name in run["figures"]))
    head = ["date", "commit", "rounds", *names]
    lines = [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)])]
    for run in reversed(runs):
        cells = [run["date"][:10], f"`{run['commit']}`", f"{run['rounds']} × {run['secs']:g} s"]
        cells += [f"{ratio(run, name)[0]:.2f}" if name in run["figures"] else "" for name in names]
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _unit(figures: dict[str, Any]) -> str:
    return "ms" if "ms" in figures["ours"][0] else "calls/s"


def _shown(figures: list[dict[str, float]]) -> str:
    if "ms" in figures[0]:
        return f"{median(figure['ms'] for figure in figures):,.1f}"
    return f"{median(rates(figures)):,.0f}"
