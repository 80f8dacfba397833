"""A run's figures as tables of Markdown, beside the targets.

A run is what ``run.py`` writes down: among others ``figures``, by workload, then by pairing, a
list of what was measured in each round (empty where that failed); and ``start_up``, pairs of
seconds that imports took: ours, and what it stands on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, TypeAlias

from bench import workloads
from bench.pairings import PAIRINGS, REFERENCE
from bench.targets import MEMORY, PB_DIALECT, START_UP, STREAMS, TARGETS, Goal

__all__ = ["TITLES", "Run", "failures", "history", "median_of", "pairings_of", "ratio", "tables"]

Run: TypeAlias = dict[str, Any]

TITLES: Mapping[str, str] = {
    "targets": "Targets",
    "pb_targets": "Targets of the pb dialect",
    "ratios": "Speed, Twisted PB = 1",
    "cpu": "Processor time saved, Twisted PB = 1",
    "figures": "Figures",
    "logins": "Ways of logging in, over TLS",
    "latencies": "How long a call takes",
    "streams": "Streams",
}
"""The tables of a run, in their order."""


def ratio(
    run: Run, workload: str, pairing: str, key: str = "rate", against: str | None = None
) -> tuple[float, float, float] | None:
    """Return the ratios to Twisted of single rounds: their median, the lowest and the highest.

    None if there is no round in which both ran. Above 1 is better, whatever ``key`` says.

    Args:
        run: the run.
        workload: what the pairing runs.
        pairing: who.
        key: the figure that is compared.
        against: what Twisted runs, where that is another workload.
    """
    mine_all = run["figures"].get(workload, {}).get(pairing, ())
    theirs_all = run["figures"].get(against or workload, {}).get(REFERENCE, ())
    each = [
        mine[key] / theirs[key] if key == "rate" else theirs[key] / mine[key]
        for mine, theirs in zip(mine_all, theirs_all, strict=False)
        if key in mine and key in theirs
    ]
    return (median(each), min(each), max(each)) if each else None


def median_of(run: Run, workload: str, pairing: str, key: str) -> float | None:
    """Return the median of a figure; None if it was not measured."""
    rounds = run["figures"].get(workload, {}).get(pairing, ())
    values = [figure[key] for figure in rounds if key in figure]
    return median(values) if values else None


def _start_up(run: Run) -> float | None:
    """Return how many times as long ``import broker`` takes as what it stands on."""
    pairs = run.get("start_up", ())
    return median(ours / plain for ours, plain in pairs) if pairs else None


def pairings_of(run: Run) -> list[str]:
    """Return the pairings that ran, in the order of their table."""
    ran = {pairing for figures in run["figures"].values() for pairing in figures}
    return [pairing for pairing in PAIRINGS if pairing in ran]


def failures(run: Run) -> list[str]:
    """Return a line for each workload that a pairing failed in some round."""
    return [
        f"{workload}, {PAIRINGS[pairing].label}: failed in {rounds.count({})} of "
        f"{len(rounds)} rounds"
        for workload, figures in run["figures"].items()
        for pairing, rounds in figures.items()
        if {} in rounds
    ]


def tables(run: Run) -> dict[str, str]:
    """Return the tables of a run by the keys of `TITLES`; one without rows is empty."""
    return {
        "targets": _targets(run),
        "pb_targets": _pb_targets(run),
        "ratios": _ratios(run, "rate"),
        "cpu": _ratios(run, "cpu_us"),
        "figures": _figures(run),
        "logins": _logins(run),
        "latencies": _latencies(run),
        "streams": _streams(run),
    }


def _targets(run: Run) -> str:
    rows = []
    for workload, goals in TARGETS.items():
        cells = [workload]
        for pairing, goal in zip(("ours", "ours-uvloop"), goals, strict=True):
            cells += _judged(ratio(run, workload, pairing), goal)
        rows.append(cells)
    for workload, goal in MEMORY.items():
        cells = [f"{workload}, KiB a connection"]
        for pairing in ("ours", "ours-uvloop"):
            cells += _at_most(median_of(run, workload, pairing, "kib"), goal)
        rows.append(cells)
    for each in STREAMS:
        cells = [each.label]
        for pairing in ("ours", "ours-uvloop"):
            cells += _stream_goal(run, each, pairing)
        rows.append(cells)
    rows.append(["import", *_at_most(_start_up(run), START_UP), "", "", ""])
    head = ["workload", "broker", "target", "met", "uvloop", "target", "met"]
    return _table(head, [row for row in rows if row[1] or row[4]])


def _stream_goal(run: Run, goal: Goal, pairing: str) -> list[str]:
    if goal.against is not None:
        return _judged(ratio(run, goal.workload, pairing, goal.key, goal.against), goal.goal)
    found = median_of(run, goal.workload, pairing, goal.key)
    if goal.is_most:
        return _at_most(found, goal.goal)
    shown, met = ("", "") if found is None else (f"**{_short(found)}**", _yes(found >= goal.goal))
    return [shown, f"≥ {goal.goal:,g}", met]


def _pb_targets(run: Run) -> str:
    rows = []
    shown = ("ours-pb", "to-twisted", "from-twisted")
    for workload, goal in PB_DIALECT.items():
        cells = [workload, f"{goal:g}"]
        for pairing in shown:
            found, _, met = _judged(ratio(run, workload, pairing), goal)
            cells += [found, met]
        rows.append(cells)
    head = ["workload", "target"]
    for pairing in shown:
        head += [PAIRINGS[pairing].label, "met"]
    return _table(head, [row for row in rows if any(row[2:])])


def _judged(found: tuple[float, float, float] | None, goal: float) -> list[str]:
    if found is None:
        return ["", f"{goal:g}", ""]
    best, low, high = found
    shown = f"**{_short(best)}** ({_short(low)} to {_short(high)})"
    return [shown, f"{goal:g}", _yes(best >= goal)]


def _at_most(found: float | None, goal: float) -> list[str]:
    if found is None:
        return ["", f"≤ {goal:g}", ""]
    return [f"**{_short(found)}**", f"≤ {goal:g}", _yes(found <= goal)]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratios(run: Run, key: str) -> str:
    def cell(workload: str, pairing: str) -> str:
        found = ratio(run, workload, pairing, key)
        return "" if found is None else _short(found[0])

    return _matrix(run, [name for name in pairings_of(run) if name != REFERENCE], cell)


_UNITS = {"mb_s": "MB/s", "ms": "ms"}


def _figures(run: Run) -> str:
    def cell(workload: str, pairing: str) -> str:
        for key, unit in _UNITS.items():
            found = median_of(run, workload, pairing, key)
            if found is not None:
                return f"{found:,.1f} {unit}" if found < 100 else f"{found:,.0f} {unit}"
        rate = median_of(run, workload, pairing, "rate")
        memory = median_of(run, workload, pairing, "kib")
        beside = "" if memory is None else f", {memory:.1f} KiB"
        return "" if rate is None else f"{rate:,.0f}/s{beside}"

    return _matrix(run, pairings_of(run), cell, without=workloads.STREAMS)


def _logins(run: Run) -> str:
    """Return what each way costs; beside Twisted's same way, or where it has none, its password."""
    rows = []
    for workload, way in workloads.WAYS.items():
        theirs = workload if REFERENCE in run["figures"].get(workload, {}) else "W7 TLS"
        cells = [way]
        for name, pairing in ((workload, "ours"), (theirs, REFERENCE)):
            for key in ("rate", "kib"):
                found = median_of(run, name, pairing, key)
                cells.append("" if found is None else _short(found))
        found = ratio(run, workload, "ours", against=theirs)
        rows.append([*cells, "" if found is None else f"**{_short(found[0])}**"])
    label = PAIRINGS[REFERENCE].label
    head = ["way", "broker, logins/s", "KiB", f"{label}, logins/s", "KiB", "ratio"]
    return _table(head, [row for row in rows if row[1]])


