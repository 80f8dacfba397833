"""The record of what was run, and the page that is made from it."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.folders import ROOT

from field.rows import Row

__all__ = ["append", "write_page"]

_FOLDER = ROOT / "docs" / "testing"
_RUNS, _PAGE = _FOLDER / "field-runs.jsonl", _FOLDER / "field.md"
_INTRODUCTION = Path(__file__).resolve().parent / "page.md"


def append(rows: Sequence[Row], versions: Mapping[str, str]) -> None:
    """Write down one run: what each program in each pairing has shown, and which versions ran."""
    # The last commit that changed what is run; later ones may be rewritten before they land.
    log = ["git", "-C", str(ROOT), "log", "-1", "--format=%h", "--abbrev=10"]
    log += ["--", "broker", "cred", "jelly"]
    commit = subprocess.run(log, capture_output=True, text=True, check=False).stdout.strip()
    run = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit or "unknown",
        "command": "make field RECORD=1",
        "python": platform.python_version(),
        "versions": dict(versions),
        "rows": [
            {
                "program": row.program,
                "pairing": row.pairing,
                "shown": row.told.partition("\n")[0],
                "failed": row.failed,
                "seconds": round(row.seconds, 1),
            }
            for row in rows
        ],
    }
    with _RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def write_page() -> None:
    """Make the page of the runs that are written down."""
    runs = [json.loads(line) for line in _RUNS.read_text("utf-8").splitlines()]
    parts = [_INTRODUCTION.read_text("utf-8"), _newest(runs[-1]), _all_runs(runs)]
    _PAGE.write_text("\n".join(parts), "utf-8")


def _newest(run: dict[str, Any]) -> str:
    versions = "; ".join(f"{name}: {text}" for name, text in run["versions"].items())
    rows = [
        f"| {row['program']} | {row['pairing']} | {'**failed**: ' if row['failed'] else ''}"
        f"{row['shown']} | {row['seconds']:.1f} |\n"
        for row in run["rows"]
    ]
    head = (
        f"## The newest run\n\nCommit `{run['commit']}`, Python {run['python']}. {versions}.\n\n"
        "| program | pairing | shown | seconds |\n| --- | --- | --- | ---: |\n"
    )
    return head + "".join(rows)


def _all_runs(runs: list[dict[str, Any]]) -> str:
    rows = [
        f"| {run['date'][:10]} | `{run['commit']}` | `{run['command']}` | {len(run['rows'])} |"
        f" {sum(row['failed'] for row in run['rows'])} |\n"
        for run in reversed(runs)
    ]
    head = "| date | commit | command | rows | failed |\n| --- | --- | --- | ---: | ---: |\n"
    return "## Runs\n\n" + head + "".join(rows)
