"""A Twisted build system of which only Perspective Broker was moved, at one end or at both.

All other parts of master and worker are Twisted's: generators, callbacks, coroutines, locks,
timers, services and the reactor. The results are compared with one table, also those with Twisted's
own PB in both.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer, explained_by

HERE = Path(__file__).parent
WORLDS = ("twisted", "moved")
PAIRINGS = list(itertools.product(WORLDS, WORLDS))

# 300,000 bytes in pieces of 16 KiB.
PIECES = 19

SEEN: dict[str, Any] = {
    # The received bytes are the sent ones, in this many pieces, and then the end.
    "upload": [True, PIECES, True],
    "upload_in_generator": [True, PIECES, True, PIECES],
    "download": True,
    "download_in_coroutine": True,
    "many": [[[True, number] for number in range(5)], [0, 2, 4, 6, 8], [0, "only"]],
    "limited": [[0, 1, 2, 3, 4, 5], 2],
    "failing": ["RemoteError", True, True, True, True, [False, True], ["as it should"]],
    "cancelled": ["timed out", "cancelled"],
    "kept_alive": {"version": "1", "pieces": 16 * 1024},
    "disconnected": ["lost", True],
    "logout": "left",
}


@pytest.fixture(scope="module", params=PAIRINGS, ids="-".join)
def lines(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The results of each step of a build, of which master and worker are of these worlds."""
    of_master, of_worker = request.param
    with Peer(HERE / "build_master.py", of_master, path=[HERE]) as master:
        port = str(master.read())
        worker = Peer(HERE / "build_worker.py", of_worker, port, path=[HERE])
        with explained_by(master), worker:
            seen = {line["step"]: line for line in master.read_all()}
            assert worker.read_all() == []
    return seen


@pytest.mark.parametrize("step", SEEN)
def test_a_build(lines: dict[str, Any], step: str) -> None:
    """A step ends in the same way, whichever end was moved."""
    assert "failed" not in lines[step], lines[step]["failed"]
    assert SEEN[step] == lines[step]["seen"]


def test_every_step_has_an_expectation(lines: dict[str, Any]) -> None:
    """The master runs exactly the steps of the table."""
    assert set(SEEN) == set(lines)
