"""The census of the inspector in the simulation: it shows what is there, and sees what is wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from simulation.census import ACTS, run_census

from broker.inspection import inspector
from broker.inspection.census import types_of

SEEDS = 30


@pytest.mark.timeout(180)
def test_thirty_seeds() -> None:
    """The inspector agrees with the model in all of them, and in them all acts are done."""
    acts: Counter[str] = Counter()
    for seed in range(SEEDS):
        outcome = run_census(seed)
        assert outcome.faults == [], seed
        assert outcome.rests > 5 and outcome.looks > 5
        acts += outcome.acts
    assert {name for name, count in acts.items() if count >= 10} == ACTS


def test_a_seed_is_the_same_each_time() -> None:
    """What happens depends on the seed alone."""
    assert run_census(3) == run_census(3)
    assert run_census(3).acts != run_census(4).acts


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("streams_of", lambda broker: []),
        ("subscriptions_of", lambda broker: []),
        ("oldest_calls", lambda running, now: []),
        ("types_of", lambda broker: (types_of(broker)[0], {}, {}, {})),
        ("types_of", lambda broker: ({}, *types_of(broker)[1:])),
    ],
)
def test_a_wrong_census_is_found(monkeypatch: pytest.MonkeyPatch, name: str, wrong: Any) -> None:
    """A part that shows nothing does not agree with the model."""
    monkeypatch.setattr(inspector, name, wrong)
    assert any(run_census(seed).faults for seed in range(5))
