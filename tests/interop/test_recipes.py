"""Names that copied recipes read, write and override: they work in all four pairings.

The server is a program's own portal. The client is a factory with the overrides of reconnecting
factories. Both are the same with Twisted and with this library but for their imports.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.peers import explained_by
from support.worlds import PAIRINGS, Pairing, Run, run_fixture

SEEN: dict[str, Any] = {
    # localObjects, luids, disconnects and failures of a Broker.
    "tables": [
        [
            [True, True],
            [1, 1],
            ["1", "2", "b'root'"],
            [2, False, None, True],
            ["Local", "Local"],
            [0, []],
        ],
        [[], []],
    ],
    "lists_that_are_written_to": ["ended", [], None, None],
    "session_numbers": [0, 1, 2],
    # _localCleanup logs out once when the avatar is dropped.
    "local_cleanup": ["ann", "bob", ["ann"], ["ann", "bob"]],
    # _root, _broker, rootObjectRequests, _cbSendUsername, _cbResponse and _failAll of a factory.
    "factory_names": [
        [None, None, []],
        "ann",
        "bob",
        ["127.0.0.1", True],
        [None, None],
        2,
        *["given up"] * 2,
        [],
        [["made", True], ["ann", "sesame", None], [True, True], "root", "failAll", "failAll"],
    ],
    "wrong_password": [True],
}


run = run_fixture("recipe_server.py", "recipe_client.py")


@pytest.mark.parametrize("scenario", SEEN)
@pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
def test_the_names_of_recipes_work_in_every_pairing(
    run: Run, pairing: Pairing, scenario: str
) -> None:
    """A recipe's results with these names do not depend on which end is ours."""
    lines, server = run(pairing)
    with explained_by(server):
        assert "failed" not in lines[scenario], lines[scenario]["failed"]
        assert lines[scenario]["seen"] == SEEN[scenario]


@pytest.mark.parametrize("pairing", PAIRINGS, ids=str)
def test_every_scenario_has_an_expectation(run: Run, pairing: Pairing) -> None:
    """A client runs exactly the scenarios of the table."""
    assert set(SEEN) == set(run(pairing)[0])
