"""Streams: credit without end, numbers that were never opened, items that no program takes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from attacks.attacker import Speaker, Target, Victim, binds, taming
from msgspec import Raw

from broker.core.policy import STRICT
from broker.flavors.streams import stream_of
from jelly.errors import LimitExceeded

MOST = (1 << 31) - 1
MIB = 1 << 20
MSGPACK = ("msgpack/1",)


class House(Target):
    """Makes streams, and keeps those of its peer."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.made = 0

    def remote_keep(self, value: Any) -> None:
        """Keep the value."""
        self.kept.append(value)

    async def remote_small(self) -> AsyncIterator[int]:
        """Make small items without end."""
        while True:
            self.made += 1
            yield 1

    async def remote_large(self) -> AsyncIterator[bytes]:
        """Make pieces without end."""
        while True:
            self.made += 1
            yield bytes(65_536)


def streams(*numbers: int) -> list[Any]:
    """A list of streams, as an argument."""
    return [b"list", *([b"stream", number] for number in numbers)]


def empty_lists(speaker: Speaker, stream: int, count: int) -> bytes:
    """Items of one byte, which cost much more when they are decoded."""
    data = b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count
    return speaker.message(b"items", stream, Raw(data))


@binds("B21", dialects=MSGPACK)
def test_credit_again_and_again(policy: str, dialect: str) -> None:
    """Each credit allows one item, and costs no more than that."""
    house = House()
    victim = Victim(dialect, policy, house)
    victim.hear(victim.speaker.call(name=b"small"))
    before = house.made
    for _ in range(1000):
        victim.hear(victim.speaker.message(b"credit", 1, 1, 1))
    assert before <= house.made <= before + 1001
    assert not victim.is_dead
    victim.end()


@binds("B22", dialects=MSGPACK)
def test_all_credit_and_nothing_read(policy: str, dialect: str) -> None:
    """The producers wait for the connection: 64 of them leave less than a MiB unsent."""
    house = House()
    victim = Victim(dialect, policy, house, reads=False)
    for number in range(1, 65):
        victim.hear(victim.speaker.call(name=b"large", number=number))
    for number in range(1, 65):
        victim.hear(victim.speaker.message(b"credit", number, MOST, MOST) * 3)
    assert victim.transport.unsent < MIB
    assert house.made < 64 * 3
    victim.end()


@binds("B23", dialects=MSGPACK)
def test_items_that_no_method_reads(policy: str, dialect: str) -> None:
    """64 streams of all the items that may be sent cost less than 32 MiB."""
    house = House()
    chosen = STRICT.but(stream_items=65_536) if policy == "strict" else policy
    victim = Victim(dialect, chosen, house)
    victim.hear(victim.speaker.call(streams(*range(1, 65)), name=b"keep"))
    count = 65_536 if policy == "strict" else 256
    data = b"".join(empty_lists(victim.speaker, number, count) for number in range(1, 65))
    gc.collect()
    tracemalloc.start()
    try:
        victim.hear(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not victim.is_dead
    assert peak < 32 * MIB
    assert victim.broker.session.translator.held > 64 * count
    victim.end()


@binds("B23", dialects=MSGPACK)
def test_frames_beyond_the_credit_of_bytes(policy: str, dialect: str) -> None:
    """One frame of a stream may be larger than its credit; 40 such frames may not.

    The reader of each stream that was too much gets an error; the others get their items.
    """
    house = House()
    victim = Victim(dialect, policy, house)
    victim.hear(victim.speaker.call(streams(*range(1, 41)), name=b"keep"))
    for number in range(1, 41):
        victim.hear(victim.speaker.message(b"piece", number, bytes(2 * MIB)))
    translator = victim.broker.session.translator
    assert not victim.is_dead
    assert translator.held <= 34 * MIB
    outcomes = []
    for stream in house.kept[0]:
        stream_of(stream).read().addBoth(outcomes.append)
    got = [each for each in outcomes if isinstance(each, bytes)]
    refused = [each for each in outcomes if not isinstance(each, bytes)]
    assert len(got) == 15
    assert len(refused) == 25
    assert all(each.check(LimitExceeded) for each in refused)
    assert refused[0].value.limit == "stream_window"
    assert victim.broker.session.stats.limits["stream_window"] == 25
    victim.end()


@binds("B24", dialects=MSGPACK)
@pytest.mark.parametrize(("count", "dies"), [(64, False), (65, False), (100, False), (1000, True)])
def test_too_many_streams_in_one_call(
    policy: str, dialect: str, count: int, dies: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The call fails, and twice too many end the connection; no more than these are kept."""
    house = House()
    victim = Victim(dialect, policy, house)
    with taming(caplog):
        victim.hear(victim.speaker.call(streams(*range(1, count + 1)), name=b"keep"))
    assert victim.is_dead is dies
    assert len(house.kept) == (count <= 64)
    assert len(victim.broker.session.translator.streams.incoming) <= 130
    victim.end()


@binds("B25", dialects=MSGPACK)
@pytest.mark.parametrize("command", [b"credit", b"items", b"itemgraph", b"piece", b"end", b"stop"])
@pytest.mark.parametrize("number", [0, 1, 77, (1 << 63) - 1])
def test_numbers_that_were_never_opened(
    policy: str, dialect: str, command: bytes, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """They end the connection, and nothing is kept."""
    fields: dict[bytes, tuple[Any, ...]] = {
        b"credit": (1, 1),
        b"items": (Raw(b"\x91\x01"),),
        b"itemgraph": (Raw(b"\x92\xc4\x04list\x01"),),
        b"piece": (b"x",),
        b"end": (None,),
        b"stop": (),
    }
    victim = Victim(dialect, policy)
    with taming(caplog) as lines:
        victim.hear(victim.speaker.message(command, number, *fields[command]))
    assert victim.is_dead
    assert lines == [f"closed PEER: stream {number} is not open"]


@binds("B26", dialects=MSGPACK)
def test_items_beyond_the_credit(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They end the connection."""
    victim = Victim(dialect, policy, House())
    victim.hear(victim.speaker.call(streams(1), name=b"keep"))
    with taming(caplog) as lines:
        victim.hear(empty_lists(victim.speaker, 1, 257))
    assert victim.is_dead
    assert lines == ["closed PEER: stream 1: 1 items beyond its credit"]


@binds("B27", dialects=MSGPACK)
def test_calls_for_streams_that_are_stopped_at_once(policy: str, dialect: str) -> None:
    """They leave no stream and no generator."""
    house = House()
    victim = Victim(dialect, policy, house)
    for number in range(1, 301):
        victim.hear(victim.speaker.call(name=b"small", number=number))
        victim.hear(victim.speaker.message(b"stop", number))
        victim.hear(victim.speaker.message(b"stop", number))
    assert not victim.is_dead
    assert not victim.broker.session.translator.streams.outgoing
    victim.end()
