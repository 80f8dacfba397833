"""References and caches between two brokers, against a model that knows who holds what.

Bytes lie on two wires, one each way, and cross in pieces when a rule says so; turns of the loop
pass when a rule says so. So all that can be on its way while something is sent, dropped, sent home
or changed is on its way in some example. What must hold at any time is checked after each step;
what must hold when both wires are empty, by a rule that empties them.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.memory import BrokerPair

import broker
from broker.connection.broker import Broker
from broker.core.policy import STRICT

SIDES = st.integers(0, 1)
WHICH = st.integers(0, 1)
SIZES = st.one_of(st.integers(1, 40), st.just(1_000_000))


class Thing(broker.Referenceable):
    """Is handed over as a reference; writes down who has been called."""

    def __init__(self, which: int):
        self.which = which
        self.calls: list[int] = []

    def remote_poke(self, number: int) -> int:
        """Be called."""
        self.calls.append(number)
        return number


class Board(broker.Cacheable):
    """Is followed."""

    def __init__(self, which: int):
        self.which = which
        self.entries: list[int] = []
        self.observers: list[Any] = []

    def getTypeToCopy(self) -> str:
        """Return the tag of what the follower has."""
        return "lifetimes.Followed"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Take an observer."""
        self.observers.append(observer)
        return {"which": self.which, "entries": list(self.entries)}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Let it go; it must be there."""
        self.observers.remove(observer)


class Followed(broker.RemoteCache):
    """Follows."""

    which: int
    entries: list[int]

    def observe_added(self, entry: int) -> None:
        """Follow a change."""
        self.entries.append(entry)


broker.register(Followed, "lifetimes.Followed")


class Desk(broker.Root):
    """What one side can be asked for.

    Attributes:
        things, boards: its own.
        held: the other side's, by kind and number; dropped when a rule says so.
        faults: what was not as it must be.
    """

    def __init__(self) -> None:
        self.things = [Thing(which) for which in range(2)]
        self.boards = [Board(which) for which in range(2)]
        self.held: dict[tuple[str, int], Any] = {}
        self.faults: list[str] = []

    def own(self, kind: str, which: int) -> Any:
        """Return one of its own."""
        return (self.things if kind == "thing" else self.boards)[which]

    def keep(self, kind: str, which: int, value: Any) -> None:
        """Hold something of the other side's; one object is always seen as one."""
        before = self.held.get((kind, which))
        if before is not None and before is not value:
            self.faults.append(f"{kind} {which} came as another object than before")
        if kind == "board" and value.which != which:
            self.faults.append(f"board {which} came as {value.which}")
        self.held[kind, which] = value

    def remote_take(self, kind: str, which: int, value: Any, again: Any = None) -> None:
        """Take something of the caller's, perhaps twice in one message."""
        if again is not None and again is not value:
            self.faults.append(f"{kind} {which} is not itself")
        self.keep(kind, which, value)

    def remote_give(self, kind: str, which: int) -> Any:
        """Return something of its own."""
        return self.own(kind, which)

    def remote_home(self, kind: str, which: int, value: Any) -> None:
        """Take back something of its own."""
        if value is not self.own(kind, which):
            self.faults.append(f"{kind} {which} came home as {type(value).__name__}")


