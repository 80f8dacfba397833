"""Compare variants of this library, and Twisted, in processor time; both ends are in one process.

``make compare VARIANTS='base=../other,new=.' W='W1,W2,W7 kept' ROUNDS=5`` prints a table for each
workload: the median of the microseconds of one operation, and how many times as fast as the first
variant each is, as the median and the range of the rounds. A number above 1 is faster.

Every round starts each variant once in a fresh process, with the round's number as
``PYTHONHASHSEED``. The least of five measurements inside a process counts. A ratio is taken within
a round. The noise is 2 to 5 %, that of logins 10 %.

A variant is NAME=CHECKOUT, then ``#PYTHON`` for another interpreter, ``+uvloop`` for that loop,
``+pure`` for the environment variable BROKER_PURE, ``+general`` for connections without a lane,
``+pb`` for the dialect ``pb``, ``+ws`` for WebSockets, ``+metrics`` for a server that counts its
calls for Prometheus, and ``+observer`` for one with an observer that does nothing; ``twisted`` is
Twisted's PB. What measures is always this checkout's; the variant needs the packages that this one
needs. A checkout runs jelly as Python code; ``make unpacked`` makes a folder that has all compiled
modules and can be a variant.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

from bench.one_process import Order
from bench.operations import OPERATIONS
from bench.variants import Conditions, Failure, Variant, add_arguments, given_conditions, runs

MEASUREMENTS = 5
"""Inside a process; the least of them counts."""


def microseconds(
    variant: Variant, name: str, count: int | None, conditions: Conditions, seed: int
) -> float:
    """Return the processor time of one operation, of one start of a variant.

    Raises:
        Failure: the variant has failed.
    """
    steps = count or variant.count(OPERATIONS[name])
    order = Order(variant.library, name, "time", max(1, steps // 3), steps, MEASUREMENTS)
    measured, _ = variant.obey(order, conditions, seed)
    return float(min(measured))


def rounds_of(
    options: argparse.Namespace, name: str, conditions: Conditions
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the figures of each variant that works, round by round, and why the others fail."""
    chosen = runs(options.variants, name)
    figures: dict[str, list[float]] = {each.name: [] for each in chosen}
    failed: dict[str, str] = {}
    for seed in range(1, options.rounds + 1):
        for variant in chosen:
            if variant.name in failed:
                continue
            try:
                taken = microseconds(variant, name, options.count, conditions, seed)
            except Failure as failure:
                failed[variant.name] = str(failure)
            else:
                figures[variant.name].append(taken)
    return {who: all_ for who, all_ in figures.items() if who not in failed}, failed


def table(figures: dict[str, list[float]], failed: dict[str, str]) -> list[str]:
    """Return the lines of a table: medians, and the ratios of rounds to the first variant."""
    lines = [f"  {'variant':16} {'µs':>11} {'ratio':>7} {'lowest':>7} {'highest':>7}"]
    base: Sequence[float] = next(iter(figures.values()), ())
    for who, taken in figures.items():
        ratios = [first / each for first, each in zip(base, taken, strict=True)]
        lines.append(
            f"  {who:16} {statistics.median(taken):11,.2f} {statistics.median(ratios):7.3f}"
            f" {min(ratios):7.3f} {max(ratios):7.3f}"
        )
    return [*lines, *(f"  {who:16} failed: {why}" for who, why in failed.items())]


def main(arguments: list[str]) -> int:
    """Compare, print the tables; return 1 if a variant has failed."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    add_arguments(parser, "twisted,here=.", "W1,W2,W7")
    parser.add_argument("--rounds", type=int, default=3, help="starts of each variant")
    options = parser.parse_args(arguments)
    has_failed = False
    with given_conditions(options) as conditions:
        for name in options.workloads:
            figures, failed = rounds_of(options, name, conditions)
            print(f"{name}, {OPERATIONS[name].title}")
            print("\n".join(table(figures, failed)), flush=True)
            has_failed = has_failed or bool(failed)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
