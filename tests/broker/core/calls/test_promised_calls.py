"""Calls of a peer that wait for promises, whatever the peer does.

The peer here keeps none of the rules of a caller: it sends what the test says.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.memory import SessionPair

from broker.core.calls.promised import MOST_OPEN
from broker.core.events import CallPending
from broker.core.policy import STRICT
from broker.core.wire.dialects import MSGPACK
from broker.core.wire.messages import Cancel, GraphCall, PlainCall, PlainSend
from broker.defer import Deferred
from broker.flavors.referenceable import Referenceable, Root
from jelly.errors import ProtocolError


class Thing(Referenceable):
    """Notes its calls."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def remote_hear(self, value: Any = None) -> Any:
        """Note it."""
        self.heard.append(value)
        return value

    def remote_same(self) -> Thing:
        """Return this object."""
        return self


class House(Root):
    """Returns things, at once or when the test says so."""

    def __init__(self) -> None:
        self.thing = Thing()
        self.heard: list[Any] = []

    def remote_thing(self) -> Thing:
        """Return it."""
        return self.thing

    def remote_new(self) -> Thing:
        """Return another one."""
        return Thing()

    def remote_later(self) -> Deferred[Any]:
        """Return what the test gives."""
        return Deferred()

    def remote_hear(self, *values: Any) -> int:
        """Note them."""
        self.heard.append(values)
        return len(values)

    def remote_back(self, value: Any) -> Any:
        """Return a value."""
        return value


class Caller:
    """A client that sends any message, and a server."""

    def __init__(self, **policy: Any) -> None:
        self.house = House()
        rules = STRICT.but(dialects=("msgpack/1",), **policy)
        self.pair = SessionPair(self.house, policy=rules, offered=(MSGPACK,))
        self.outgoing = self.pair.client.outgoing

    def send(self, name: str, *args: Any, target: Any = "root") -> int:
        """Send a call with plain values; return its id."""
        number = self.outgoing.open_calls.ask(None, True)
        self.pair.client.outbox.send(PlainCall(number, target, name, args, {}))
        return number

    def pass_on(self, name: str, *args: Any, target: Any = "root") -> int:
        """Send a call with the expressions of its arguments."""
        number = self.outgoing.open_calls.ask(None, True)
        made = GraphCall(number, target, name, True, [b"tuple", *args], [b"dictionary"])
        self.pair.client.outbox.send(made)
        return number

    def cross(self) -> None:
        """Let all arrive."""
        self.pair.exchange()

    def outcome(self, number: int) -> Any:
        """The outcome of a call."""
        return self.pair.client_host.outcome(number)

    def outcomes(self) -> list[int]:
        """The calls that have one."""
        return [number for number, _, _ in self.pair.client_host.outcomes]

    def answer(self, which: int, value: Any) -> None:
        """Give a running method its result."""
        pending = self.pair.server_host.of(CallPending)[which].ticket
        self.pair.server.finish(pending, value)
        self.pair.server.pump()
        self.cross()

    @property
    def waiting(self) -> Any:
        """The calls that wait at the server."""
        return self.pair.server.incoming.used_promises


def test_calls_wait_and_start_in_their_order() -> None:
    """They start on the object that the answer names."""
    caller = Caller()
    promise = caller.send("later")
    calls = [caller.send("hear", n, target=(promise,)) for n in range(5)]
    caller.cross()
    assert caller.waiting.size == 5
    caller.answer(0, caller.house.thing)
    assert caller.house.thing.heard == list(range(5))
    assert [caller.outcome(number) for number in calls] == list(range(5))
    late = caller.send("hear", 5, target=(promise,))
    caller.cross()
    assert caller.outcome(late) == 5
    assert caller.waiting.size == caller.waiting._counted == 0


@pytest.mark.parametrize("most", [0, 1, 64])
def test_a_peer_that_ignores_the_term(most: int) -> None:
    """One more than may wait is refused, the others run."""
    caller = Caller(max_promised=most)
    promise = caller.send("later")
    calls = [caller.send("hear", n, target=(promise,)) for n in range(most + 1)]
    caller.cross()
    text = f"ServerBusy: {most} calls wait for promises (max_promised)"
    assert caller.outcome(calls[most]) == text
    caller.answer(0, caller.house.thing)
    assert caller.house.thing.heard == list(range(most))


