"""Numbers of the protocol: 0 to 2**63 - 1, wherever a peer sends one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attacks.attacker import NOTHING, Speaker, Target, Victim, binds, flat, let_in, taming
from attacks.catalogue import PRIME

import broker
from broker.core.wire.messages import GraphAnswer, GraphError

LARGEST = (1 << 63) - 1
TOO_LARGE = {
    "one too many": LARGEST + 1,
    "of 64 bits": (1 << 64) - 1,
    "of 64 bits and the hash of others": 5 * PRIME,
    "of 65 bits": 1 << 64,
    "of 100 bits": 1 << 99,
    "of 448 bits": (1 << 448) - 1,
    "a multiple of a prime": 1_000_000 * PRIME,
}
OUTSIDE = {**TOO_LARGE, "negative": -1, "very negative": -(1 << 63), "far below": -(1 << 70)}

STATE = [b"dictionary", [[b"unicode", b"price"], 1]]

IN_VALUES: dict[str, Callable[[Any], Any]] = {
    "reference": lambda n: [b"reference", n, [b"list"]],
    "reference to a leaf": lambda n: [b"reference", n, 5],
    "reference to a text": lambda n: [b"reference", n, [b"unicode", b"x"]],
    "dereference": lambda n: [b"dereference", n],
    "remote": lambda n: [b"remote", n],
    "local": lambda n: [b"local", n],
    "cached": lambda n: [b"cached", n],
    "lcache": lambda n: [b"lcache", n],
    "cache": lambda n: [b"demo.Held", n, STATE],
}


class Held(broker.RemoteCache):
    """A cache of the peer."""

    price: int


@pytest.fixture(autouse=True, scope="module")
def registered() -> Any:
    """Register the cache under both policies, and remove it afterwards."""
    with let_in("demo.Held", Held, Held):
        yield


def last(victim: Victim) -> Any:
    """The last answer or error of a victim."""
    said = victim.speaker.read(victim.said)
    return [message for message in said if type(message) in (GraphAnswer, GraphError)][-1]


@binds("S1")
@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("kind", IN_VALUES)
def test_a_number_in_a_value(
    kind: str, outside: str, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A number outside the range is MalformedJelly: that call fails, and nothing of it is kept."""
    victim = Victim(dialect, policy)
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call([b"list", IN_VALUES[kind](OUTSIDE[outside])], name=b"keep"))
    (line,) = lines
    assert line.startswith("PEER: MalformedJelly: ")
    assert type(last(victim)) is GraphError
    assert b"MalformedJelly" in flat(last(victim).failure)
    translator = victim.broker.session.translator
    assert len(translator.imports) == len(translator.remote_caches) == 0
    assert not victim.is_dead
    victim.hear(victim.speaker.call(1, number=2))
    assert type(last(victim)) is GraphAnswer
    victim.end()


