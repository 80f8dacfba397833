"""Shared parts: the size of a graph as a tree is limited before any code processes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attacks.attacker import POLICIES, Target, Victim, binds, cost, flat, let_in, taming
from attacks.catalogue import shared

import broker
from broker.core.policy import PUBLISHED, STRICT
from broker.core.wire.messages import GraphAnswer, GraphError
from broker.errors import LimitExceeded
from jelly.limits import Limits


class Bag(broker.Copyable, broker.RemoteCopy):
    """A copy of two values."""

    x: Any = None
    y: Any = None


class Held(broker.RemoteCache):
    """A cache of two values."""

    x: Any = None
    y: Any = None


@pytest.fixture(autouse=True, scope="module")
def registered() -> Any:
    """Register both classes under both policies, and remove them afterwards."""
    with let_in("demo.Bag", Bag, Bag), let_in("demo.Held", Held, Held):
        yield


def fields(x: Any, y: Any) -> Any:
    """The state of a copy."""
    return [b"dictionary", [[b"unicode", b"x"], x], [[b"unicode", b"y"], y]]


def bag(x: Any, y: Any) -> Any:
    """A copy."""
    return [b"demo.Bag", fields(x, y)]


# How a value holds the one of the level below twice; the lowest is a copy.
WAYS: dict[str, Callable[[Any, int], Any]] = {
    "lists": lambda d, n: [b"list", d, d],
    "tuples": lambda d, n: [b"tuple", d, d],
    "lists and tuples": lambda d, n: [b"list" if n % 2 else b"tuple", d, d],
    "dicts": lambda d, n: [b"dictionary", [0, d], [1, d]],
    "dicts by text": lambda d, n: fields(d, d),
    "copies": lambda d, n: bag(d, d),
    "lists of copies": lambda d, n: bag([b"list", d], [b"tuple", d]),
    "caches": lambda d, n: [b"demo.Held", n, fields(d, d)],
    "sets of copies": lambda d, n: bag([b"set", d], [b"set", d]),
    "frozensets of copies": lambda d, n: bag([b"frozenset", d], [b"frozenset", d]),
}


def levels(count: int, way: Callable[[Any, int], Any]) -> Any:
    """This many values, of which each holds the one before twice."""
    parts = [[b"reference", 1, bag(0, 0)]]
    for level in range(2, count + 1):
        parts.append([b"reference", level, way([b"dereference", level - 1], level)])
    return [b"list", *parts]


def last(victim: Victim) -> Any:
    """The last answer or error of a victim."""
    said = victim.speaker.read(victim.said)
    return [message for message in said if type(message) in (GraphAnswer, GraphError)][-1]


def heard(value: Any, policy: Any, dialect: str, name: bytes = b"keep") -> tuple[Any, Any]:
    """Call a method with a value; return the last message, and the value that the method kept."""
    target = Target()
    target.kept = None
    victim = Victim(dialect, policy, target)
    victim.hear(victim.speaker.call(value, name=name))
    assert not victim.is_dead
    victim.end()
    return last(victim), target.kept


@binds("S3", policies=(), dialects=())
def test_the_figures() -> None:
    """A million nodes under the strict policy, ten million under the published one."""
    assert STRICT.limits.max_expanded == 1_000_000
    assert PUBLISHED.limits.max_expanded == 10_000_000


@binds("S3")
@pytest.mark.parametrize("kind", [b"list", b"tuple"])
@pytest.mark.parametrize("count", [24, 44])
def test_a_value_that_holds_itself_twice(
    count: int, kind: bytes, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A few hundred bytes that are millions of values as a tree are refused; that call fails."""
    with taming(caplog) as lines:
        answer, kept = heard(shared(count, kind), policy, dialect)
    assert type(answer) is GraphError
    assert kept is None
    (line,) = lines
    assert line.startswith("PEER: LimitExceeded: ")
    assert "max_expanded" in line
    assert b"max_expanded" in flat(answer.failure)


