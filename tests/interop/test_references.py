"""Subclasses of RemoteReference that a program registers: they work in all four pairings.

The programs are those of a lobby, the same with Twisted and with this library but for their
imports. A client's results are compared with one table.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.peers import explained_by
from support.worlds import PAIRINGS, Pairing, Run, run_fixture

SEEN: dict[str, Any] = {
    # The mind and the avatar are references of registered classes; the realm names the mind.
    "mind_and_avatar": [["GuestReference"], ["EarReference", "ann"]],
    # One object, of one id, is sent both ways; each time it is received as a new reference.
    "to_and_fro": [
        ["TableReference"],
        "blue",
        "blue",
        ["Table", "blue", "ann"],
        [["TableReference", "blue", "hello"]],
        ["Table", "blue", True],
        [True, False, True],
    ],
    # A class method, a static method, the inherited method with an __init__ of the subclass.
    "ways_of_reading": [
        *["SeatReference", "BellReference", "DiceReference"],
        *["by __init__", {"row": 7}, "postUnjelly", "by its own __init__"],
        *[1, 0, 1, None],
        *[7, "ding", 6],
    ],
    "one_in_a_message": [["DiceReference"], True, 6],
    # The peer releases it when the last of the references that it counts is collected.
    "counted": [True, "green", "gone", "gone", "gone", True],
    "from_the_client": [["EarReference", "EarReference"], True, "gone"],
    "the_end": [True, "DeadReferenceError"],
    # The tag of every reference can be registered, too.
    "class_of_all_references": ["AnyReference", "EarReference"],
}


run = run_fixture("lobby_server.py", "lobby_client.py")


@pytest.mark.parametrize("scenario", SEEN)
@pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
def test_registered_references_work_in_every_pairing(
    run: Run, pairing: Pairing, scenario: str
) -> None:
    """A program's results with its own references do not depend on which end is ours."""
    lines, server = run(pairing)
    with explained_by(server):
        assert "failed" not in lines[scenario], lines[scenario]["failed"]
        assert lines[scenario]["seen"] == SEEN[scenario]


@pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
def test_every_scenario_has_an_expectation(run: Run, pairing: Pairing) -> None:
    """A client runs exactly the scenarios of the table."""
    assert set(SEEN) == set(run(pairing)[0])
