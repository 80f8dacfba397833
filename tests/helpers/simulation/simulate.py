"""Run seeds of the simulation, or one of them again with all that happened.

``make sim SEEDS=1000`` runs that many, on all processors; ``FIRST=5000`` begins with that one. With
``RECORD=1`` a line is appended to ``docs/testing/simulation.jsonl`` and the page beside it is made
anew. Who interrupts a run gets the line of the seeds that are done, and goes on with ``FIRST``.
``make sim SEED=n`` shows what one seed decides, what happened then, and which rules that broke.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import pprint
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from simulation.record import append_run, write_page
from simulation.run import run_seed
from simulation.tally import Tally, run_seeds

_BLOCK = 100
"""Seeds that a process is given at a time."""


def main() -> int:
    """Do what the arguments say; return 1 if a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--record", action="store_true", help="append a line to the record")
    parser.add_argument("--seed", type=int, help="run this one, and show it")
    parser.add_argument("--until-found", action="store_true", help="stop at the first found")
    parser.add_argument("--json", action="store_true", help="print the tally as JSON, and no more")
    parser.add_argument("--page", action="store_true", help="run nothing; make the page anew")
    options = parser.parse_args()
    if options.page:
        write_page()
        return 0
    if options.seed is not None:
        return replay(options.seed)
    seeds = range(options.first, options.first + options.seeds)
    begun = time.perf_counter()
    if options.until_found:
        _begin()
        tally = run_seeds(seeds, until_found=True)
    else:
        tally = run_on_all(seeds, options.jobs)
    seconds = time.perf_counter() - begun
    if options.json:
        print(json.dumps(tally.as_json()))
    else:
        report(tally, options.first, seconds)
    if options.record and tally.seeds:
        append_run(tally, options.first, options.jobs, seconds)
    return int(bool(tally.found) or tally.seeds < options.seeds)


def report(tally: Tally, first: int, seconds: float) -> None:
    """Say what was found."""
    for seed, (rule, text) in sorted(tally.found.items()):
        print(f"seed {seed}: {rule}: {text}")
    print(
        f"{tally.seeds:,} seeds from {first}: {len(tally.found)} broke a rule;"
        f" {sum(tally.calls.values()):,} calls, {seconds:.1f} s"
    )


def run_on_all(seeds: range, jobs: int) -> Tally:
    """Run seeds in a number of processes; of an interrupted run, return those that are done."""
    tally = Tally()
    with _workers(jobs) as pool:
        blocks: list[Future[Tally]] = [
            pool.submit(run_seeds, seeds[start : start + _BLOCK])
            for start in range(0, len(seeds), _BLOCK)
        ]
        try:
            for block in blocks:
                tally.add(block.result())
                if sys.stderr.isatty():
                    print(f"\r{tally.seeds:,} of {len(seeds):,}", end="", file=sys.stderr)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
    return tally


def replay(seed: int) -> int:
    """Show all that happens in the runs of a seed; return 1 if one breaks a rule."""
    outcomes = run_seed(seed)
    for outcome in outcomes:
        pprint.pprint(outcome.plan, width=100)
        for event in outcome.history.events:
            print(event)
        for violation in outcome.violations:
            print(f"{violation.rule}: {violation.text}")
        print(f"seed {seed}: {len(outcome.violations)} violations, {outcome.history.digest()}")
    return int(any(outcome.violations for outcome in outcomes))


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
        yield pool


def _begin() -> None:
    # Each run has its garbage collected five times; what was there before need not be looked at.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
