"""The ending: answers that had come are given out, in turns; then nothing is held any more."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from attacks.attacker import Speaker, Target, Victim, binds
from support.memory import BrokerPair, FakeTransport, ManualScheduler

from broker.connection.broker import Broker
from broker.core.policy import STRICT
from broker.errors import ConnectionDone, ConnectionLost
from broker.failure import Failure

MB = 1 << 20


class Caller:
    """A client with calls of its own, and a server that says what a test wants.

    Attributes:
        log: what the application was told, in order.
    """

    def __init__(self, dialect: str, calls: int, scheduler: Any = None, **changes: Any) -> None:
        self.speaker = Speaker(dialect)
        self.scheduler = ManualScheduler() if scheduler is None else scheduler
        self.transport = FakeTransport(self.scheduler or None, "PEER")
        self.broker = Broker(True, policy=STRICT.but(**changes))
        self.broker.makeConnection(self.transport)
        offer = Speaker("none").message(self.speaker.dialect.name)
        self.broker.dataReceived(offer + self.speaker.message(b"version", 6))
        self.log: list[Any] = []
        root = self.broker.remoteForName("root")
        for _ in range(calls):
            root.callRemote("echo").addBoth(self.hear)
        self.settle()
        self.broker.notifyOnDisconnect(lambda: self.log.append("disconnected"))
        self.broker.closed.addCallback(lambda _: self.log.append("closed"))

    def settle(self) -> None:
        """Let turns pass until nothing is due, where there are turns."""
        if self.scheduler:
            self.scheduler.run()

    def hear(self, result: Any) -> None:
        """Note how a call ended."""
        self.log.append(result.type.__name__ if isinstance(result, Failure) else result)

    def answers(self, *numbers: int) -> bytes:
        """Answers to calls, whose values are their numbers."""
        return b"".join(self.speaker.message(b"answer", number, number) for number in numbers)

    def noise(self, count: int) -> bytes:
        """So many messages that mean nothing at the end."""
        return self.speaker.harmless * count

    def lose(self) -> None:
        """End the connection."""
        self.broker.connectionLost(Failure(ConnectionLost("cut")))


@binds("B14", policies=())
def test_answers_come_before_the_end(dialect: str) -> None:
    """In turns of the loop, between which others have theirs; the end is told after the last."""
    caller = Caller(dialect, 200, turn_messages=8)
    caller.broker.dataReceived(caller.noise(100) + caller.answers(*range(1, 200)))
    caller.lose()
    assert caller.broker.disconnected
    turns, before = 0, 0
    while caller.scheduler.step():
        turns += 1
        assert len(caller.log) <= before + 8 or caller.log[-1] == "closed"
        before = len(caller.log)
    assert turns >= 200 // 8
    assert caller.log == [*range(1, 200), "PBConnectionLost", "disconnected", "closed"]


@binds("B14", policies=())
def test_without_turns_all_is_done_at_once(dialect: str) -> None:
    """Under a transport of no loop, however much there is, and nothing recurses."""
    caller = Caller(dialect, 2, scheduler=False)
    caller.broker.session.inbox.receive(caller.noise(50_000) + caller.answers(1, 2))
    caller.lose()
    assert caller.log == [1, 2, "disconnected", "closed"]


@binds("B14", policies=())
def test_much_at_once_without_turns(dialect: str) -> None:
    """It is handled before ``dataReceived`` returns, and nothing recurses either."""
    caller = Caller(dialect, 1, scheduler=False)
    caller.broker.dataReceived(caller.noise(50_000) + caller.answers(1))
    assert caller.log == [1]
    caller.lose()


@binds("B14", policies=())
def test_where_nothing_is_waited_for(dialect: str) -> None:
    """No more than a turn's worth is looked at, whatever lies there."""
    caller = Caller(dialect, 0)
    inbox = caller.broker.session.inbox
    inbox.receive(caller.noise(100_000))
    reads = 0
    decode = inbox.read

    def counted(*args: Any) -> bool:
        nonlocal reads
        reads += 1
        return decode(*args)

    inbox.read = counted
    caller.lose()
    assert caller.log == ["disconnected", "closed"]
    assert reads <= 1


@binds("B14", policies=())
def test_it_ends_with_the_last_answer(dialect: str) -> None:
    """What lies behind it stays undecoded, but for a turn's worth."""
    caller = Caller(dialect, 1)
    caller.broker.session.inbox.receive(caller.answers(1) + caller.noise(100_000))
    caller.lose()
    turns = 0
    while caller.scheduler.step():
        turns += 1
    assert turns <= 2
    assert caller.log == [1, "disconnected", "closed"]


@binds("B14", policies=())
def test_the_peer_s_calls_are_not_made(dialect: str) -> None:
    """Neither by the ending nor by a turn of the pump that was asked for before."""
    caller = Caller(dialect, 1, turn_messages=2)
    target = Target()
    caller.broker.setNameForLocal("root", target)
    calls = b"".join(caller.speaker.call(n, name=b"keep", number=n) for n in range(1, 20))
    caller.broker.dataReceived(caller.noise(4) + calls + caller.answers(1))
    assert caller.broker.pump.has_turn
    caller.lose()
    caller.scheduler.run()
    assert caller.log == [1, "disconnected", "closed"]
    assert not hasattr(target, "kept")


