"""A run's figures as tables of Markdown, beside the targets.

A run is what ``run.py`` writes down: among others ``figures``, by workload, then by pairing, a
list of what was measured in each round (empty where that failed); ``forms``, which form of broker
each pairing ran; and ``start_up`` and ``start_up_pure``, pairs of seconds that imports took: ours,
and its requirements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, TypeAlias

from bench import workloads
from bench.pairings import FLOORS, PAIRINGS, REFERENCE
from bench.targets import (
    FORMS,
    MEMORY,
    OLDEST_PYTHON,
    OWN,
    PB_DIALECT,
    PB_MIXED,
    PB_PAIRINGS,
    START_UP,
    STREAMS,
    TARGETS,
    Goal,
)

__all__ = [
    "TITLES",
    "Run",
    "failures",
    "history",
    "is_judged",
    "markdown",
    "median_of",
    "pairings_of",
    "ratio",
    "tables",
]

Run: TypeAlias = dict[str, Any]

TITLES: Mapping[str, str] = {
    "targets": "Targets",
    "pb_targets": "Targets of the pb dialect",
    "floors": "Speed, the loop alone = 1",
    "ratios": "Speed, Twisted PB = 1",
    "cpu": "Processor time saved, Twisted PB = 1",
    "figures": "Figures",
    "logins": "Ways of logging in, over TLS",
    "latencies": "How long a call takes",
    "streams": "Streams",
}
"""The tables of a run, in their order."""


def ratio(
    run: Run,
    workload: str,
    pairing: str,
    key: str = "rate",
    against: str | None = None,
    reference: str = REFERENCE,
) -> tuple[float, float, float] | None:
    """Return the ratios to a reference of single rounds: their median, lowest and highest.

    None if there is no round in which both ran. Above 1 is better, whatever ``key`` says.

    Args:
        run: the run.
        workload: what the pairing runs.
        pairing: who.
        key: the figure that is compared.
        against: what the reference runs, where that is another workload.
        reference: the pairing that it is compared with.
    """
    mine_all = run["figures"].get(workload, {}).get(pairing, ())
    theirs_all = run["figures"].get(against or workload, {}).get(reference, ())
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


def _start_up(run: Run, key: str = "start_up") -> float | None:
    """Return how many times as long ``import broker`` takes as its requirements."""
    pairs = run.get(key, ())
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
        "floors": _floors(run),
        "ratios": _ratios(run, "rate"),
        "cpu": _ratios(run, "cpu_us"),
        "figures": _figures(run),
        "logins": _logins(run),
        "latencies": _latencies(run),
        "streams": _streams(run),
    }


def is_judged(run: Run, workload: str) -> bool:
    """Return whether the Python of a run is new enough for the target of a workload."""
    version = tuple(map(int, run["python"].split(".")[:2]))
    return version >= OLDEST_PYTHON.get(workload, (0, 0))


def _targets(run: Run) -> str:
    rows = []
    for workload, goals in TARGETS.items():
        cells = [workload]
        for pairing, goal in zip(FORMS, goals, strict=True):
            judged = _judged(ratio(run, workload, pairing), goal)
            if judged[2] and not is_judged(run, workload):
                oldest = ".".join(map(str, OLDEST_PYTHON[workload]))
                judged[2] = f"from {oldest} on"
            cells += judged
        rows.append(cells)
    for workload, goal in MEMORY.items():
        cells = [f"{workload}, KiB a connection"]
        for pairing in FORMS:
            cells += _at_most(median_of(run, workload, pairing, "kib"), goal)
        rows.append(cells)
    for each in (*OWN, *STREAMS):
        cells = [each.label]
        for pairing in FORMS:
            runs_it = each.workload in PAIRINGS[pairing].runs
            cells += _single_goal(run, each, pairing) if runs_it else ["", "", ""]
        rows.append(cells)
    pure = _at_most(_start_up(run, "start_up_pure"), START_UP)
    rows.append(["import", *_at_most(_start_up(run), START_UP), "", "", "", *pure])
    head = ["workload", "broker", "target", "met", "uvloop", "target", "met"]
    head += ["pure Python", "target", "met"]
    return markdown(head, [row for row in rows if any(row[1::3])])


def _single_goal(run: Run, goal: Goal, pairing: str) -> list[str]:
    if goal.against is not None:
        reference = pairing if goal.is_own else REFERENCE
        found_ratio = ratio(run, goal.workload, pairing, goal.key, goal.against, reference)
        return _judged(found_ratio, goal.goal)
    found = median_of(run, goal.workload, pairing, goal.key)
    if goal.is_most:
        return _at_most(found, goal.goal)
    shown, met = ("", "") if found is None else (f"**{_short(found)}**", _yes(found >= goal.goal))
    return [shown, f"≥ {goal.goal:,g}", met]


def _pb_targets(run: Run) -> str:
    rows = []
    mixed = ("to-twisted", "from-twisted")
    for workload, goals in PB_DIALECT.items():
        cells = [workload]
        pairs = [
            *zip(PB_PAIRINGS, goals, strict=True),
            *((each, PB_MIXED[workload]) for each in mixed),
        ]
        for pairing, goal in pairs:
            cells += _judged(ratio(run, workload, pairing), goal)
        rows.append(cells)
    head = ["workload"]
    for pairing in (*PB_PAIRINGS, *mixed):
        head += [PAIRINGS[pairing].label, "target", "met"]
    return markdown(head, [row for row in rows if any(row[1::3])])


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


def _floors(run: Run) -> str:
    """Return the ratios to the loop alone, and in brackets what that reaches of Twisted's speed."""
    rows = []
    for workload in run["figures"]:
        cells = [workload]
        for pairing, floor in FLOORS:
            own = ratio(run, workload, pairing, reference=floor)
            alone = ratio(run, workload, floor)
            shown = own is not None and alone is not None
            cells.append(f"**{_short(own[0])}** ({_short(alone[0])})" if shown else "")
        rows.append(cells)
    head = ["workload", *(f"{PAIRINGS[a].label} to {PAIRINGS[b].label}" for a, b in FLOORS)]
    return markdown(head, [row for row in rows if any(row[1:])])


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
    return markdown(head, [row for row in rows if row[1]])


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
    return markdown(head, [row for row in rows if any(row[1:])])


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
    return markdown(head, [row for row in rows if any(row[1:])])


def history(runs: list[Run]) -> str:
    """Return the ratios of all runs, the last one first, in each form and both dialects."""
    measured = dict.fromkeys(name for run in runs for name in run["figures"])
    names = [name for name in measured if name not in workloads.STREAMS]
    rows = []
    for run in reversed(runs):
        for pairing in (*FORMS, *PB_PAIRINGS):
            found = [ratio(run, name, pairing) for name in names]
            if any(found):
                cells = ["" if each is None else _short(each[0]) for each in found]
                about = [run["date"][:10], f"`{run['commit']}`", PAIRINGS[pairing].label]
                about.append(run.get("forms", {}).get(pairing, ""))
                rows.append([*about, *cells])
    return markdown(["date", "commit", "who", "form", *names], rows)


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
    return markdown(head, [row for row in rows if any(row[1:])])


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table, its columns as wide as their cells, so that it is legible as it stands."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in [head, rule, *rows]
    )
