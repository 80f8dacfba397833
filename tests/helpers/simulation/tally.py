"""The tally of many runs: how many there were, what they did, and which broke a rule."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from simulation.run import Outcome, run_seed

__all__ = ["Tally", "run_seeds"]


@dataclass
class Tally:
    """What a number of runs came to.

    Attributes:
        seeds: how many were run.
        events, turns: of all their histories, and of all their loops.
        calls: by how they ended; those one way are ``"one way"``.
        faults: by kind; what the runs themselves end with is one, too.
        found: for each seed that broke a rule, the rule and how, of the first violation.
        digest: a hash of all histories, in order.
    """

    seeds: int = 0
    events: int = 0
    turns: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    found: dict[int, tuple[str, str]] = field(default_factory=dict)
    digest: str = ""

    def note(self, outcomes: list[Outcome]) -> None:
        """Count one seed."""
        self.seeds += 1
        for outcome in outcomes:
            self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        history = outcome.history
        self.events += len(history.events)
        self.turns += outcome.turns
        for event in history.events:
            if event.kind == "outcome":
                self.calls[event.detail[0]] += 1
            elif event.kind == "send":
                self.calls["one way"] += 1
            elif event.kind == "fault":
                self.faults[event.detail] += 1
        if outcome.violations and outcome.seed not in self.found:
            first = outcome.violations[0]
            self.found[outcome.seed] = first.rule, first.text
        self.digest = _hashed(self.digest, history.digest())

    def add(self, other: Tally) -> None:
        """Count the runs of a tally that follows this one."""
        self.seeds += other.seeds
        self.events += other.events
        self.turns += other.turns
        self.calls += other.calls
        self.faults += other.faults
        self.found |= other.found
        self.digest = _hashed(self.digest, other.digest)

    def as_json(self) -> dict[str, Any]:
        """Return what a line of the record says of it."""
        return {
            "seeds": self.seeds,
            "events": self.events,
            "turns": self.turns,
            "calls": dict(sorted(self.calls.items())),
            "faults": dict(sorted(self.faults.items())),
            "found": {str(seed): list(violation) for seed, violation in self.found.items()},
            "digest": self.digest,
        }


def run_seeds(seeds: range, *, until_found: bool = False) -> Tally:
    """Run seeds one after the other; with ``until_found``, no more after one that broke a rule."""
    tally = Tally()
    for seed in seeds:
        tally.note(run_seed(seed))
        if until_found and tally.found:
            break
    return tally


def _hashed(before: str, after: str) -> str:
    return hashlib.sha256(f"{before} {after}".encode()).hexdigest()[:16]
