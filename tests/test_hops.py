"""The page of the architecture shows what the code does: the ways through it, and its layers."""

from __future__ import annotations

import subprocess

import pytest
from project import hops
from support.programs import command, environment

MOST_CALLS = {"call": 38, "cache": 30, "connect": 701}
"""Calls of the packages' own functions on each way. A step that needs more says why.

A login has 21 more since ``connect`` takes several addresses, and a function for credentials,
and eight since what answers name is remembered for promises, and terms are told.

It has 15 more since its calls are marked, so that observers do not see them, and since calls have
records.

A change has four more, and a login forty, than before there was a lane, which looks at the first
message of each read, and before unsent messages had an interface of their own. In C these are not
counted.

A call has two more since the first part of a turn, and its end, are functions: the form in C does
the first part itself.

If Twisted is loaded, a login has some ten more: results may be its Deferreds.
"""


def test_the_page() -> None:
    """The page has the ways and the layers; ``make hops ARGS=--write`` renews it."""
    page = hops.PAGE.read_text("utf-8")
    for name, text in hops.blocks().items():
        assert hops.with_block(page, name, text) == page, name


def test_a_page_without_the_block() -> None:
    """A page that lacks a block is not written."""
    with pytest.raises(ValueError, match="no block call"):
        hops.with_block("a page", "call", "text")


@pytest.mark.parametrize("name", MOST_CALLS)
def test_the_quick_ways_stay_short(name: str) -> None:
    """A plain call, a plain change and a login over TCP cross no more functions than they did."""
    steps = hops.steps_of(name)
    assert sum(hop.count for way in steps.values() for hop in way) <= MOST_CALLS[name]


def test_the_files_of_a_way() -> None:
    """Each function is named with its module, and its file exists."""
    for way in hops.steps_of("cache").values():
        assert all((hops.CODE / hop.file).is_file() for hop in way)
    assert way[0].name == "connection.broker.Broker.dataReceived"


@pytest.mark.parametrize("name", ["call", "layers", "counts"])
def test_the_command(name: str) -> None:
    """The script prints a part by its name."""
    run = subprocess.run(
        command("project.hops", name),
        env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = {"call": "core.inbox.Inbox.take", "layers": "| reactor", "counts": "top_modules="}
    assert expected[name] in run.stdout


def test_the_counts_of_the_page() -> None:
    """The page has the numbers of modules, packages and contracts that there are."""
    page, now = hops.PAGE.read_text("utf-8"), hops.counts()
    rows = {
        "modules at the top of `broker/`, without `__init__`": now.top_modules,
        "packages at the top of `broker/`": now.top_packages,
        "packages in `broker/`, itself included": now.packages,
        "import contracts": now.contracts,
    }
    for row, number in rows.items():
        assert any(
            line.startswith(f"| {row} |") and line.endswith(f" {number} |")
            for line in page.splitlines()
        ), row
