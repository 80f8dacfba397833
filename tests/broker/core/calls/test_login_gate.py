"""The gate: the messages before a login, unopened minds, and errors that end the connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Raw
from support.memory import FakeHost, make_end

from broker.core.calls.handlers import GATED, GATED_BEFORE_VERSION, OPEN
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.login_gate import Gate, gated
from broker.core.objects.unopened import Unopened
from broker.core.policy import STRICT
from broker.core.queued import Barrier, Released
from broker.core.wire import messages
from broker.core.work import PUT_OFF
from jelly.errors import ProtocolError
from jelly.limits import Limits

MINDS = {"log_in": 1, "ask": None}
NO_KEYWORDS = [b"dictionary"]


def gate() -> Gate:
    """A gate that seals by writing down."""
    return Gate(STRICT, MINDS, lambda expression, limits, most: ("sealed", expression, most))  # type: ignore[arg-type, return-value]


def expressions(*values: Any, name: str = "log_in", kw: Any = None, answer: bool = True) -> Any:
    """A call of expressions."""
    kw = NO_KEYWORDS if kw is None else kw
    return messages.GraphCall(1, b"root", name, answer, [b"tuple", *values], kw)


def test_single_values_are_read() -> None:
    """Numbers, bytes, text, bools and None are values behind the gate, however they came."""
    boolean = [b"boolean", b"true"]
    found = gate().check(
        expressions(b"alice", [b"None"], 5, 1.5, [b"unicode", "ä".encode()], boolean, name="ask")
    )
    assert type(found) is messages.PlainCall
    assert (found.args, found.kw) == ((b"alice", None, 5, 1.5, "ä", True), {})
    assert gate().check(expressions([b"boolean", b"false"], name="ask")).args == (False,)
    plain = messages.PlainSend(1, 0, "ask", ("alice", None, 5, True), {})
    assert gate().check(plain) is plain


def test_a_mind_is_sealed() -> None:
    """That one argument may be a graph, which stays an expression."""
    remote = [b"remote", 3]
    found = gate().check(expressions(b"alice", remote, answer=False))
    assert type(found) is messages.PlainSend
    assert found.args == (b"alice", ("sealed", remote, 8))
    assert gate().check(expressions(b"alice", [b"None"])).args == (b"alice", None)
    plain = messages.PlainCall(1, 0, "log_in", ("alice", {"a": [1]}), {})
    assert gate().check(plain) is plain


@pytest.mark.parametrize(
    "call",
    [
        expressions([b"remote", 1], [b"None"]),
        expressions(b"alice", [b"None"], [b"list"]),
        expressions([b"list", 1], name="ask"),
        expressions([b"remote", 1], name="other"),
        expressions([b"unicode", b"\xff"], name="ask"),
        expressions([b"unicode"], name="ask"),
        expressions([b"boolean", b"maybe"], name="ask"),
        expressions([b"boolean"], name="ask"),
        expressions([], name="ask"),
        expressions(b"alice", [b"None"], kw=[b"dictionary", [b"a", 1]]),
        expressions(b"alice", [b"None"], kw=[b"list"]),
        messages.GraphCall(1, b"root", "ask", True, b"a", NO_KEYWORDS),
        messages.GraphCall(1, b"root", "ask", True, [b"list"], NO_KEYWORDS),
        messages.PlainCall(1, 0, "ask", ([],), {}),
        messages.PlainCall(1, 0, "log_in", ({}, None), {}),
        messages.PlainCall(1, 0, "ask", (), {"a": 1}),
    ],
)
def test_what_is_no_login(call: Any) -> None:
    """A graph anywhere else, a keyword, arguments of another form: no login looks like that."""
    with pytest.raises(ProtocolError, match=r"^not logged in$"):
        gate().check(call)


def test_the_smaller_limits_hold() -> None:
    """A policy that allows less than a login needs allows no more before one."""
    tight = STRICT.but(limits=Limits(max_expression=1_000, max_string=100))
    limits = Gate(tight, MINDS, Unopened).limits  # type: ignore[arg-type]
    assert (limits.max_expression, limits.max_string) == (1_000, 100)
    assert (limits.max_depth, limits.max_nodes) == (16, 2_000)
    assert Gate(STRICT, MINDS, Unopened).limits == STRICT.login_limits  # type: ignore[arg-type]


ANY = {
    messages.Version: messages.Version(6),
    messages.DidNotUnderstand: messages.DidNotUnderstand(b"x"),
    messages.UnknownCommand: messages.UnknownCommand(b"x"),
    messages.PlainCall: messages.PlainCall(1, 0, "x", (), {}),
    messages.PlainSend: messages.PlainSend(1, 0, "x", (), {}),
    messages.PlainCallToCache: messages.PlainCallToCache(1, 0, "x", (), {}),
    messages.PlainSendToCache: messages.PlainSendToCache(1, 0, "x", (), {}),
    messages.GraphCall: messages.GraphCall(1, 0, "x", True, [b"tuple"], NO_KEYWORDS),
    messages.GraphCallToCache: messages.GraphCallToCache(1, 0, "x", True, [b"tuple"], NO_KEYWORDS),
    messages.PlainAnswer: messages.PlainAnswer(1, 5),
    messages.PlainTuple: messages.PlainTuple(1, (5,)),
    messages.GraphAnswer: messages.GraphAnswer(1, 5),
    messages.GraphError: messages.GraphError(1, b"x"),
    messages.Decref: messages.Decref(1),
    messages.Decache: messages.Decache(1),
    messages.Uncache: messages.Uncache(1),
    messages.Cancel: messages.Cancel(1),
    messages.Ping: messages.Ping(1),
    messages.Pong: messages.Pong(1),
    messages.Goodbye: messages.Goodbye("x", "y"),
    messages.Draining: messages.Draining(1, ()),
    messages.Credit: messages.Credit(1, 1, 1),
    messages.Items: messages.Items(1, Raw(b"\x91\x01")),
    messages.ItemGraph: messages.ItemGraph(1, [b"list", 1]),
    messages.Piece: messages.Piece(1, b"x"),
    messages.End: messages.End(1),
    messages.Stop: messages.Stop(1),
    messages.Home: messages.Home(1),
    messages.Raw: messages.Raw([b"answer", 1, 5]),
    Barrier: Barrier(),
    Released: Released(
        messages.PlainCall(1, 5, "x", (), {}),
        IncomingCall(1, "x", True),
        None,
        [],
        True,
        1,
    ),
}
PASSING = {
    messages.Version,
    messages.Decref,
    messages.Cancel,
    messages.Ping,
    messages.Pong,
    messages.Goodbye,
    Barrier,
    Released,
}
CALLS = {messages.PlainCall, messages.PlainSend, messages.GraphCall}


@pytest.mark.row("C8")
@pytest.mark.parametrize("kind", OPEN, ids=lambda kind: kind.__name__)
def test_every_message_while_the_gate_is_shut(kind: type) -> None:
    """Denied unless it is named; a message that is new in the table of all is denied, too."""
    handled: list[Any] = []
    table = gated(dict.fromkeys(OPEN, lambda owner, message: handled.append(message)))
    owner = FakeHost()
    owner.gate = gate()  # type: ignore[attr-defined]
    owner.incoming = SimpleNamespace(must_wait=False)  # type: ignore[attr-defined]
    message = ANY[kind]
    if kind in PASSING | CALLS:
        table[kind](owner, message)
        assert len(handled) == 1
    else:
        with pytest.raises(ProtocolError, match=r"^not logged in$"):
            table[kind](owner, message)
        assert handled == []


@pytest.mark.row("C8")
def test_every_table_knows_every_message() -> None:
    """No state of a session lacks a row."""
    assert set(ANY) == set(OPEN) == set(GATED) == set(GATED_BEFORE_VERSION)


def test_a_call_that_must_wait_is_not_looked_at() -> None:
    """Its mind is made Unopened once, in its turn: a collected Unopened releases its references."""
    handled: list[Any] = []
    table = gated(dict.fromkeys(OPEN, lambda owner, message: handled.append(message)))
    owner: Any = SimpleNamespace(gate=gate(), incoming=SimpleNamespace(must_wait=True))
    call = expressions(b"alice", [b"remote", 3], answer=False)
    assert table[messages.GraphCall](owner, call) is PUT_OFF
    assert handled == []
    owner.incoming.must_wait = False
    table[messages.GraphCall](owner, call)
    assert handled[0].args == (b"alice", ("sealed", [b"remote", 3], 8))


def test_what_a_room_above_parses_itself() -> None:
    """An expression that is a call or may pass goes up; it comes back here as a message."""
    handled: list[Any] = []
    table = gated({**OPEN, messages.Raw: lambda owner, raw: handled.append(raw.expression)})
    for expression in ([b"decref", 5], [b"message", 1, b"root", b"x", 1, [b"tuple"], NO_KEYWORDS]):
        table[messages.Raw](None, messages.Raw(expression))
    assert [expression[0] for expression in handled] == [b"decref", b"message"]
    with pytest.raises(ProtocolError, match=r"^not logged in$"):
        table[messages.Raw](None, messages.Raw([b"answer", 1, 5]))


def test_a_session_with_a_gate() -> None:
    """Few calls, few objects and small bytes until it is opened; then what the policy allows."""
    session = make_end(STRICT, False)
    session.shut_gate(MINDS)
    assert session.incoming.max_calls == 4
    assert session.translator.exports.max_refs == 8
    assert session.inbox.handlers is GATED_BEFORE_VERSION
    session.start()
    session.receive(b"\x02\x82pb")
    session.receive(b"\x02\x80\x13\x87\x06\x81")
    session.pump()
    assert session.inbox.handlers is GATED
    session.open_gate()
    assert (session.incoming.max_calls, session.translator.exports.max_refs) == (1024, 10_000)
    assert session.inbox.handlers is OPEN
    session.shut_gate(MINDS)
    assert session.inbox.handlers is GATED


def test_the_small_limits_end_with_the_gate() -> None:
    """An expression of 70,000 bytes ends the connection before a login, and is one after it."""
    for is_open in (False, True):
        session = make_end(STRICT, False)
        session.shut_gate(MINDS)
        session.start()
        session.receive(b"\x02\x82pb\x02\x80\x13\x87\x06\x81")
        session.pump()
        if is_open:
            session.open_gate()
        session.receive(b"\x02\x80\x01\x82x\x70\x22\x04\x82" + bytes(70_000))
        if is_open:
            session.pump()
        else:
            with pytest.raises(ProtocolError, match=r"^expression larger than 65536 bytes"):
                session.pump()
