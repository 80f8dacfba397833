"""One large legal message: handled over several turns, none of which is long."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from attacks.attacker import Speaker, Target, Victim, binds, let_in
from support.effort import slowness
from support.memory import ManualScheduler

import broker
from broker.core.wire.messages import GraphAnswer, GraphError

CHUNK = 64 * 1024
"""Bytes that a transport reads at a time."""
LONGEST = 0.1
"""Processor seconds that a turn may take: ten times the goal."""
TRIES = 4


class Point(broker.Copyable, broker.RemoteCopy):
    """A copy."""

    x: int = 0


@pytest.fixture(autouse=True, scope="module")
def registered() -> Any:
    """Register the copy under both policies, and remove it afterwards."""
    with let_in("demo.Point", Point, Point):
        yield


class LiveScheduler(ManualScheduler):
    """Turns that pass when a test says so, on a clock that shows the processor time used."""

    def now(self) -> float:
        """Return the processor seconds."""
        return time.process_time()


class TickingScheduler(ManualScheduler):
    """A clock on which each piece of work takes longer than a turn, however fast the machine."""

    def now(self) -> float:
        """Return the seconds."""
        self.clock += 0.1
        return self.clock


def point(n: int) -> Any:
    """A copy."""
    return [b"demo.Point", [b"dictionary", [[b"unicode", b"x"], n]]]


def many(part: Callable[[int], Any], tag: bytes = b"list", count: int = 15_000) -> Any:
    """This many parts."""
    return [tag, *map(part, range(count))]


def decimal(n: int) -> Any:
    """A decimal of 121 digits."""
    return [b"decimal", 10**120 + n, -50]


LARGEST: dict[str, Callable[[], Any]] = {
    "decimals": lambda: many(decimal, count=100_000),
    "copies": lambda: many(point, count=60_000),
    "lists": lambda: many(lambda n: [b"list", n], count=300_000),
}

LARGE: dict[str, Callable[[], Any]] = {
    "decimals": lambda: many(decimal),
    "copies": lambda: many(point),
    "lists": lambda: many(lambda n: [b"list", n]),
    "lists in each other": lambda: many(lambda n: [b"list", [b"list", [b"list", n]]]),
    "a dict": lambda: many(lambda n: [n, [b"tuple", n]], b"dictionary"),
    "a dict with keys of pairs": lambda: many(lambda n: [[b"tuple", n, n], n], b"dictionary"),
    "a set of pairs": lambda: many(lambda n: [b"tuple", n, n], b"set"),
    "dicts": lambda: many(lambda n: [b"dictionary", [n, n]]),
    "texts": lambda: many(lambda n: [b"unicode", b"%d" % n]),
    "ints": lambda: many(lambda n: n),
    "shared parts": lambda: many(lambda n: [b"reference", n, [b"list", n]]),
    "dates": lambda: many(lambda n: [b"date", b"2026 1 %d" % (1 + n % 28)]),
}


def turns(victim: Victim, data: bytes) -> list[float]:
    """Seconds, as on an idle machine, of each turn in which a message is handled."""
    taken = []
    for begin in range(0, len(data), CHUNK):
        began = time.process_time()
        victim.broker.dataReceived(data[begin : begin + CHUNK])
        taken.append(time.process_time() - began)
        # The loop has other work between two reads.
        taken.append(timed(victim.scheduler.step)[0])
    is_busy = True
    while is_busy:
        seconds, is_busy = timed(victim.scheduler.step)
        taken.append(seconds)
    # Other load on the machine slows a turn as it slows other work.
    slow = slowness() if max(taken) > LONGEST else 1.0
    return [each / slow for each in taken]


def timed(function: Callable[[], bool]) -> tuple[float, bool]:
    """Processor seconds that a call takes, and its result."""
    began = time.process_time()
    found = function()
    return time.process_time() - began, found


def answers(victim: Victim) -> list[Any]:
    """The answers and errors of a victim."""
    said = victim.speaker.read(victim.said)
    return [message for message in said if type(message) in (GraphAnswer, GraphError)]


def measured(
    dialect: str, policy: str, data: bytes, most: float = LONGEST
) -> tuple[Victim, list[float]]:
    """Handle a message; repeat a few times, while a turn of it takes too long."""
    gc.freeze()
    try:
        for _ in range(TRIES):
            victim = Victim(dialect, policy, Target(), scheduler=LiveScheduler())
            found = turns(victim, data)
            if max(found) <= most:
                break
    finally:
        gc.unfreeze()
    return victim, found


EACH = pytest.mark.parametrize(
    ("dialect", "policy"), [("pb", "strict"), ("msgpack/1", "published")]
)
"""Both dialects and both policies in two pairs; four pairs take twice as long and add nothing."""


@EACH
@binds("S11", policies=(), dialects=())
@pytest.mark.parametrize("method", [b"keep", b"echo"])
@pytest.mark.parametrize("kind", LARGE)
def test_no_turn_is_long(kind: str, method: bytes, policy: str, dialect: str) -> None:
    """However large the message and its answer are, a turn takes a few milliseconds."""
    data = Speaker(dialect).call(LARGE[kind](), name=method)
    victim, found = measured(dialect, policy, data)
    assert max(found) <= LONGEST
    (answer,) = answers(victim)
    assert type(answer) is GraphAnswer
    victim.end()


@EACH
@binds("S11", policies=(), dialects=())
@pytest.mark.parametrize("kind", LARGEST)
def test_no_turn_of_the_largest_is_long(kind: str, policy: str, dialect: str) -> None:
    """The same holds for messages that are nearly as large as the limit."""
    data = Speaker(dialect).call(LARGEST[kind](), name=b"keep")
    victim, found = measured(dialect, policy, data)
    assert max(found) <= LONGEST
    (answer,) = answers(victim)
    assert type(answer) is GraphAnswer
    victim.end()


@binds("S11")
@pytest.mark.parametrize("kind", ["decimals", "copies", "dicts"])
def test_it_is_handled_in_several_turns(kind: str, policy: str, dialect: str) -> None:
    """The loop has many turns between the last byte of a large message and its answer."""
    victim = Victim(dialect, policy, Target(), scheduler=TickingScheduler())
    data = victim.speaker.call(LARGE[kind](), name=b"keep")
    for begin in range(0, len(data), CHUNK):
        victim.broker.dataReceived(data[begin : begin + CHUNK])
    count = 0
    while victim.scheduler.step():
        assert not answers(victim) or count
        count += 1
    assert count >= 3
    assert [type(each) for each in answers(victim)] == [GraphAnswer]
    victim.end()


@EACH
@binds("S11", policies=(), dialects=())
@pytest.mark.parametrize(
    ("method", "most"),
    [(b"keep", {"pb": 10, "msgpack/1": 12}), (b"echo", {"pb": 15, "msgpack/1": 13})],
)
def test_memory(method: bytes, most: dict[str, int], policy: str, dialect: str) -> None:
    """Small copies take a few times the memory of their message, and so does sending them back."""
    # What is imported and kept at the first message is not counted.
    for count in (10, 10_000):
        data = Speaker(dialect).call(many(point, count=count), name=method)
        victim = Victim(dialect, policy, Target(), scheduler=LiveScheduler())
        tracemalloc.start()
        try:
            turns(victim, data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        victim.end()
    assert peak <= most[dialect] * len(data)


@binds("S11")
def test_what_comes_behind_it_waits(policy: str, dialect: str) -> None:
    """Calls behind a large message run after it, in order, also if they are received meanwhile."""

    class Noting(Target):
        """Records the order of its calls."""

        def __init__(self) -> None:
            self.order: list[int] = []

        def remote_note(self, number: int, value: Any = None) -> int:
            """Record the call."""
            self.order.append(number)
            return number

    target = Noting()
    victim = Victim(dialect, policy, target, scheduler=LiveScheduler())
    speaker = victim.speaker
    large = LARGE["copies"]()
    victim.broker.dataReceived(speaker.call(1, large, name=b"note", number=1))
    victim.broker.dataReceived(speaker.call(2, name=b"note", number=2))
    victim.scheduler.step()
    victim.broker.dataReceived(speaker.call(3, large, name=b"note", number=3))
    victim.broker.dataReceived(speaker.call(4, name=b"note", number=4))
    victim.scheduler.run()
    assert target.order == [1, 2, 3, 4]
    assert [each.request_id for each in answers(victim)] == [1, 2, 3, 4]
    victim.end()


@binds("S11")
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_connection_ends_meanwhile(steps: int, policy: str, dialect: str) -> None:
    """If a connection ends while a message is handled, no method is called after that."""
    target = Target()
    target.kept = None
    victim = Victim(dialect, policy, target, scheduler=LiveScheduler())
    data = victim.speaker.call(LARGE["copies"](), name=b"keep")
    for begin in range(0, len(data), CHUNK):
        victim.broker.dataReceived(data[begin : begin + CHUNK])
    for _ in range(steps):
        victim.scheduler.step()
    assert target.kept is None
    victim.end()
    victim.scheduler.run()
    assert target.kept is None
    assert not answers(victim)


@binds("S11")
def test_a_large_answer(policy: str, dialect: str) -> None:
    """A received answer is handled in the same way, at the caller's side."""
    results: list[Any] = []
    gc.freeze()
    try:
        for _ in range(TRIES):
            victim = Victim(dialect, policy, scheduler=LiveScheduler())
            far = victim.broker.remoteForName(b"theirs")
            far.callRemote("x").addCallback(results.append)
            victim.scheduler.run()
            data = victim.speaker.message(b"answer", 1, LARGE["copies"]())
            found = turns(victim, data)
            victim.end()
            if max(found) <= LONGEST:
                break
    finally:
        gc.unfreeze()
    assert max(found) <= LONGEST
    assert len(found) >= 10
    assert [each.x for each in results[-1]] == list(range(15_000))
