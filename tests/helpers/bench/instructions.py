"""Count the instructions of an operation, at both ends together, by valgrind's callgrind.

``make instructions VARIANTS='base=../other,new=.' W=W1,W2`` prints, for each workload, the
thousands of instructions that one operation takes, and how many times as many the first variant
takes. A number above 1 means fewer instructions than the first. Each variant runs N operations in
one process and 2N in another, and the difference counts, so that the start-up cancels out. All have
the same hash seed. The noise is below 1 %, that of logins 3 %. Valgrind runs the code some fifty
times as slowly: a start of a variant takes 10 to 20 s. Instructions of the kernel are not counted.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys

from bench.one_process import Order
from bench.operations import OPERATIONS
from bench.variants import Conditions, Failure, Variant, add_arguments, given_conditions, runs

CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
SHARE = 10
"""Of the steps of a round of `bench.compare`, one in so many makes N here."""
LOGINS = 40
"""N of logins, which need more steps: how often the garbage collector runs varies a little."""
WARM = 20
"""At most so many steps before those that are counted."""


def collected(text: str) -> int:
    """Return the instructions that callgrind tells at its end.

    Raises:
        Failure: it does not tell.
    """
    found = re.findall(r"^==\d+== Collected : (\d+)", text, flags=re.MULTILINE)
    if not found:
        raise Failure("callgrind did not say how many instructions it counted")
    return int(found[-1])


def of_one(single: int, double: int, operations: int) -> float:
    """Return the instructions of one operation.

    Args:
        single: instructions of a process that does so many operations.
        double: those of one that does twice as many.
        operations: how many.
    """
    return (double - single) / operations


def instructions(variant: Variant, name: str, count: int | None, conditions: Conditions) -> float:
    """Return the instructions of one operation of a variant.

    Raises:
        Failure: the variant has failed.
    """
    operation = OPERATIONS[name]
    usual = LOGINS if operation.login else max(1, variant.count(operation) // SHARE)
    steps = count or usual
    warm = min(steps, WARM)
    orders = [Order(variant.library, name, "once", warm, steps * times) for times in (1, 2)]
    single, double = (
        collected(variant.obey(order, conditions, 1, CALLGRIND)[1]) for order in orders
    )
    return of_one(single, double, orders[0].operations)


def tell(options: argparse.Namespace, name: str, conditions: Conditions) -> bool:
    """Print the instructions of each variant; return whether all have worked."""
    print(f"{name}, {OPERATIONS[name].title}: thousand instructions of one operation")
    works, base = True, None
    for variant in runs(options.variants, name):
        try:
            found = instructions(variant, name, options.count, conditions)
        except Failure as failure:
            print(f"  {variant.name:16} failed: {failure}", flush=True)
            works = False
            continue
        base = base or found
        print(f"  {variant.name:16} {found / 1000:11,.2f} {base / found:7.3f}", flush=True)
    return works


def main(arguments: list[str]) -> int:
    """Count and print; return 1 if a variant has failed, or without valgrind."""
    parser = argparse.ArgumentParser(prog="make instructions", description=__doc__)
    add_arguments(parser, "here=.", "W1,W2")
    options = parser.parse_args(arguments)
    if shutil.which(CALLGRIND[0]) is None:
        print("valgrind is not installed; make calls and make compare work without it")
        return 1
    with given_conditions(options) as conditions:
        works = [tell(options, name, conditions) for name in options.workloads]
    return int(not all(works))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
