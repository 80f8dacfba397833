"""The tables of the page that says where the time of a call goes."""

from __future__ import annotations

import platform
import re

import pytest
from bench import calls, costs
from bench.calls import Calls
from bench.variants import Conditions, Variant

from broker.native import native

EACH = {form.name: form for form in costs.FORMS}


def rows(name: str) -> dict[str, list[str]]:
    """Return the rows of a part of the page, by their first cell; its last line is at ``made``."""
    page = costs.PAGE.read_text("utf-8")
    found = re.search(rf"(?s)<!-- {name} -->\n(.*?)<!-- /{name} -->", page)
    assert found is not None
    lines = found[1].strip().splitlines()
    cut = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {"made": [lines[-1]], **{cells[0]: cells[1:] for cells in cut}}


def test_the_counts_of_the_page() -> None:
    """The page has the counts of W1; ``make costs PARTS=calls ARGS=--write`` renews them.

    They depend on the version of Python, so they are compared only in that of the page. The form
    in C is counted where the module is in use.
    """
    page = rows("calls")
    if page["made"] != [f"Measured with Python {platform.python_version()}."]:
        return
    written = page[costs.OPERATIONS_SHOWN["W1"]]
    for cell, form in zip(written, costs.FORMS, strict=True):
        if form.pure or native is not None:
            counted = calls.calls_of(form, "W1", 100, Conditions(""))
            assert cell == costs.totals(counted), form.name


def test_the_general_path_has_no_lane() -> None:
    """A variant of the general path runs no lane; the others run one, in Python or in C."""
    general, python = (
        calls.calls_of(EACH[name], "W1", 50, Conditions("")).named
        for name in ("general path, Python", "lane in Python")
    )
    lane = "broker/connection/lane.py:PythonLane.run"
    assert lane in python
    assert lane not in general
    assert "C Lane.run" not in general
    assert sum(general.values()) > sum(python.values())
    in_c = calls.calls_of(
        Variant("general", costs.CODE, general=True), "W1", 50, Conditions("")
    ).named
    assert "C Lane.run" not in in_c
    assert lane not in in_c


def test_places_add_up() -> None:
    """Each Python call is in one row, and what is in no other is in the last."""
    counted = Calls(
        {"broker/net/a.py:f": 2.0, "asyncio/b.py:g": 3.0, "x.py:h": 4.0}, {"C len": 9.0}
    )
    found = {row[0]: row[1] for row in costs.places([counted])}
    assert found["`broker.net`"] == "2"
    assert found["asyncio and selectors"] == "3"
    assert found["the program, and all others"] == "4"
    assert sum(map(int, found.values())) == 9
    assert costs.totals(counted) == "9.0 + 9.0"


def test_a_block_is_replaced() -> None:
    """A part goes between the comments of its name; a page without them is not written."""
    page = "a\n<!-- bare -->\nold\n<!-- /bare -->\nz\n"
    assert costs.with_block(page, "bare", "new") == (
        "a\n<!-- bare -->\n\nnew\n\n<!-- /bare -->\nz\n"
    )
    with pytest.raises(ValueError, match="no block calls"):
        costs.with_block(page, "calls", "new")
    for name in costs.PARTS:
        assert costs.with_block(costs.PAGE.read_text("utf-8"), name, "new") != page


def test_unknown_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """A part that does not exist is refused, with those that do."""
    with pytest.raises(SystemExit):
        costs.main(["weather"])
    assert "unknown: weather; choose from calls, instructions, bare" in capsys.readouterr().err


def test_without_the_module_in_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the module in C there is no third column, so the command says so and fails."""
    monkeypatch.setattr(costs, "native", None)
    assert costs.main(["calls"]) == 1
    assert "the module in C is not in use" in capsys.readouterr().out


def test_the_table_of_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions are shown in thousands, in the order of the forms."""
    numbers = {form.name: 1000.0 * (number + 1) for number, form in enumerate(costs.FORMS)}
    monkeypatch.setattr(costs.instructions, "instructions", lambda form, *rest: numbers[form.name])
    table = costs.instructions_part(Conditions(""))
    (line,) = (line for line in table.splitlines() if "| W1," in line)
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["1.0", "2.0", "3.0"]


def test_the_table_beside_bare_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ratio is that of one process; times are those of one operation."""
    floors = {
        form.name: {
            f"{name}, {who}": (2.0 + number) * times * (number + 1 if who == "ours" else 1)
            for name, times in costs.BARE.values()
            for who in ("bare", "ours")
        }
        for number, form in enumerate(costs.FORMS)
    }
    monkeypatch.setattr(costs, "floor_of", lambda form: floors[form.name])
    table = costs.bare_part(Conditions(""))
    (line,) = (line for line in table.splitlines() if "100 outstanding" in line)
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["4.0", "2.0 (1.00 ×)", "6.0 (2.00 ×)", "12.0 (3.00 ×)"]
