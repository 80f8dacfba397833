"""Make the tables of the page that says where the time of a call goes.

``make costs`` prints three parts in Markdown, each for three forms of broker: the general path and
the lane in Python, and the lane in C. ``calls`` counts calls of Python and C functions
(`bench.calls`), ``instructions`` counts instructions by valgrind (`bench.instructions`), and
``bare`` takes processor time beside bare asyncio (`bench.floor`). ``make costs PARTS=calls`` prints
one part. ``ARGS=--write`` puts the parts into the page, between the comments that name them.

The counts of a call do not depend on the machine. They depend on the version of Python, which each
part has in its last line. What is measured is the broker that this Python imports; it must have the
module in C.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from support.folders import DOCS
from support.programs import command, environment

import broker
from bench import calls, instructions
from bench.calls import Calls
from bench.floor import CALLS_IN_FLIGHT, CROWD, IN_FLIGHT
from bench.tables import markdown
from bench.variants import Conditions, Failure, Variant
from broker.native import native

__all__ = ["BARE", "CODE", "FORMS", "OPERATIONS_SHOWN", "PAGE", "PARTS", "main", "with_block"]

PAGE = DOCS / "explanation" / "where-the-time-goes.md"
CODE = Path(broker.__file__).parents[1]
"""Where the packages are: a checkout, or an environment where they are installed."""

FORMS = (
    Variant("general path, Python", CODE, pure=True, general=True),
    Variant("lane in Python", CODE, pure=True),
    Variant("lane in C", CODE),
)
"""The forms that are compared, each with its column."""

OPERATIONS_SHOWN: Mapping[str, str] = {
    "W1": "W1, a call, one outstanding",
    "W2": "W2, a call, 100 outstanding",
    "W6": "W6, an event of one receiver",
    "W7": "W7, a login and the end of its connection",
    "W7 kept": "W7 kept, a login that stays open",
}
"""The rows of the tables of counts."""

BARE: Mapping[str, tuple[str, int]] = {
    "a call, one outstanding": ("call", 1),
    "a call, 100 outstanding": (f"{IN_FLIGHT} calls in flight", CALLS_IN_FLIGHT),
    "64 KiB, answered": ("64 KiB, answered", 1),
    "an event of one receiver of 200": (f"event to {CROWD}, all answer", CROWD),
    "a login and its first call": ("login", 1),
}
"""The rows of the part ``bare``: the name that `bench.floor` gives each, and its operations."""

_PLACES = (
    ("asyncio and selectors", ("asyncio/", "selectors.py")),
    ("`broker.net`", ("broker/net/",)),
    ("`broker.connection`", ("broker/connection/",)),
    ("`broker.core`", ("broker/core/",)),
    ("`broker.defer`", ("broker/defer/",)),
    ("`broker.flavors`", ("broker/flavors/",)),
)
"""The rows of the table of W1 by place, each with the beginnings of its files."""

Table: TypeAlias = Callable[[Conditions, int | None], str]


def calls_part(conditions: Conditions, count: int | None = None) -> str:
    """Return the tables of calls: each operation in each form, and W1 by the place of the code.

    Args:
        conditions: how the ends talk.
        count: steps of a round; None for the usual number.
    """
    found = {
        name: [calls.calls_of(form, name, count, conditions) for form in FORMS]
        for name in OPERATIONS_SHOWN
    }
    rows = [
        [label, *(totals(each) for each in found[name])] for name, label in OPERATIONS_SHOWN.items()
    ]
    head = ["Python + C calls", *(form.name for form in FORMS)]
    by_place = ["Python calls of W1, in", *(form.name for form in FORMS)]
    tables = [markdown(head, rows), markdown(by_place, places(found["W1"]))]
    return "\n\n".join([*tables, _made_with()])


def totals(each: Calls) -> str:
    """Return the numbers of Python and of C calls as a cell."""
    python, c = (f"{number:,.0f}" if number >= 100 else f"{number:.1f}" for number in each.totals)
    return f"{python} + {c}"


def places(forms: list[Calls]) -> list[list[str]]:
    """Return a row for each place, with its Python calls in each form, and one for all others."""
    rows, rest = [], [sum(each.python.values()) for each in forms]
    for label, beginnings in _PLACES:
        numbers = [
            sum(count for name, count in each.python.items() if name.startswith(beginnings))
            for each in forms
        ]
        rest = [left - number for left, number in zip(rest, numbers, strict=True)]
        rows.append([label, *(f"{number:.0f}" for number in numbers)])
    return [*rows, ["the program, and all others", *(f"{left:.0f}" for left in rest)]]


def instructions_part(conditions: Conditions, count: int | None = None) -> str:
    """Return the table of thousands of instructions of one operation.

    Args:
        conditions: how the ends talk.
        count: steps of a round; None for the usual number.
    """
    rows = []
    for name, label in OPERATIONS_SHOWN.items():
        taken = [instructions.instructions(form, name, count, conditions) for form in FORMS]
        rows.append([label, *(f"{each / 1000:,.1f}" for each in taken)])
    head = ["thousand instructions", *(form.name for form in FORMS)]
    return "\n\n".join([markdown(head, rows), _made_with()])


def bare_part(conditions: Conditions, count: int | None = None) -> str:
    """Return the table of microseconds beside bare asyncio, and how many times as many they are.

    The time of bare asyncio is that of the last form's process. Each ratio is of one process.

    Args:
        conditions: not used.
        count: not used.
    """
    found = [floor_of(form) for form in FORMS]
    rows = []
    for label, (name, operations) in BARE.items():
        cells = [f"{found[-1][f'{name}, bare'] / operations:,.1f}"]
        for each in found:
            ours, bare = each[f"{name}, ours"], each[f"{name}, bare"]
            cells.append(f"{ours / operations:,.1f} ({ours / bare:.2f} ×)")
        rows.append([label, *cells])
    head = ["µs of processor time", "bare asyncio", *(form.name for form in FORMS)]
    return "\n\n".join([markdown(head, rows), _made_with()])


def floor_of(form: Variant) -> dict[str, float]:
    arguments = ["--json", *(["--general"] if form.general else [])]
    variables = {"PYTHONPATH": str(CODE), **({"BROKER_PURE": "1"} if form.pure else {})}
    ended = subprocess.run(
        command("bench.floor", *arguments),
        env=environment(**variables),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise Failure(ended.stderr)
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def _made_with() -> str:
    return f"Measured with Python {platform.python_version()}."


PARTS: Mapping[str, Table] = {
    "calls": calls_part,
    "instructions": instructions_part,
    "bare": bare_part,
}
"""What makes each part of the page."""


def with_block(page: str, name: str, text: str) -> str:
    """Return a page with the text between two comments replaced.

    Raises:
        ValueError: the page lacks the comments.
    """
    pattern = rf"(?s)(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    found, times = re.subn(pattern, lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)
    if times != 1:
        raise ValueError(f"the page has no block {name}")
    return found


def main(arguments: list[str]) -> int:
    """Print the parts, or write them; return 1 if they cannot be measured."""
    parser = argparse.ArgumentParser(
        prog="make costs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--write", action="store_true", help="put the parts into the page")
    parser.add_argument("--count", type=int, help="steps of a round, instead of the usual number")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    if native is None:
        print("the module in C is not in use: build it with make native, or install a wheel")
        return 1
    for name in options.parts or PARTS:
        try:
            text = PARTS[name](Conditions(""), options.count)
        except Failure as failure:
            print(f"{name} failed: {failure}")
            return 1
        print(f"\n{text}", flush=True)
        if options.write:
            PAGE.write_text(with_block(PAGE.read_text("utf-8"), name, text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