@binds("B14", policies=())
def test_what_an_answer_s_callback_may_do(dialect: str) -> None:
    """Call, close, abort or lose the connection again while it ends: that changes nothing."""
    caller = Caller(dialect, 0, turn_messages=1)
    root = caller.broker.remoteForName("root")
    acts: list[Callable[[], object]] = [
        lambda: caller.broker.abort(ConnectionDone()),
        caller.lose,
        caller.broker.flush,
        lambda: caller.broker.leave("closing", "by", at_once=True),
        lambda: caller.broker.drain().addCallback(lambda _: caller.log.append("idle")),
        lambda: root.callRemote("echo"),
    ]
    for act in acts:
        root.callRemote("echo").addCallback(lambda _, act=act: act()).addErrback(caller.hear)
    caller.broker.dataReceived(caller.noise(3) + caller.answers(*range(1, 7)))
    caller.lose()
    written = len(caller.transport.writes)
    caller.scheduler.run()
    assert caller.log == ["idle", "DeadReferenceError", "disconnected", "closed"]
    assert len(caller.transport.writes) == written
    assert caller.scheduler.waiting == 0


@binds("B14", policies=())
def test_a_fault_among_the_last_words(dialect: str) -> None:
    """It ends them; what was before it counts, and the calls behind it are lost."""
    caller = Caller(dialect, 3, turn_messages=1)
    wrong = caller.answers(1) + caller.answers(77) + caller.answers(2)
    caller.broker.dataReceived(caller.noise(3) + wrong)
    caller.lose()
    caller.scheduler.run()
    assert caller.log == [1, "PBConnectionLost", "PBConnectionLost", "disconnected", "closed"]


@binds("B14", policies=())
def test_a_budget_that_is_used_up_meanwhile(dialect: str) -> None:
    """The rest is let go, and the end is told in the next turn."""
    caller = Caller(dialect, 1, turn_messages=8)
    caller.broker.session.inbox.receive(caller.noise(10_000) + caller.answers(1))
    caller.lose()
    caller.scheduler.step()
    assert caller.log == []
    caller.broker.session.forget_received()
    for _ in range(3):
        caller.scheduler.step()
    assert caller.log == ["PBConnectionLost", "disconnected", "closed"]


class Hooked(Broker):
    """Handles answers itself, as published."""

    def proto_answer(self, requestID: Any, netResult: Any) -> None:
        """Pass it on."""
        super().proto_answer(requestID, netResult)


def test_answers_that_a_published_hook_handles() -> None:
    """They come before the end, too."""
    pair = BrokerPair(Target())
    hooked = Hooked(True, policy=STRICT)
    transport = FakeTransport(pair.scheduler, "PEER")
    hooked.makeConnection(transport)
    speaker = Speaker("pb")
    hooked.dataReceived(Speaker("none").message(b"pb") + speaker.message(b"version", 6))
    found: list[Any] = []
    hooked.remoteForName("root").callRemote("echo").addBoth(found.append)
    hooked.session.receive(
        speaker.message(b"decref", 1) * 100
        + speaker.call(1)
        + speaker.message(b"answer", 1, [b"unicode", b"here"])
    )
    hooked.connectionLost(Failure(ConnectionDone()))
    assert pair.scheduler is not None
    pair.scheduler.run()
    assert found == ["here"]
    pair.cut()


def a_half(speaker: Speaker) -> bytes:
    """A message of strings that lacks its end."""
    strings: list[Any] = [b"list", *([bytes(500_000)] * 12)]
    return speaker.call(strings)[:-100_000]


def half_of_a_list(speaker: Speaker) -> bytes:
    """A message of many small lists that lacks its end."""
    return speaker.call([b"list", *([[b"list"]] * 100_000)])[:-1000]


def half_of_a_string(speaker: Speaker) -> bytes:
    """A message of one string that lacks its end."""
    return speaker.call(bytes(600_000))[:-1000]


def many(speaker: Speaker) -> bytes:
    """Calls, more than are handled in a turn."""
    return b"".join(speaker.call(bytes(1000), number=n) for n in range(1, 3000))


def wrong(speaker: Speaker) -> bytes:
    """Much that is no message, behind one that is."""
    return speaker.call(bytes(300_000)) + b"\xff" * 3_000_000


def answers(speaker: Speaker) -> bytes:
    """Calls whose answers nobody reads."""
    return b"".join(speaker.call(bytes(100_000), number=n) for n in range(1, 30))


@binds("B9")
@pytest.mark.parametrize("what", [a_half, half_of_a_list, half_of_a_string, many, wrong, answers])
@pytest.mark.parametrize("reads", [True, False])
def test_a_connection_that_has_ended_holds_nothing(
    dialect: str, policy: str, what: Callable[[Speaker], bytes], reads: bool
) -> None:
    """Without the garbage collector, though the Broker and the reason of the end are kept."""
    victim = Victim(dialect, policy, reads=reads)
    data = what(victim.speaker)
    victim.transport.writes.clear()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for begin in range(0, len(data), 65_536):
            # As a transport does: each piece is an object of its own, which nobody else keeps.
            victim.broker.dataReceived(data[begin : begin + 65_536])
            if what is wrong:
                victim.scheduler.run()
            if victim.is_dead:
                break
        assert victim.is_dead is (what is wrong)
        victim.transport.writes.clear()
        victim.broker.connectionLost(Failure(ConnectionDone()))
        victim.scheduler.run()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < 150_000
    assert victim.broker.reason is not None
