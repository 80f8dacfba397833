"""Count the Python and C calls of an operation, and the objects of a server's connection.

``make calls W=W1,W2`` prints, for each workload, how many calls of Python functions and of C
functions one operation makes at both ends together, and the most frequent of them, by
``sys.setprofile``. A coroutine counts each time that it is resumed. With VARIANTS, such as
``base=../other,new=.``, each has its figures, and each but the first the functions whose number
differs from that of the first. There is no noise where one call is outstanding; with more, the
number of calls that share a turn of the loop may differ by little.

If the workloads have one of logins, it also prints the objects that the garbage collector knows for
each connection that a server keeps after a login, over TCP and over TLS. The clients are in another
process then.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bench.one_process import Order
from bench.operations import OPERATIONS
from bench.variants import Conditions, Failure, Variant, add_arguments, given_conditions, runs

LOGIN = "W7 kept"
"""The workload whose connections have their objects counted."""
KEPT = 100
"""Connections that are counted; half as many are made before."""


@dataclass(frozen=True)
class Calls:
    """The calls of one operation.

    Attributes:
        python: by file and function, how often it is called.
        c: by the name of the function.
    """

    python: Mapping[str, float]
    c: Mapping[str, float]

    @property
    def totals(self) -> tuple[float, float]:
        """All calls of Python functions, and all of C functions."""
        return sum(self.python.values()), sum(self.c.values())

    @property
    def named(self) -> dict[str, float]:
        """All functions in one: the names of those of C begin with ``C``."""
        return {**self.python, **{f"C {name}": count for name, count in self.c.items()}}


def show(title: str, counts: Mapping[str, float], most: int) -> None:
    """Print a line for each of the counts that are furthest from 0, under a title."""
    ordered = sorted(counts.items(), key=lambda item: (-abs(item[1]), item[0]))[:most]
    for line in ([title] if ordered else []) + [f"  {number:9.2f}  {of}" for of, number in ordered]:
        print(line, flush=True)


def difference(new: Mapping[str, float], old: Mapping[str, float]) -> dict[str, float]:
    """Return how many more there are of what there is more or less of, to a hundredth."""
    more = {name: new.get(name, 0.0) - old.get(name, 0.0) for name in {**old, **new}}
    return {name: number for name, number in more.items() if abs(number) >= 0.005}


def calls_of(variant: Variant, name: str, count: int | None, conditions: Conditions) -> Calls:
    """Return the calls of one operation of a variant.

    Raises:
        Failure: the variant has failed.
    """
    steps = count or variant.count(OPERATIONS[name])
    order = Order(variant.library, name, "calls", steps // 5 + 1, steps)
    counted, _ = variant.obey(order, conditions, 0)
    return Calls(**counted)


def objects_of(variant: Variant, kept: int, conditions: Conditions) -> dict[str, float]:
    """Return the objects of each type that one kept connection of a server has.

    Raises:
        Failure: the variant has failed.
    """
    options = variant.options(OPERATIONS[LOGIN], conditions)
    arguments = (options.written(), variant.library, str(kept // 2 + 1), str(kept))
    counted, _ = variant.start("bench.kept", arguments, 0)
    return dict(counted)


def tell_calls(options: argparse.Namespace, name: str, conditions: Conditions) -> bool:
    """Print the calls of each variant; return whether all have worked."""
    print(f"{name}, {OPERATIONS[name].title}: calls of one operation")
    print(f"  {'variant':16} {'Python':>9} {'C':>9}")
    found: dict[str, Calls] = {}
    works = True
    for variant in runs(options.variants, name):
        try:
            calls = calls_of(variant, name, options.count, conditions)
        except Failure as failure:
            print(f"  {variant.name:16} failed: {failure}", flush=True)
            works = False
        else:
            found[variant.name] = calls
            print(f"  {variant.name:16} {calls.totals[0]:9,.1f} {calls.totals[1]:9,.1f}")
    show_each({who: calls.named for who, calls in found.items()}, options.lines)
    return works


def show_each(found: Mapping[str, Mapping[str, float]], most: int) -> None:
    """Print the largest counts of the first variant, and what differs in the others."""
    base = next(iter(found), "")
    for who, counts in found.items():
        if who == base:
            show(f"  {who}, most frequent:", counts, most)
        else:
            show(f"  {who}, less {base}:", difference(counts, found[base]), most)


def tell_objects(options: argparse.Namespace, conditions: Conditions) -> bool:
    """Print the objects of a connection of each variant; return whether all have worked."""
    works = True
    for tls in (False, True):
        print(f"objects of a server's connection, {'TLS' if tls else 'TCP'}")
        found = {}
        for variant in options.variants:
            try:
                counts = objects_of(variant, options.kept, dataclasses.replace(conditions, tls=tls))
            except Failure as failure:
                print(f"  {variant.name:16} failed: {failure}", flush=True)
                works = False
            else:
                found[variant.name] = counts
                print(f"  {variant.name:16} {sum(counts.values()):9,.1f}")
        show_each(found, options.lines)
    return works


def main(arguments: list[str]) -> int:
    """Count and print; return 1 if a variant has failed."""
    parser = argparse.ArgumentParser(prog="make calls", description=__doc__)
    add_arguments(parser, "here=.", "W1,W2,W6,W7,W7 kept")
    parser.add_argument("--lines", type=int, default=25, help="functions or types of each list")
    parser.add_argument("--kept", type=int, default=KEPT, help="connections that are counted")
    options = parser.parse_args(arguments)
    works = []
    with given_conditions(options) as conditions:
        for name in options.workloads:
            works.append(tell_calls(options, name, conditions))
        if any(OPERATIONS[name].login for name in options.workloads):
            works.append(tell_objects(options, conditions))
    return int(not all(works))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
