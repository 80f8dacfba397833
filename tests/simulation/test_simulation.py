"""The simulation itself: no seed breaks a rule, each is the same each time, and much happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(__file__).with_name("simulate.py")

ENDS = {"answer", "error", "refused", "not run", "may have run", "given up", "one way"}
FAULTS = {
    "cut",
    "half-close",
    "stall",
    "black hole",
    "client closes",
    "server closes",
    "server aborts",
    "the server drains",
    "not connected",
    "refused",
    "the end",
}


def simulate(*options: str, hash_seed: str = "random") -> Any:
    """Run the command; return what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, str(COMMAND), "--json", *options],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(300)
def test_five_hundred_seeds() -> None:
    """The first 500 seeds break no rule, and in them calls end in all ways, and all faults come.

    It takes 10 seconds of a processor: so many runs of whole programs.
    """
    tally = simulate("--seeds=500")
    assert tally["found"] == {}
    assert tally["seeds"] == 500
    assert set(tally["calls"]) == ENDS
    assert set(tally["faults"]) == FAULTS


@pytest.mark.timeout(120)
def test_a_seed_is_the_same_each_time() -> None:
    """What happens in a run depends on its seed alone: not on hashes, nor on what ran before it."""
    alone, after_others = (
        simulate("--until-found", *options, hash_seed=hash_seed)["digest"]
        for options, hash_seed in (
            (("--first=11", "--seeds=5"), "1"),
            (("--first=11", "--seeds=5"), "2"),
        )
    )
    assert alone == after_others