def _latencies(run: Run) -> str:
    rows = []
    for pairing in pairings_of(run):
        found = [
            median_of(run, workload, pairing, key)
            for workload in ("W1", "W1 one core")
            for key in ("p50_us", "p99_us")
        ]
        cells = ["" if value is None else f"{value:,.0f}" for value in found]
        rows.append([PAIRINGS[pairing].label, *cells])
    head = ["µs", "W1, half within", "99 % within", "W1 one core, half within", "99 % within"]
    return _table(head, [row for row in rows if any(row[1:])])


_STREAMS = (
    ("S1, items/s", "S1", "rate"),
    ("S2, MB/s", "S2", "mb_s"),
    ("S3, items/s of 10 streams", "S3", "rate"),
    ("S3, items/s of 1 stream", "S3", "one_rate"),
    ("S4, 99 % within, alone, µs", "S4", "alone_p99_us"),
    ("S4, 99 % within, beside, µs", "S4", "p99_us"),
    ("S4 ints, 99 % within, alone, µs", "S4 ints", "alone_p99_us"),
    ("S4 ints, 99 % within, beside, µs", "S4 ints", "p99_us"),
    ("W2, calls/s", "W2", "rate"),
    ("W4 paging, MB/s", "W4 paging", "mb_s"),
)
"""The rows of the table of streams: label, workload and figure."""


def _streams(run: Run) -> str:
    """Return the figures of streams, above those of the calls and pages of the same run."""
    if not any(name in run["figures"] for name in workloads.STREAMS):
        return ""
    chosen = pairings_of(run)
    rows = []
    for label, workload, key in _STREAMS:
        found = [median_of(run, workload, pairing, key) for pairing in chosen]
        rows.append([label, *("" if value is None else _short(value) for value in found)])
    head = ["streams", *(PAIRINGS[pairing].label for pairing in chosen)]
    return _table(head, [row for row in rows if any(row[1:])])


def history(runs: list[Run]) -> str:
    """Return the ratios of all runs, the last one first, in both dialects."""
    measured = dict.fromkeys(name for run in runs for name in run["figures"])
    names = [name for name in measured if name not in workloads.STREAMS]
    rows = []
    for run in reversed(runs):
        for pairing in ("ours", "ours-uvloop", "ours-pb"):
            found = [ratio(run, name, pairing) for name in names]
            if any(found):
                cells = ["" if each is None else _short(each[0]) for each in found]
                about = [run["date"][:10], f"`{run['commit']}`", PAIRINGS[pairing].label]
                rows.append([*about, *cells])
    return _table(["date", "commit", "who", *names], rows)


def _matrix(
    run: Run,
    pairings: list[str],
    cell: Callable[[str, str], str],
    without: tuple[str, ...] = (),
) -> str:
    head = ["workload", *(PAIRINGS[name].label for name in pairings)]
    rows = [
        [workload, *(cell(workload, pairing) for pairing in pairings)]
        for workload in run["figures"]
        if workload not in without
    ]
    return _table(head, [row for row in rows if any(row[1:])])


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table, its columns as wide as their cells, so that it is legible as it stands."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in [head, rule, *rows]
    )
