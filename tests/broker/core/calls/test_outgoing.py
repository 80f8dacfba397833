"""Outgoing calls: on the quick path or by a jellier, with the same result."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ROOT, FakeHost, Reference, SessionPair

from broker.core.policy import STRICT
from broker.core.session import Session
from broker.core.wire import messages
from broker.core.wire.dialects import MSGPACK, PB, Dialect
from broker.flavors.copyable import Copyable
from broker.flavors.referenceable import Referenceable, Root
from jelly.errors import CannotJelly, EncodeError, ProtocolError, TooLarge
from jelly.limits import Limits

DIALECTS = pytest.mark.parametrize("dialect", [MSGPACK, PB], ids=["msgpack/1", "pb"])


class Server(Root):
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def remote_m(self, *args: Any, **kw: Any) -> Any:
        """Keep it, and return the arguments."""
        self.calls.append((args, kw))
        return args

    def remote_raise(self) -> Any:
        """Raise."""
        raise ValueError("on purpose")

    def remote_self(self) -> Any:
        """Return a reference."""
        return self


def pair_of(dialect: Dialect, **options: Any) -> SessionPair:
    """Two sessions that speak a dialect."""
    return SessionPair(Server(), offered=(dialect,), **options)


QUICK: tuple[Any, ...] = (1, "x")
BY_JELLIER: tuple[Any, ...] = (1, {2: 3})


@DIALECTS
@pytest.mark.parametrize("args", [QUICK, BY_JELLIER], ids=["quick", "by a jellier"])
def test_calls(dialect: Dialect, args: tuple[Any, ...]) -> None:
    """A call is numbered, counted, and waited for until its answer comes, once."""
    pair = pair_of(dialect)
    client = pair.client
    first = client.outgoing.call(ROOT, "m", args, {})
    second = client.outgoing.call(ROOT, "m", (), {})
    assert (second, len(client.outgoing.open_calls), client.stats.calls_made) == (first + 1, 2, 2)
    pair.exchange()
    assert pair.client_host.outcomes == [(first, True, args), (second, True, ())]
    assert len(client.outgoing.open_calls) == 0


@DIALECTS
@pytest.mark.parametrize("args", [QUICK, BY_JELLIER], ids=["quick", "by a jellier"])
def test_calls_without_an_answer(dialect: Dialect, args: tuple[Any, ...]) -> None:
    """They are counted, take a number, and are not waited for."""
    pair = pair_of(dialect)
    pair.client.outgoing.call(ROOT, "m", args, {}, wants_answer=False)
    assert (len(pair.client.outgoing.open_calls), pair.client.stats.calls_made) == (0, 1)
    request_id = pair.client.outgoing.call(ROOT, "m", args, {})
    assert request_id == 2
    pair.exchange()
    assert [each[0] for each in pair.client_host.outcomes] == [2]


@DIALECTS
@pytest.mark.parametrize("name", ["m" * 32, "m" * 33, "m" * 128, "é" * 32, "é" * 64])
def test_long_names(dialect: Dialect, name: str) -> None:
    """A name may have 128 bytes; the quick way is for those that surely have fewer."""
    pair = pair_of(dialect)
    outcome = pair.call(name)
    assert outcome.startswith("NoSuchMethod")
    assert pair.server.stats.calls_received == 1


@DIALECTS
@pytest.mark.parametrize("name", ["m" * 129, "é" * 65, "𝄞" * 33])
@pytest.mark.parametrize("args", [QUICK, BY_JELLIER], ids=["quick", "by a jellier"])
def test_names_that_are_too_long(dialect: Dialect, name: str, args: tuple[Any, ...]) -> None:
    """They are refused here, in bytes, and nothing is written or waited for."""
    pair = pair_of(dialect)
    size = len(name.encode())
    with pytest.raises(TooLarge, match=f"method name of {size} bytes, of 128"):
        pair.client.outgoing.call(ROOT, name, args, {})
    assert (len(pair.client.outgoing.open_calls), pair.client.data_to_send()) == (0, b"")
    assert pair.call("m", 5) == (5,)


@DIALECTS
@pytest.mark.parametrize("value", [object(), "x" * 200, [1] * 100, "\ud800"])
def test_what_cannot_be_sent(dialect: Dialect, value: Any) -> None:
    """It raises here, and nothing is written, waited for or counted."""
    pair = pair_of(dialect, policy=STRICT.but(limits=Limits(max_expression=150, max_nodes=80)))
    for args, kw in (((value,), {}), ((), {"k": value}), ((Referenceable(), value), {})):
        with pytest.raises(EncodeError):
            pair.client.outgoing.call(ROOT, "m", args, kw)
    stats = pair.client.stats
    assert (len(pair.client.outgoing.open_calls), pair.client.data_to_send(), stats.calls_made) == (
        0,
        b"",
        0,
    )
    assert len(pair.client.translator.exports) == 0
    assert pair.call("m", 5) == (5,)


@DIALECTS
def test_a_call_out_of_a_hook(dialect: Dialect) -> None:
    """A call that a hook makes while a message is made goes behind that message."""
    pair = pair_of(dialect)

    class Telling(Copyable):
        def getStateToCopyFor(self, perspective: Any) -> Any:
            pair.client.outgoing.call(ROOT, "m", ("inner",), {}, wants_answer=False)
            return {}

        def getTypeToCopyFor(self, perspective: Any) -> str:
            return "unknown"

    pair.client.outgoing.call(ROOT, "m", (Telling(),), {})
    pair.client.outgoing.call(ROOT, "m", ("outer",), {})
    pair.exchange()
    # The inner call took the first number, and wants no answer.
    assert [outcome[0] for outcome in pair.client_host.outcomes] == [2, 3]
    wire = pair.wire["client"]
    assert wire.index(b"unknown") < wire.index(b"inner") < wire.index(b"outer")
    root = pair.server.translator.exports.get(ROOT)
    assert root is not None
    assert [args for args, _ in root.value.calls] == [("inner",), ("outer",)]


@DIALECTS
def test_a_hooks_call_whose_message_is_not_sent(dialect: Dialect) -> None:
    """It shares the fate of that message."""
    pair = pair_of(dialect)
    inner: list[int] = []

    class Telling(Copyable):
        def getStateToCopyFor(self, perspective: Any) -> Any:
            inner.append(pair.client.outgoing.call(ROOT, "m", ("inner",), {}))
            return {"state": object()}

    with pytest.raises(CannotJelly):
        pair.client.outgoing.call(ROOT, "m", (Telling(),), {})
    assert (len(pair.client.outgoing.open_calls), pair.client.data_to_send()) == (0, b"")
    (outcome,) = pair.client_host.outcomes
    assert outcome[:2] == (inner[0], False)
    assert str(outcome[2]).startswith("not run")


@DIALECTS
def test_outcomes(dialect: Dialect) -> None:
    """A result that is plain, one that is a graph, and an error are told to the host."""
    pair = pair_of(dialect)
    ids = [pair.client.outgoing.call(ROOT, name, (), {}) for name in ("m", "self", "raise")]
    pair.exchange()
    told = pair.client_host.outcomes
    assert [(request_id, is_answer) for request_id, is_answer, _ in told] == [
        (ids[0], True),
        (ids[1], True),
        (ids[2], False),
    ]
    assert told[0][2] == ()
    assert type(told[1][2]) is Reference
    assert "on purpose" in told[2][2]


@DIALECTS
def test_a_result_is_seen_through_the_eyes_of_the_call(dialect: Dialect) -> None:
    """What comes back is for the perspective that asked."""
    pair = pair_of(dialect)
    request_id = pair.client.outgoing.call(ROOT, "self", (), {}, "eyes")
    pair.exchange()
    assert pair.client_host.outcome(request_id).perspective == "eyes"


def test_a_room_above_that_unjellies_itself() -> None:
    """An overridden ``unserialize`` takes the place of ours, for results and for errors."""

    class Unjellying(FakeHost):
        overridden = frozenset({"unserialize"})

        def unserialize(self, expression: Any, perspective: Any = None) -> Any:
            """Show what comes."""
            return "theirs", expression, perspective

    host = Unjellying()
    host.session = session = Session(host, STRICT, is_client=True, offered=(PB,))
    outgoing = session.outgoing
    session.inbox.handle(messages.Version(6))
    for number, kind in ((1, messages.GraphAnswer), (2, messages.GraphError)):
        outgoing.call(ROOT, "m", (), {}, "eyes")
        session.inbox.handle(kind(number, [b"None"]))
    seen = ("theirs", [b"None"], "eyes")
    assert host.outcomes == [(1, True, seen), (2, False, seen)]


@pytest.mark.parametrize(
    "make",
    [
        lambda number: messages.PlainAnswer(number, 5),
        lambda number: messages.PlainTuple(number, (5,)),
        lambda number: messages.GraphAnswer(number, [b"None"]),
        lambda number: messages.GraphError(number, b"x"),
    ],
)
def test_answers_that_nobody_waits_for(make: Any) -> None:
    """One to a call that was given up is dropped, once; one to no call is the peer's fault."""
    pair = pair_of(MSGPACK)
    client = pair.client
    request_id = client.outgoing.call(ROOT, "m", (), {})
    client.outgoing.abandon(request_id)
    client.inbox.handle(make(request_id))
    assert pair.client_host.outcomes == []
    for number in (request_id, 99, 0):
        with pytest.raises(ProtocolError, match=f"answer to unknown request {number}"):
            client.inbox.handle(make(number))
    one_way = client.outgoing.call(ROOT, "m", (), {}, wants_answer=False)
    with pytest.raises(ProtocolError, match="answer to unknown request"):
        client.inbox.handle(make(one_way))


