"""The page on performance, made from the runs that are written down, and its charts."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

from bench import chart, tables
from bench.forms import said_of_forms
from bench.tables import Run

__all__ = ["method", "write"]

_TEMPLATE = Path(__file__).with_name("page.md")


def write(folder: Path) -> None:
    """Make ``index.md`` and the charts from ``runs.jsonl``, all in the same folder.

    The last run is shown whole; of those before, the ratios.
    """
    lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    runs: list[Run] = [json.loads(line) for line in lines]
    failed = "".join(f"- {line}\n" for line in tables.failures(runs[-1]))
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        tables.tables(runs[-1]),
        method=method(runs[-1]),
        forms=_paragraphs(said_of_forms(runs[-1])),
        failures=f"### What failed\n\n{failed}\n" if failed else "",
        history=tables.history(runs),
    )
    (folder / "index.md").write_text(text, encoding="utf-8")
    chart.draw(runs[-1], chart.RATIOS, folder / "ratios.png")
    chart.draw(runs[-1], chart.PB, folder / "pb.png")
    chart.draw(runs[-1], chart.SHORT, folder / "short.png")


def _paragraphs(sentences: list[str]) -> str:
    """Return each sentence as a paragraph, with an empty line behind it."""
    return "".join(f"{sentence}\n\n" for sentence in sentences)


def method(run: Run) -> str:
    """Return when, where and with what a run was made."""
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return (
        f"{run['date'][:10]}, commit `{run['commit']}`, `{run['command']}`, {run['rounds']} rounds"
        f" of {run['secs']:g} s, {run['took_s'] / 60:.0f} minutes; Python {run['python']},"
        f" {versions}; {run['machine']}."
    )
