"""Soak, idle connections, drains: run one of them, write it down, and make the page of it.

``make soak MINUTES=30``, ``make idle``, ``make drains``. The two ``serve-…`` commands are the other
ends of the last two, in processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import datetime
import platform
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from support.folders import DOCS, ROOT

from soak.drains import measure_drains, serve_until_told
from soak.gauge import Sample
from soak.idle import MEGABYTE, measure_idle, serve_idle
from soak.soak import soak
from soak.verdict import faults

FOLDER = DOCS / "testing"


def main(arguments: list[str] | None = None) -> int:
    """Run as the command line says; return 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=FOLDER, help="where run and page are written")
    commands = parser.add_subparsers(dest="what", required=True)
    command = commands.add_parser("soak")
    command.add_argument("--minutes", type=float, required=True)
    command.add_argument("--seed", type=int)
    commands.add_parser("idle")
    command = commands.add_parser("drains")
    command.add_argument("--seed", type=int)
    command = commands.add_parser("serve-idle")
    command.add_argument("certificate")
    command.add_argument("key")
    commands.add_parser("serve-until-told")
    options = parser.parse_args(arguments)
    return _COMMANDS[options.what](options)


def _soak(options: Any) -> int:
    seed = _seed(options)
    with tempfile.TemporaryDirectory() as folder:
        done = asyncio.run(soak(60 * options.minutes, seed, Path(folder), told=_tell))
    found = faults(done.samples) + [line.partition("\n")[0] for line in done.errors]
    run = _about(f"make soak MINUTES={options.minutes:g}") | {
        "kind": "soak",
        "seed": seed,
        "found": found,
        "outcomes": done.outcomes,
        "faults": done.faults,
        "pieces": done.pieces,
        "samples": [list(dataclasses.astuple(sample)) for sample in done.samples],
    }
    for line in (*done.errors, *found):
        print(line)
    _write_down(options.docs, run)
    from soak.chart import draw

    draw(done.samples, options.docs / "soak.png")
    return 1 if found else 0


def _tell(sample: Sample, errors: list[str]) -> None:
    print(
        f"{sample.seconds / 60:6.1f} min: {sample.objects:,} objects, {sample.tables} entries,"
        f" {sample.traced / 1e6:.2f} MB allocated, {sample.in_use / 1e6:.2f} MB in use,"
        f" {sample.resident / 1e6:.1f} MB resident,"
        f" {len(errors)} errors{': ' + errors[-1] if errors else ''}",
        flush=True,
    )


def _idle(options: Any) -> int:
    # The clients are in this process. Each measurement has one of its own, because the second would
    # use the free space that the first has left.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        measured = processes.submit(_measure_idle, 5).result()
        after = processes.submit(_measure_idle, MEGABYTE).result()
    for end in ("server", "client"):
        measured[f"{end}_after_kib"] = after[f"{end}_kib"]
    print(measured)
    _write_down(options.docs, {**_about("make idle"), "kind": "idle", **measured})
    return 0


def _measure_idle(size: int) -> dict[str, Any]:
    return asyncio.run(measure_idle(size=size))


def _drains(options: Any) -> int:
    seed = _seed(options)
    counted = asyncio.run(measure_drains(seed))
    print(counted)
    about = _about("make drains")
    _write_down(options.docs, {**about, "kind": "drains", "seed": seed, **counted})
    return 1 if any(counted[key] for key in ("lost", "undone", "untold", "denied")) else 0


def _serve_idle(options: Any) -> int:
    asyncio.run(serve_idle(options.certificate, options.key))
    return 0


def _serve_until_told(options: Any) -> int:
    asyncio.run(serve_until_told())
    return 0


_COMMANDS = {
    "soak": _soak,
    "idle": _idle,
    "drains": _drains,
    "serve-idle": _serve_idle,
    "serve-until-told": _serve_until_told,
}


def _seed(options: Any) -> int:
    return random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed


def _write_down(folder: Path, run: dict[str, Any]) -> None:
    from soak import page

    page.append(folder, run)
    page.write(folder)


def _about(command: str) -> dict[str, Any]:
    # The last commit that changed what is soaked; later ones may be rewritten before they land.
    log = ["git", "-C", str(ROOT), "log", "-1", "--format=%h", "--abbrev=10"]
    log += ["--", "broker", "cred", "jelly"]
    commit = subprocess.run(log, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit or "unknown",
        "command": command,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