def test_waiting_calls_count_for_max_calls() -> None:
    """As running ones do."""
    caller = Caller(max_calls=3)
    promise = caller.send("later")
    calls = [caller.send("hear", n, target=(promise,)) for n in range(3)]
    caller.cross()
    assert caller.outcome(calls[2]) == "ServerBusy: 3 calls in flight (max_calls)"
    caller.answer(0, caller.house.thing)
    assert caller.house.thing.heard == [0, 1]


def test_a_thousand_calls_on_each_other() -> None:
    """Each is on the result of the one before: no stack, and all end."""
    for value, ending in ((None, "thing"), (5, "value")):
        caller = Caller(max_calls=5000, max_promised=5000)
        promise = caller.send("later")
        chain = [promise]
        for _ in range(1500):
            chain.append(caller.send("same", target=(chain[-1],)))
        last = caller.send("hear", ending, target=(chain[-1],))
        caller.cross()
        assert caller.waiting.size == 1501
        caller.answer(0, value if value is not None else caller.house.thing)
        for _ in range(1600):
            caller.pair.server.pump()
        caller.cross()
        if value is None:
            assert caller.outcome(last) == "thing"
        else:
            assert "BrokenPromise" in str(caller.outcome(last))
        assert caller.waiting.size == 0


def test_a_cancelled_promise_among_a_thousand() -> None:
    """Cancelling the first ends all the others."""
    caller = Caller(max_calls=5000, max_promised=5000)
    first = caller.send("later")
    chain = [caller.send("same", target=(first,))]
    for _ in range(1500):
        chain.append(caller.send("same", target=(chain[-1],)))
    caller.pair.client.outbox.send(Cancel(chain[0]))
    caller.cross()
    assert caller.waiting.size == 0
    assert len(caller.outcomes()) == 1501
    assert "was cancelled" in caller.outcome(chain[-1])


def test_waiting_and_cancelling_again_and_again() -> None:
    """Cancelled calls leave nothing behind, while the promise is not answered."""
    caller = Caller()
    first = caller.send("later")
    for _ in range(300):
        number = caller.send("hear", 1, target=(first,))
        passed = caller.pass_on("hear", [b"promised", first])
        for each in (number, passed):
            caller.pair.client.outbox.send(Cancel(each))
    caller.cross()
    waiting = caller.waiting
    assert not (waiting._waiting or waiting._missing or waiting.held)
    assert waiting.size == waiting._counted == 0
    assert caller.house.heard == []


@pytest.mark.parametrize(("number", "is_known"), [(MOST_OPEN - 1, True), (MOST_OPEN, False)])
def test_the_answers_that_are_remembered(number: int, is_known: bool) -> None:
    """The references of the last 1,024 answers; plain answers are not counted."""
    caller = Caller()
    promise = caller.send("thing")
    for _ in range(number):
        caller.send("thing")
        caller.send("back", 1)
    call = caller.send("hear", "known", target=(promise,))
    caller.cross()
    outcome = caller.outcome(call)
    assert (outcome == "known") is is_known
    if not is_known:
        assert outcome.endswith("is not a reference; not run")


@pytest.mark.parametrize(
    "expression",
    [[b"promised", 9], [b"promised", 1, 2, 3], [b"promised"], [b"promised", 1, 1.5]],
)
def test_promises_among_arguments_that_are_wrong(expression: Any) -> None:
    """One of a call that has not been made ends the connection; a malformed one fails the call."""
    caller = Caller()
    caller.send("thing")
    number = caller.pass_on("hear", expression)
    if expression == [b"promised", 9]:
        with pytest.raises(ProtocolError, match="promise of request 9, which has not been made"):
            caller.cross()
    else:
        caller.cross()
        assert "Error" in caller.outcome(number) or "Jelly" in caller.outcome(number)
        assert caller.house.heard == []


