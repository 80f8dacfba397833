"""Fuzz the targets for some minutes in all, write down what was run, and make the page of it.

``make fuzz MINUTES=10``; ``make fuzz MINUTES=2 TARGET=jelly`` for one target. Each target has its
share of the time: a fifth of it led by coverage, where atheris is installed, and the rest at
random, from the inputs that reached something new; that is many times as fast, because nothing is
recorded. Every run is appended to fuzzing-runs.jsonl, and the page is made from that. An input that
finds something is kept in regressions/, where ``make test`` replays it.

The targets of the module in C run with one that the sanitizers watch (``project.sanitized``), and
``ARGS=--sanitized`` runs all that are chosen so. If no compiler has sanitizers, they run with what
is installed. The record of a run names what it ran with.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from project import sanitized
from support import programs
from support.folders import DOCS, ROOT, TESTS

from broker import acceleration
from fuzz import page, worker
from fuzz.targets import SANITIZED, TARGETS

FOLDER = DOCS / "testing"
# What part of the time is for which: coverage finds the way, and random tries a lot along it.
METHODS = {"coverage": 0.2, "random": 0.8}
# With less than that, coverage has hardly begun.
LEAST_SECONDS = 5.0


def fuzz(
    target: str,
    method: str,
    seconds: float,
    seed: int,
    corpus: Path,
    found: Path,
    watched: sanitized.Build | None = None,
) -> Any:
    """Run a worker, and return what it printed; a worker that died is a finding.

    Args:
        target: by its name.
        method: a key of `METHODS`.
        seconds: how long.
        seed: of the choices.
        corpus: the folder of inputs that reached something new.
        found: the folder for inputs that find something.
        watched: the module in C that is used in place of what is installed.
    """
    last = corpus.with_suffix(".last")
    arguments = [target, "--method", method, "--seconds", str(seconds), "--seed", str(seed)]
    arguments += ["--corpus", str(corpus), "--found", str(found), "--last", str(last)]
    arguments += ["--slowed", str(1.0 if watched is None else sanitized.SLOWED)]
    kind = programs if watched is None else watched
    ended = subprocess.run(
        kind.command("fuzz.worker", *arguments),
        # Sets are met in the order of their hashes: the same in each process, or a finding is lost.
        env=kind.environment(PYTHONHASHSEED="0"),
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    lines = ended.stdout.splitlines()
    if lines:
        return json.loads(lines[-1])
    print(ended.stderr[-4000:], file=sys.stderr)
    fault = sanitized.fault_in(ended.stderr)
    if fault is None:
        fault = f"the process ended with status {ended.returncode}"
    data = worker.Last.read(last)
    if data is not None:
        print(f"{target}: {fault} ({worker.keep(data, found)})", file=sys.stderr)
    return {"executions": 0, "seconds": 0.0, "findings": {fault: 1}, "differences": {}}


def main() -> int:
    """Run as the command line says; return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="in all")
    parser.add_argument("--target", choices=TARGETS, action="append", help="not all of them")
    parser.add_argument("--seed", type=int, help="one of its own for each run unless given")
    parser.add_argument("--docs", type=Path, default=FOLDER, help="where run and page are written")
    parser.add_argument("--found", type=Path, default=TESTS / "fuzz" / "regressions")
    parser.add_argument("--corpus", type=Path, help="a folder that keeps inputs from run to run")
    parser.add_argument("--unrecorded", action="store_true", help="write down findings only")
    parser.add_argument("--sanitized", action="store_true", help="all, with the module in C")
    parser.add_argument("--processes", type=int, default=1, help="targets at a time")
    options = parser.parse_args()
    chosen = options.target or list(TARGETS)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    seconds = 60 * options.minutes * options.processes / len(chosen)
    has_atheris = importlib.util.find_spec("atheris") is not None
    is_worth_it = METHODS["coverage"] * seconds >= LEAST_SECONDS
    methods = METHODS if has_atheris and is_worth_it else {"random": 1.0}
    with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
        corpora = options.corpus or Path(scratch)
        runs = _all_runs(options, chosen, methods, seconds, seed, corpora)
    if not options.unrecorded:
        page.write(options.docs)
    return 1 if any(run["findings"] for run in runs) else 0


def _all_runs(
    options: Any, chosen: list[str], methods: Any, seconds: float, seed: int, corpora: Path
) -> list[Any]:
    from concurrent.futures import ThreadPoolExecutor

    about = _about()
    watched = chosen if options.sanitized else [name for name in chosen if name in SANITIZED]
    build = sanitized.build() if watched else None

    def both(target: str) -> list[Any]:
        done = []
        used = build if target in watched else None
        form = acceleration.describe() if used is None else f"sanitizers of {used.compiler}"
        for method, share in methods.items():
            corpus, found = corpora / target, options.found / target
            result = fuzz(target, method, share * seconds, seed, corpus, found, used)
            run = {**about, "form": form, "target": target, "method": method, "seed": seed}
            run |= result
            if not options.unrecorded:
                page.append(options.docs, run)
            rate = run["executions"] / max(run["seconds"], 0.1)
            print(f"{target:16} {method:9} {run['executions']:>10,} executions {rate:>8,.0f}/s")
            for fault, times in run["findings"].items():
                print(f"{target:16} FOUND {times} times: {fault}")
            done.append(run)
        return done

    with ThreadPoolExecutor(options.processes) as pool:
        return [run for runs in pool.map(both, chosen) for run in runs]


def _about() -> dict[str, Any]:
    # The last commit that changed what is fuzzed; later ones may be rewritten before they land.
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%h"]
    command += ["--abbrev=10", "--", "broker", "cred", "jelly", "native"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    versions = {name: _version(name) for name in ("atheris", "Twisted", "msgspec")}
    return {
        "date": now,
        "commit": commit or "unknown",
        "command": f"make fuzz {' '.join(_given())}".strip(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _given() -> list[str]:
    """Return the command line as make takes it."""
    return os.environ.get("FUZZ_COMMAND", " ".join(sys.argv[1:])).split()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


if __name__ == "__main__":
    sys.exit(main())