def test_references_in_a_dropped_answer_are_released() -> None:
    """The peer has counted what it sent, also to a call that was given up."""
    pair = pair_of(MSGPACK)
    request_id = pair.client.outgoing.call(ROOT, "self", (), {})
    pair.client.data_to_send()
    pair.client.outgoing.abandon(request_id)
    pair.client.inbox.handle(messages.GraphAnswer(request_id, [b"remote", 7]))
    assert pair.client_host.released == 1
    assert len(pair.client.translator.imports) == 0


def test_an_answer_that_may_not_come_in() -> None:
    """It fails the call, whatever it was."""
    pair = pair_of(MSGPACK)
    for number, kind in ((1, messages.GraphAnswer), (2, messages.GraphError)):
        pair.client.outgoing.call(ROOT, "m", (), {})
        pair.client.inbox.handle(kind(number, [b"unknown"]))
    outcomes = pair.client_host.outcomes
    assert [(number, is_answer) for number, is_answer, _ in outcomes] == [(1, False), (2, False)]
    assert all(isinstance(error, Exception) for _, _, error in outcomes)


def test_abandoning() -> None:
    """The peer is told once, and only of calls that are waited for."""
    pair = pair_of(MSGPACK)
    request_id = pair.client.outgoing.call(ROOT, "m", (), {})
    pair.exchange()
    pair.client.outgoing.abandon(request_id)
    pair.client.outgoing.abandon(99)
    assert pair.client.data_to_send() == b""
    request_id = pair.client.outgoing.call(ROOT, "m", (), {})
    pair.client.data_to_send()
    for _ in range(2):
        pair.client.outgoing.abandon(request_id)
    assert pair.client.data_to_send() == b"\0\0\0\3\x92\x0b" + bytes([request_id])
