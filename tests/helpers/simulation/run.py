"""The runs of one seed, from its dice to what the rules say of its history."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from broker.testing.loop import SimulatedLoop, Stuck
from simulation.history import History
from simulation.links.plan import LinkPlan
from simulation.links.scenario import LinkScenario
from simulation.plan import Plan
from simulation.rules import Violation, violations
from simulation.scenario import Scenario

__all__ = ["Outcome", "run_seed"]

# What a connection may be closed for when the network is at fault, and no peer.
_NETWORK_AT_FAULT = re.compile(
    r"\S+: … \d+ records? left out"
    r"|closed \S+: (no data from peer|peer is not reading|no choice of a dialect"
    r"|no Perspective Broker offer|login not completed|message not completed)"
)
# What the steps do on purpose, and the library tells of.
_CAUSED = re.compile(
    r"remote method '\S+' (raised|failed: builtins.object cannot be sent)"
    r"|\S+: (NoSuchMethod: no remote method 'absent'|UnauthorizedLogin: wrong user name or password"
    r"|CannotJelly: builtins.object|CallTimeout: '\w+' was cancelled at its caller's deadline"
    r"|CallTimeout: '\w+' was not run: its caller's time was up"
    r"|call of '\w+' without an answer was not run: not run: the server is shutting down)"
    r"|\S+ drains: call of '\w+' without an answer was not sent"
)


class Outcome(NamedTuple):
    """How one of the runs of a seed went.

    Attributes:
        seed: which.
        violations: of the rules.
        history: all that happened.
        turns: of the loop.
        plan: what the seed decided before.
    """

    seed: int
    violations: list[Violation]
    history: History
    turns: int
    plan: Plan | LinkPlan


class _Listener(logging.Handler):
    """Writes down what is logged and was not to be expected."""

    def __init__(self, history: History):
        super().__init__(logging.WARNING)
        self._history = history

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record down, if it is not one that the scenario asks for."""
        text = record.getMessage()
        if _CAUSED.match(text) or _NETWORK_AT_FAULT.match(text):
            return
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({record.exc_info[1]!r})"
        self._history.record("log", record.name, detail=text)


@contextlib.contextmanager
def _listening(history: History) -> Iterator[None]:
    """Take what is logged, and what cannot be raised, into the history; collect no garbage."""
    listener = _Listener(history)
    loggers = [logging.getLogger(name) for name in ("broker", "cred", "jelly", "asyncio")]
    before = [logger.propagate for logger in loggers]
    hook = sys.unraisablehook
    is_collecting = gc.isenabled()
    for logger in loggers:
        logger.addHandler(listener)
        logger.propagate = False
    sys.unraisablehook = lambda seen: history.record("wrong", "run", detail=repr(seen.exc_value))
    gc.disable()
    try:
        yield
    finally:
        if is_collecting:
            gc.enable()
        sys.unraisablehook = hook
        for logger, propagates in zip(loggers, before, strict=True):
            logger.removeHandler(listener)
            logger.propagate = propagates


def run_seed(seed: int) -> list[Outcome]:
    """Run a seed from beginning to end, and judge it: a run of connections, and one of links."""
    dice, link_dice = random.Random(seed), random.Random(f"links {seed}")
    return [
        _run(seed, dice, Plan.draw(dice), Scenario),
        _run(seed, link_dice, LinkPlan.draw(link_dice), LinkScenario),
    ]


def _run(seed: int, dice: random.Random, plan: Any, kind: Any) -> Outcome:
    loop = SimulatedLoop(dice, turn_cost=plan.turn_cost)
    history = History(loop.time)
    gc.collect()
    with _listening(history), _delays(seed), contextlib.closing(loop):
        scenario = kind(plan, dice, loop, history)
        main = loop.create_task(scenario.play())
        try:
            loop.run_until_complete(main)
        except Stuck as stuck:
            history.record("wrong", "run", detail=f"stuck: {stuck}")
            _abandon(loop)
        turns = loop.turns
        del scenario, main
        gc.collect()
    return Outcome(seed, violations(history), history, turns, plan)


@contextlib.contextmanager
def _delays(seed: int) -> Iterator[None]:
    """Let the seed decide what the library draws, such as delays between attempts to connect."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _abandon(loop: SimulatedLoop) -> None:
    """End the tasks of a run that does not end."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
        # What it would still say is of no use.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