@binds("S3")
@pytest.mark.parametrize("way", WAYS)
def test_through_every_container(
    way: str, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Shared parts are counted in every container; a few levels are accepted."""
    answer, kept = heard(levels(12, WAYS[way]), policy, dialect)
    assert type(answer) is GraphAnswer
    assert len(kept) == 12
    with taming(caplog) as lines:
        answer, kept = heard(levels(28, WAYS[way]), policy, dialect)
    assert type(answer) is GraphError
    assert kept is None
    (line,) = lines
    assert "max_expanded" in line


@binds("S3")
@pytest.mark.parametrize("kind", [b"list", b"tuple"])
def test_sixteen_levels(kind: bytes, policy: str, dialect: str) -> None:
    """65,536 values as a tree are accepted under both policies, shared as they were."""
    answer, kept = heard(shared(16, kind), policy, dialect)
    assert type(answer) is GraphAnswer
    for _ in range(15):
        assert kept[0] is kept[1]
        kept = kept[0]
    assert list(kept) == [0, 0]


@binds("S3", policies=())
def test_the_policies_differ(dialect: str) -> None:
    """Two million values as a tree are too many for the strict policy only."""
    assert type(heard(shared(21, b"list"), "strict", dialect)[0]) is GraphError
    assert type(heard(shared(21, b"list"), "published", dialect)[0]) is GraphAnswer


@binds("S3")
def test_an_unfinished_container_counts_once(policy: str, dialect: str) -> None:
    """A list that holds itself a thousand times is a thousand and one values, and is accepted."""
    cycle = [b"reference", 1, [b"list", *[[b"dereference", 1]] * 1_000]]
    answer, kept = heard(cycle, policy, dialect)
    assert type(answer) is GraphAnswer
    assert len(kept) == 1_000
    assert all(part is kept for part in kept)


@binds("S3")
def test_a_setting(policy: str, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """The limit is a setting: 20 times 4 shared values are beyond 50, and not beyond 200."""
    value = [b"list", [b"reference", 1, [b"list", 1, 1, 1, 1]], *[[b"dereference", 1]] * 20]
    for most, kind in ((200, GraphAnswer), (50, GraphError)):
        changed = POLICIES[policy].but(limits=Limits(max_expanded=most))
        with taming(caplog) as lines:
            assert type(heard(value, changed, dialect)[0]) is kind
        assert all("max_expanded" in line for line in lines)
        assert bool(lines) is (kind is GraphError)


@binds("S3")
def test_in_keywords_and_in_many_arguments(policy: str, dialect: str) -> None:
    """Keywords are counted too; so are arguments that share with each other."""
    victim = Victim(dialect, policy)
    kw = [b"dictionary", [[b"unicode", b"value"], shared(24, b"list")]]
    victim.hear(victim.speaker.call(name=b"echo", kw=kw))
    assert b"max_expanded" in flat(last(victim).failure)
    values = [[b"reference", 99, shared(18, b"list")], *[[b"dereference", 99]] * 60]
    victim.hear(victim.speaker.call(*values, name=b"echo", number=2))
    assert b"max_expanded" in flat(last(victim).failure)
    assert not victim.is_dead
    victim.end()


@binds("S3")
def test_in_an_answer(policy: str, dialect: str) -> None:
    """An answer that is too large as a tree fails that call at the caller, and no other."""
    victim = Victim(dialect, policy)
    far = victim.broker.remoteForName(b"theirs")
    errors: list[Any] = []
    results: list[Any] = []
    far.callRemote("x").addErrback(errors.append)
    far.callRemote("y").addCallback(results.append)
    victim.scheduler.run()
    victim.hear(victim.speaker.message(b"answer", 1, shared(24, b"list")))
    victim.hear(victim.speaker.message(b"answer", 2, 5))
    assert [type(each.value) for each in errors] == [LimitExceeded]
    assert "max_expanded" in str(errors[0].value)
    assert results == [5]
    victim.end()


@binds("S3")
def test_the_refusal_is_cheap(policy: str, dialect: str) -> None:
    """It is refused before any object of that size is made or walked."""
    data = Victim(dialect, policy).speaker.call(shared(44, b"list"), name=b"keep")
    seconds = cost(lambda v: v.hear(data), lambda: Victim(dialect, policy), 4, 0.01)
    assert seconds <= 0.01