def test_no_promise_of_the_call_itself() -> None:
    """Neither as its target nor among its arguments."""
    caller = Caller()
    caller.send("hear", 1, target=(1,))
    with pytest.raises(ProtocolError, match="promise of request 1, which has not been made"):
        caller.cross()
    caller = Caller()
    caller.pass_on("hear", [b"promised", 1])
    with pytest.raises(ProtocolError, match="promise of request 1, which has not been made"):
        caller.cross()


def test_a_second_missing_promise() -> None:
    """Of calls that wait behind each other, each has its own promises."""
    caller = Caller()
    one, two = caller.send("later"), caller.send("later")
    calls = [caller.pass_on("hear", [b"promised", number]) for number in (one, two)]
    calls.append(caller.pass_on("hear", [b"promised", one], [b"promised", two]))
    calls.append(caller.send("hear", "plain"))
    caller.cross()
    caller.answer(1, caller.house.thing)
    assert caller.house.heard == []
    caller.answer(0, caller.house.thing)
    thing = caller.house.thing
    assert caller.house.heard == [(thing,), (thing,), (thing, thing), ("plain",)]
    assert [caller.outcome(number) for number in calls] == [1, 1, 2, 1]


def test_an_argument_that_is_forgotten_meanwhile() -> None:
    """A promised object is kept for a call that waits behind others, and so is its place."""
    caller = Caller()
    one, two = caller.send("later"), caller.send("new")
    caller.pass_on("hear", [b"promised", one])
    caller.pass_on("hear", [b"promised", two])
    caller.cross()
    exports = caller.pair.server.translator.exports
    (object_id,) = [n for n, entry in exports.by_id.items() if type(entry.value) is Thing]
    exports.release(object_id)
    for _ in range(MOST_OPEN + 5):
        caller.waiting._remembered.add(10_000 + _, 3)
    caller.answer(0, caller.house.thing)
    assert len(caller.house.heard) == 2
    assert isinstance(caller.house.heard[1][0], Thing)


def test_no_two_calls_wait_for_each_other() -> None:
    """A call that is released later goes before those that arrived after it."""
    caller = Caller()
    later, thing = caller.send("later"), caller.send("thing")
    same = caller.send("same", target=(later,))
    taken = caller.pass_on("hear", [b"promised", same], target=(thing,))
    caller.cross()
    caller.answer(0, caller.house.thing)
    assert caller.outcome(taken)
    assert caller.house.thing.heard == [caller.house.thing]


def test_the_end_of_the_connection() -> None:
    """Waiting calls are forgotten."""
    caller = Caller()
    promise = caller.send("later")
    caller.send("hear", 1, target=(promise,))
    caller.pass_on("hear", [b"promised", promise])
    caller.cross()
    caller.pair.server.end()
    assert not (caller.waiting._waiting or caller.waiting.held or caller.waiting._remembered.get(1))
    assert caller.house.heard == []
    assert (caller.waiting.size, caller.waiting._counted) == (0, 0)


def test_one_way_calls_wait_for_arguments() -> None:
    """They are not counted twice, and have no answer."""
    caller = Caller()
    promise = caller.send("later")
    made = GraphCall(50, "root", "hear", False, [b"tuple", [b"promised", promise]], [b"dictionary"])
    caller.pair.client.outbox.send(made)
    caller.pair.client.outbox.send(PlainSend(51, "root", "hear", (2,), {}))
    caller.cross()
    assert caller.house.heard == []
    caller.answer(0, caller.house.thing)
    assert caller.house.heard == [(caller.house.thing,), (2,)]


def test_a_large_search_and_an_answer_in_between() -> None:
    """The promised call is answered while the arguments are searched: the call does not hang."""
    caller = Caller()
    promise = caller.send("later")
    caller.cross()
    many: Any = [b"list", *([b"list"] for _ in range(200_000))]
    number = caller.pass_on("hear", [b"promised", promise], many)
    data = caller.pair.client.data_to_send()
    server = caller.pair.server
    server.receive(data)
    server.pump()
    began = time.monotonic()
    caller.answer(0, caller.house.thing)
    while caller.house.heard == [] and time.monotonic() - began < 20:
        server.pump()
        caller.cross()
    assert caller.house.heard[0][0] is caller.house.thing
    assert caller.outcome(number) == 2