@binds("S1")
@pytest.mark.parametrize("other", [1.0, b"1", [b"boolean", b"true"], [b"None"], [b"list"]])
@pytest.mark.parametrize("kind", IN_VALUES)
def test_what_is_no_number(
    kind: str, other: Any, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A value of another type than int in place of a number is refused too; that call fails."""
    victim = Victim(dialect, policy)
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call([b"list", IN_VALUES[kind](other)], name=b"keep"))
    (line,) = lines
    assert line.startswith(("PEER: MalformedJelly: ", "PEER: NoSuchObject: "))
    assert not victim.is_dead
    victim.end()


@binds("S1")
@pytest.mark.parametrize("number", [0, 1, LARGEST])
@pytest.mark.parametrize("kind", ["reference", "remote", "cache"])
def test_the_ends_of_the_range(kind: str, number: int, policy: str, dialect: str) -> None:
    """Numbers inside the range are accepted."""
    target = Target()
    victim = Victim(dialect, policy, target)
    victim.hear(victim.speaker.call([b"list", IN_VALUES[kind](number)], name=b"keep"))
    assert type(last(victim)) is GraphAnswer
    assert len(target.kept) == 1
    victim.end()


def with_count(speaker: Speaker, command: bytes, number: int, count: int = 1) -> bytes:
    """Release an object, with a count if the dialect has one."""
    return speaker.message(command, number, *([] if speaker.name == "pb" else [count]))


FIELDS: dict[str, Callable[[Speaker, int], bytes]] = {
    "version": lambda s, n: s.message(b"version", n),
    "request": lambda s, n: s.call(1, number=n),
    "request of a one-way call": lambda s, n: s.call(1, number=n, answer=0),
    "object": lambda s, n: s.call(1, target=n),
    "cache": lambda s, n: s.message(b"cachemessage", 1, n, b"x", 1, [b"tuple"], NOTHING),
    "request of a call to a cache": lambda s, n: s.message(
        b"cachemessage", n, 1, b"x", 1, [b"tuple"], NOTHING
    ),
    "answer": lambda s, n: s.message(b"answer", n, 1),
    "error": lambda s, n: s.message(b"error", n, b""),
    "decref": lambda s, n: with_count(s, b"decref", n),
    "decache": lambda s, n: with_count(s, b"decache", n),
    "uncache": lambda s, n: s.message(b"uncache", n),
}
FRAMES: dict[str, Callable[[Speaker, int], bytes]] = {
    "count of a decref": lambda s, n: with_count(s, b"decref", 1, n),
    "count of a decache": lambda s, n: with_count(s, b"decache", 1, n),
    "cancel": lambda s, n: s.message(b"cancel", n),
    "ping": lambda s, n: s.message(b"ping", n),
    "pong": lambda s, n: s.message(b"pong", n),
    "deadline": lambda s, n: s.message(
        b"message", 1, b"root", b"echo", 1, [b"tuple", 1], NOTHING, n
    ),
}


@binds("S1", dialects=())
@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize(
    ("dialect", "field"),
    [
        *(("pb", field) for field in FIELDS),
        *(("msgpack/1", field) for field in {**FIELDS, **FRAMES}),
    ],
)
def test_a_number_in_a_field(
    field: str, outside: str, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A number outside the range in a field of a message ends the connection, with one line."""
    if field == "version" and OUTSIDE[outside] == -1:
        # A version is not a key of a table, and Twisted reads any.
        return
    victim = Victim(dialect, policy)
    with taming(caplog) as lines:
        victim.hear({**FIELDS, **FRAMES}[field](victim.speaker, OUTSIDE[outside]))
    (line,) = lines
    assert line.startswith("closed PEER: malformed message: ")
    assert victim.is_dead


def kept_references(policy: str, dialect: str, numbers: list[int]) -> tuple[Victim, list[Any]]:
    """Let a victim hold objects of these numbers."""
    target = Target()
    victim = Victim(dialect, policy, target)
    value = [b"list", *([b"remote", number] for number in numbers)]
    victim.hear(victim.speaker.call(value, name=b"keep"))
    assert len(target.kept) == len(numbers)
    return victim, target.kept


@binds("S1")
@pytest.mark.parametrize(
    "numbers",
    [
        [PRIME * k for k in range(5)],
        list(range(1, 1_001)),
        [n << 40 for n in range(1, 1_001)],
        [LARGEST - (n << 20) for n in range(1_000)],
    ],
    ids=["equal hashes", "small", "equal low bits", "large"],
)
def test_the_hash_of_a_reference(numbers: list[int], policy: str, dialect: str) -> None:
    """For any numbers of a peer, its objects' hashes are spread, and differ from the numbers."""
    victim, found = kept_references(policy, dialect, numbers)
    hashes = [hash(reference) for reference in found]
    assert len(set(hashes)) == len(numbers)
    assert sum(a == hash(b) for a, b in zip(hashes, numbers, strict=True)) <= 1
    # The first slot that a set of that size checks.
    slots = {each % 4096 for each in hashes}
    assert len(slots) >= 0.7 * len(numbers)
    victim.end()


@binds("S1")
def test_equal_references_have_one_hash(policy: str, dialect: str) -> None:
    """References to one object are equal and have one hash; those of other connections differ."""
    victim, (first,) = kept_references(policy, dialect, [7])
    other, (second,) = kept_references(policy, dialect, [7])
    again = broker.RemoteReference(object(), victim.broker, 7)
    assert again == first
    assert hash(again) == hash(first) == hash(first)
    assert first != second
    assert {first, again} == {first}
    assert {first.remoteMethod("x"), again.remoteMethod("x")} == {first.remoteMethod("x")}
    victim.end()
    other.end()
