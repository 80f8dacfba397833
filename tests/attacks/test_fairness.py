"""Fairness: a client with many messages gets its turn like any other, then others get theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attacks.attacker import POLICIES, Speaker, Target, Victim, binds

import broker
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import DeadReferenceError, PBConnectionLost, ServerDraining


class Counting(Target):
    """Counts its calls, each of which takes a little time on a clock of the test."""

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds
        self.calls = 0
        self.scheduler: Any = None

    def remote_count(self) -> int:
        """Advance the clock, and count."""
        self.scheduler.clock += self.seconds
        self.calls += 1
        return self.calls


def burst(speaker: Speaker, count: int) -> bytes:
    """This many calls."""
    return b"".join(speaker.call(name=b"count", number=n) for n in range(1, count + 1))


def turns(victim: Victim, target: Counting, data: bytes) -> list[int]:
    """How many calls run when the bytes arrive, and in each turn of the loop after that."""
    victim.broker.dataReceived(data)
    made = [target.calls]
    while victim.scheduler.step():
        made.append(target.calls - sum(made))
    return made


@binds("B14")
@pytest.mark.parametrize(("seconds", "most"), [(0.0, 64), (0.001, 9), (0.02, 2)])
def test_a_burst_is_handled_turn_by_turn(
    seconds: float, most: int, policy: str, dialect: str
) -> None:
    """After 64 messages or 5 ms the loop continues: slow calls end a turn early."""
    target = Counting(seconds)
    victim = Victim(dialect, policy, target)
    target.scheduler = victim.scheduler
    found = turns(victim, target, burst(victim.speaker, 300))
    assert sum(found) == 300
    assert max(found) <= most
    if not seconds:
        assert len([each for each in found if each]) <= 300 // 64 + 2
    victim.end()


@binds("B14")
def test_a_burst_is_decoded_turn_by_turn(policy: str, dialect: str) -> None:
    """Small messages take longer to decode than to receive: at most a turn's worth is decoded at
    once.
    """
    target = Counting()
    victim = Victim(dialect, policy, target)
    target.scheduler = victim.scheduler
    inbox = victim.broker.session.inbox
    most = 0
    decode = inbox.read

    def counted(data: bytes, messages: Any, limit: int) -> bool:
        nonlocal most
        before = len(messages)
        has_more = decode(data, messages, limit)
        most = max(most, len(messages) - before)
        return has_more

    inbox.read = counted
    victim.broker.dataReceived(burst(victim.speaker, 1_000))
    while victim.scheduler.step():
        pass
    assert most == 64
    assert target.calls == 1_000
    victim.end()


@pytest.mark.row("B14")
def test_the_figures() -> None:
    """64 messages or 5 ms, under both policies."""
    for policy in (STRICT, PUBLISHED):
        assert (policy.turn_messages, policy.turn_time) == (64, 0.005)


@binds("B14", dialects=())
async def test_others_are_answered_during_a_burst(policy: str) -> None:
    """A client's call does not wait for 20,000 earlier calls of another client."""
    target = Counting()
    target.scheduler = type("Clock", (), {"clock": 0.0})()
    async with broker.serve(target, "pb://127.0.0.1:0", policy=POLICIES[policy]) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        speaker = Speaker("msgpack/1")
        async with broker.connect(server.addresses[0]) as bystander:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(speaker.greeting + burst(speaker, 20_000))
            reading = asyncio.create_task(reader.read(-1))
            while target.calls < 64:
                await asyncio.sleep(0)
            answered = []
            while target.calls < 20_000:
                before = target.calls
                await bystander.root.callRemote("echo", 1)
                answered.append(target.calls - before)
            # How many calls of the others ran while one of its own calls was under way.
            answered.sort()
            assert answered[len(answered) * 99 // 100] <= 640
            assert len(answered) >= 20
            writer.close()
            await reading


class Busy(broker.Root):
    """Counts the calls that it has completed."""

    def __init__(self) -> None:
        self.done = 0

    def remote_plain(self) -> None:
        """Run at once."""
        self.done += 1

    async def remote_slow(self) -> None:
        """Run for a few turns."""
        await asyncio.sleep(0.002)
        self.done += 1


async def keep_calling(root: Any, name: str) -> int:
    """Call until the server drains or closes; return how many calls were answered."""
    answered = 0
    while True:
        try:
            await root.callRemote(name)
        except (ServerDraining, PBConnectionLost, DeadReferenceError):
            return answered
        answered += 1


@binds("B17", dialects=())
async def test_a_drain_under_load_loses_nothing(policy: str) -> None:
    """A draining server answers each call that it has run, under calls of several clients."""
    for enough in (1, 50, 200):
        busy = Busy()
        server = await broker.serve(busy, "pb://127.0.0.1:0", policy=POLICIES[policy])
        clients = [await broker.connect(server.addresses[0]) for _ in range(3)]
        calls = [
            asyncio.create_task(keep_calling(client.root, name))
            for client in clients
            for name in ("plain", "slow", "slow", "slow")
        ]
        while busy.done < enough:
            await asyncio.sleep(0)
        await server.close(drain=10)
        assert sum(await asyncio.gather(*calls)) == busy.done
        for client in clients:
            await client.wait_closed()