class Lifetimes(RuleBasedStateMachine):
    """Two brokers, and what crosses between them."""

    dialects: tuple[str, ...] = ()

    @initialize()
    def connect(self) -> None:
        """Let both sides know each other's desk."""
        self.desks = [Desk(), Desk()]
        self.pair = BrokerPair(policy=STRICT.but(dialects=self.dialects))
        self.ends: list[Broker] = [self.pair.client, self.pair.server]
        for end, desk in zip(self.ends, self.desks, strict=True):
            end.setNameForLocal(b"root", desk)
        self.partners = [end.remoteForName(b"root") for end in self.ends]
        self.wires = [b"", b""]
        self.number = 0
        self.sent: list[Counter[tuple[str, int]]] = [Counter(), Counter()]
        self.poked: list[dict[int, list[int]]] = [{n: [] for n in range(2)} for _ in SIDES_OF]
        self.log = _Log()
        logging.getLogger("broker").addHandler(self.log)

    def teardown(self) -> None:
        """Cut the connection: nothing may be left."""
        if not hasattr(self, "log"):
            return
        for desk in self.desks:
            desk.held.clear()
        self.pair.cut()
        logging.getLogger("broker").removeHandler(self.log)
        for end, desk in zip(self.ends, self.desks, strict=True):
            translator = end.session.translator
            assert not len(translator.exports)
            assert not len(translator.imports)
            assert not len(translator.cacheables)
            assert not len(translator.remote_caches)
            assert not any(board.observers for board in desk.boards)
            assert len(end.session.outgoing.open_calls) == 0

    # What the programs do.

    @rule(side=SIDES, which=WHICH, kind=st.sampled_from(["thing", "board"]), twice=st.booleans())
    def hand_over(self, side: int, which: int, kind: str, twice: bool) -> None:
        """Send something of one's own, as an argument; where it is sent twice, it arrives now."""
        value = self.desks[side].own(kind, which)
        self._call(side, "take", kind, which, value, *([value] * twice))
        if twice:
            self.settle()

    @rule(side=SIDES, which=WHICH, kind=st.sampled_from(["thing", "board"]))
    def ask_for(self, side: int, which: int, kind: str) -> None:
        """Ask for something of the other's, which comes in the answer."""
        desk = self.desks[side]
        called = self.partners[side].callRemote("give", kind, which)
        called.addCallback(lambda value: desk.keep(kind, which, value))
        called.addErrback(self._failed)

    @rule(side=SIDES, which=WHICH, kind=st.sampled_from(["thing", "board"]))
    def let_go(self, side: int, which: int, kind: str) -> None:
        """Drop what is held."""
        self.desks[side].held.pop((kind, which), None)

    @rule(side=SIDES, which=WHICH, kind=st.sampled_from(["thing", "board"]), drops=st.booleans())
    def send_home(self, side: int, which: int, kind: str, drops: bool) -> None:
        """Send what is held to its owner, and perhaps drop it right after."""
        held = self.desks[side].held.get((kind, which))
        if held is not None:
            self._call(side, "home", kind, which, held)
            if drops:
                self.let_go(side, which, kind)

    @rule(side=SIDES, which=WHICH, drops=st.booleans())
    def poke(self, side: int, which: int, drops: bool) -> None:
        """Call what is held, and perhaps drop it right after."""
        held = self.desks[side].held.get(("thing", which))
        if held is not None:
            self.number += 1
            self.poked[1 - side][which].append(self.number)
            held.callRemote("poke", self.number).addErrback(self._failed)
            if drops:
                del held
                self.let_go(side, which, "thing")

    @rule(side=SIDES, which=WHICH, drops=st.booleans())
    def change(self, side: int, which: int, drops: bool) -> None:
        """Change something that may be followed; perhaps it is dropped while the change comes."""
        board = self.desks[side].boards[which]
        self.number += 1
        board.entries.append(self.number)
        for observer in board.observers:
            observer.callRemote("added", self.number).addErrback(self._failed)
        if drops:
            self.let_go(1 - side, which, "board")

    @rule(side=SIDES, which=WHICH, kind=st.sampled_from(["thing", "board"]))
    def fail_to_send(self, side: int, which: int, kind: str) -> None:
        """Send what cannot be sent, together with what can: nothing of it may be counted."""
        value = self.desks[side].own(kind, which)
        failures: list[Any] = []
        called = self.partners[side].callRemote("take", kind, which, value, object())
        called.addErrback(failures.append)
        assert [failure.check(broker.CannotJelly) for failure in failures] == [broker.CannotJelly]

    # What the network and the loop do.

    @rule()
    def turn(self) -> None:
        """Let the loop go round once."""
        self.pair.scheduler.step()

    @rule(side=SIDES, size=SIZES)
    def deliver(self, side: int, size: int) -> None:
        """Let bytes of one side arrive at the other."""
        self.wires[side] += self.pair.transport(self.ends[side]).take()
        data, self.wires[side] = self.wires[side][:size], self.wires[side][size:]
        if data:
            self.ends[1 - side].dataReceived(data)

    @rule()
    def settle(self) -> None:
        """Let all arrive: now both ends agree, and each object is held if its holder holds it."""
        while self.pair.scheduler.step() | self._deliver_all():
            pass
        for side in SIDES_OF:
            self._compare(owner=side, holder=1 - side)

    @precondition(lambda self: hasattr(self, "log"))
    @invariant()
    def nothing_is_wrong(self) -> None:
        """No call has failed, no object came as another, nothing was logged, no end has closed."""
        assert [desk.faults for desk in self.desks] == [[], []]
        assert self.log.lines == []
        assert [end.disconnected for end in self.ends] == [0, 0]

    def _compare(self, owner: int, holder: int) -> None:
        own, held = (self.ends[side].session.translator for side in (owner, holder))
        exports = {number: own.exports.get(number).count for number in own.exports.names()}
        exports.pop(b"root")
        imports = {entry.key[0]: entry.count for entry in held.imports._entries.values()}
        imports.pop(b"root", None)
        assert exports == imports
        published = {number: entry.count for number, entry in own.cacheables.by_id.items()}
        assert published == {n: entry.weak.count for n, entry in held.remote_caches.by_id.items()}
        desk, far = self.desks[owner], self.desks[holder]
        for which in range(2):
            thing, board = desk.things[which], desk.boards[which]
            entry = own.exports.entry_of(id(thing))
            assert (entry is not None) == (("thing", which) in far.held)
            assert thing.calls == self.poked[owner][which]
            cache = far.held.get(("board", which))
            assert len(board.observers) == (cache is not None)
            assert cache is None or cache.entries == board.entries

    def _deliver_all(self) -> bool:
        before = [self.wires[side] + self._fresh(side) for side in SIDES_OF]
        for side in SIDES_OF:
            self.wires[side] = before[side]
            self.deliver(side, 1_000_000)
        return any(before)

    def _fresh(self, side: int) -> bytes:
        return self.pair.transport(self.ends[side]).take()

    def _call(self, side: int, name: str, *args: Any) -> None:
        self.partners[side].callRemote(name, *args).addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        if not failure.check(broker.PBConnectionLost):
            self.log.lines.append(f"a call failed: {failure.value!r}")


class _Log(logging.Handler):
    """Keeps warnings and errors, but for those that a rule asks for."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines.append(record.getMessage())


SIDES_OF = (0, 1)


class InMsgpack(Lifetimes):
    """Between two of ours."""

    dialects = ("msgpack/1",)


class InBanana(Lifetimes):
    """In PB's own dialect."""

    dialects = ("pb", "none")


MODEST = settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True)
TestInMsgpack = InMsgpack.TestCase
TestInMsgpack.settings = MODEST
TestInBanana = InBanana.TestCase
TestInBanana.settings = MODEST


def test_a_change_that_comes_for_what_was_dropped() -> None:
    """A change meets a cache that its follower has just dropped: no call fails, and both agree."""
    for machine in (InMsgpack(), InBanana()):
        machine.connect()
        machine.hand_over(0, 1, "board", True)
        machine.change(0, 1, True)
        machine.settle()
        machine.nothing_is_wrong()
        machine.teardown()
