"""The page on fuzzing, made from the runs written down and the table of differences."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from fuzz.differences import DIFFERENCES

__all__ = ["append", "write"]

RUNS = "fuzzing-runs.jsonl"
INTRODUCTION = Path(__file__).with_name("page.md")
DIFFERENCE_HEAD = """\
## Differences between our decoders and Twisted's

A difference without a row is a finding. *Met* is how often the runs below met it.

| difference | why | met |
| --- | --- | ---: |
"""


def append(folder: Path, run: dict[str, Any]) -> None:
    """Write down one run."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / RUNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def write(folder: Path) -> None:
    """Make the page of the runs that are written down in a folder."""
    lines = (folder / RUNS).read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    parts = [
        INTRODUCTION.read_text(encoding="utf-8"),
        _totals(runs),
        _differences(runs),
        _all_runs(runs),
    ]
    (folder / "fuzzing.md").write_text("\n".join(parts), encoding="utf-8")


def _totals(runs: list[dict[str, Any]]) -> str:
    by_target: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for run in runs:
        totals = by_target[run["target"]]
        totals[run["method"]] += run["executions"]
        totals["seconds"] += round(run["seconds"])
        totals["findings"] += len(run["findings"])
    count = sum(run["executions"] for run in runs)
    rows = [
        f"| `{target}` | {totals['coverage']:,} | {totals['random']:,} | {totals['seconds']:,} |"
        f" {totals['findings']} |"
        for target, totals in by_target.items()
    ]
    head = ["| target | coverage | random | seconds | findings |"]
    head.append("| --- | ---: | ---: | ---: | ---: |")
    return "\n".join([f"## All runs together: {count:,} executions\n", *head, *rows, ""])


def _differences(runs: list[dict[str, Any]]) -> str:
    met: dict[str, int] = defaultdict(int)
    for run in runs:
        for name, times in run["differences"].items():
            met[name] += times
    rows = [f"| {row.name} | {row.reason} | {met[row.name]:,} |\n" for row in DIFFERENCES]
    return DIFFERENCE_HEAD + "".join(rows)


def _all_runs(runs: list[dict[str, Any]]) -> str:
    """Return one line for all targets that were run by one command, newest first."""
    commands: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        commands[(run["date"], run["commit"], run["command"], str(run["seed"]))].append(run)
    head = "| date | commit | command | form | seed | executions | findings |\n"
    head += "| --- | --- | --- | --- | ---: | ---: | --- |\n"
    rows = []
    for (date, commit, command, seed), of_one in reversed(commands.items()):
        count = sum(run["executions"] for run in of_one)
        found = sorted({f"`{run['target']}`: {name}" for run in of_one for name in run["findings"]})
        # The first runs did not write it down: there was only one.
        forms = ", ".join(sorted({run.get("form", "pure Python") for run in of_one}))
        rows.append(
            f"| {date[:10]} | `{commit}` | `{command}` | {forms} | {seed} | {count:,} |"
            f" {'; '.join(found).replace('|', 'and') or 'none'} |\n"
        )
    return "## Runs\n\n" + head + "".join(rows)
