"""The simulation itself: no seed breaks a rule, each is the same each time, and much happens."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from support.programs import command, environment

ENDS = {
    "answer",
    "error",
    "refused",
    "not run",
    "may have run",
    "result lost",
    "given up",
    "one way",
}
FAULTS = {
    "cut",
    "half-close",
    "stall",
    "black hole",
    "client closes",
    "server closes",
    "server aborts",
    "killed",
    "outage",
    "the server drains",
    "not connected",
    "refused",
    "the end",
}


def simulate(*options: str, hash_seed: str = "random") -> Any:
    """Run the command; return what it prints as JSON."""
    done = subprocess.run(
        command("simulation.simulate", "--json", *options),
        env=environment(PYTHONHASHSEED=hash_seed),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(300)
def test_many_seeds() -> None:
    """The first 250 seeds break no rule, and in them calls end in all ways, and all faults come.

    It takes 10 seconds of a processor: so many runs of whole programs.
    """
    tally = simulate("--seeds=250")
    assert tally["found"] == {}
    assert tally["seeds"] == 250
    assert set(tally["calls"]) == ENDS
    assert set(tally["faults"]) == FAULTS


@pytest.mark.timeout(120)
def test_a_seed_is_the_same_each_time() -> None:
    """What happens in a run depends on its seed alone, and not on hashes or addresses."""
    digests = {
        simulate("--until-found", "--first=11", "--seeds=5", hash_seed=hash_seed)["digest"]
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_seed_can_be_seen_again() -> None:
    """The run of a seed is shown: what it decides, what happens, and what is wrong with that."""
    shown = subprocess.run(
        command("simulation.simulate", "--seed=11"),
        env=environment(),
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert shown[0].startswith("Plan(is_strict=")
    assert any(" fault 'the end'" in line for line in shown)
    assert shown[-1].startswith("seed 11: 0 violations, ")
