"""Plant each bug of ``bugs/`` into a copy of the sources, and say which seed finds it.

``make sim-bugs`` runs this; ``ONLY=name`` takes one bug; with ``RECORD=1`` the seeds are written
down, and the page made anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support import programs
from support.planted import Bug, all_bugs, copy_sources

from simulation.record import PATCHES, append_bugs

_LONGEST = 1800.0
"""Seconds that a bug is looked for at most."""


def main() -> int:
    """Look for each bug; return 1 if one was not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many to try")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="bugs at a time")
    parser.add_argument("--only", default="", help="the name of one bug")
    parser.add_argument("--record", action="store_true", help="append a line to the record")
    options = parser.parse_args()
    bugs = [bug for bug in all_bugs(PATCHES) if options.only in ("", bug.name)]
    begun = time.perf_counter()
    results: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        finds = pool.map(lambda bug: find(bug, options.seeds), bugs)
        for bug, found in zip(bugs, finds, strict=True):
            if found is None:
                print(f"{bug.name}: not found by seeds 0 to {options.seeds - 1}", flush=True)
                continue
            results[bug.name] = found
            print(f"{bug.name}: seed {found['seed']}, {found['rule']}: {found['text']:.200}")
    print(f"{len(results)} of {len(bugs)} found")
    if options.record:
        append_bugs(results, options.only, time.perf_counter() - begun)
    return int(len(results) < len(bugs))


def find(bug: Bug, seeds: int) -> dict[str, Any] | None:
    """Return the first seed that finds a bug, with the rule that it breaks; or None."""
    with tempfile.TemporaryDirectory() as folder:
        copy_sources(Path(folder))
        bug.plant(Path(folder))
        command = programs.command("simulation.simulate", "--until-found", "--json")
        command.append(f"--seeds={seeds}")
        done = subprocess.run(
            command,
            env=programs.environment(PYTHONPATH=folder),
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
    if not done.stdout:
        raise RuntimeError(f"{bug.name}: {done.stderr}")
    for seed, (rule, text) in json.loads(done.stdout)["found"].items():
        return {"seed": int(seed), "rule": rule, "text": text}
    return None


if __name__ == "__main__":
    sys.exit(main())
