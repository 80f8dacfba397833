"""A session: bytes in, messages in order, events and bytes out, and every way to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ROOT, SessionPair, make_end
from support.session_ends import (
    DICTIONARY,
    Calling,
    Later,
    Server,
    feed,
    message,
    ready_server,
    sent,
)

from broker.core.events import CallRaised, Misunderstood, Ready
from broker.core.policy import STRICT
from broker.core.wire.dialects import MSGPACK, NONE, PB
from broker.flavors.referenceable import Referenceable
from jelly.codec import Writer
from jelly.errors import CannotJelly, LimitExceeded, ProtocolError, TooLarge
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

TUPLE: list[Any] = [b"tuple"]


# The handshake.


def test_the_bytes_of_a_handshake() -> None:
    """Offer and choice are spoken in ``none``, versions in what was chosen."""
    pair = SessionPair()
    none, pb = Writer(Limits(), NONE_VOCABULARY), Writer(Limits(), PB_VOCABULARY)
    version = pb.encode([b"version", 6])
    assert pair.wire["server"] == none.encode([b"pb", b"none"]) + version
    assert pair.wire["client"] == none.encode(b"pb") + version
    assert pair.client.dialect is pair.server.dialect is PB


@pytest.mark.parametrize("offered", [(NONE,), (PB,)])
def test_another_offer(offered: Any) -> None:
    """The dialect is the first of the server's that the client knows; both are told once."""
    pair = SessionPair(Server(), offered=offered, shake_hands=False)
    pair.exchange(chunk=1)
    assert pair.client_host.events == pair.server_host.events == [Ready(offered[0].name.decode())]
    assert pair.call("echo", 5) == 5


@pytest.mark.parametrize("depth", [100, 101, 500])
@pytest.mark.parametrize("is_deep", [("client",), ("server",), ("client", "server")])
def test_a_deep_limit_takes_another_dialect(is_deep: tuple[str, ...], depth: int) -> None:
    """Where an end allows depths that msgpack/1 cannot read, both speak pb, and they cross."""
    deep = STRICT.but(limits=Limits(max_depth=depth))
    policy, client_policy = (deep if end in is_deep else STRICT for end in ("server", "client"))
    pair = SessionPair(Server(), policy=policy, client_policy=client_policy, offered=None)
    assert pair.client.dialect is pair.server.dialect is (MSGPACK if depth == 100 else PB)
    if depth == 500 and len(is_deep) == 2:
        value: Any = b"the innermost"
        for _ in range(400):
            value = [value]
        assert repr(pair.call("echo", value)) == repr(value)


@pytest.mark.parametrize("chunk", [1, 2, 5, None])
def test_everything_at_once(chunk: int | None) -> None:
    """A client that says its choice, its version and a call in one go is understood."""
    root = Server()
    session = make_end(STRICT, False)
    session.start()
    session.translator.exports.name(ROOT, root)
    data = Writer(Limits(), NONE_VOCABULARY).encode(b"none")
    data += Writer(Limits(), NONE_VOCABULARY).encode([b"version", 6])
    data += Writer(Limits(), NONE_VOCABULARY).encode(message(1, b"echo", 5))
    for begin in range(0, len(data), chunk or len(data)):
        session.receive(data[begin : begin + (chunk or len(data))])
        session.pump()
    assert root.log == [(5,)]


@pytest.mark.parametrize(
    ("is_client", "data", "text"),
    [
        (True, b"HTTP/1.1 400 Bad Request\r\n", "the peer does not speak Perspective Broker"),
        (True, b"\x15\x03\x03\x00\x02\x02\x46", "the peer does not speak Perspective Broker"),
        (False, b"GET / HTTP/1.1\r\nHost: somewhere\r\n", "does not speak Perspective Broker"),
        (False, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x90", "does not speak Perspective"),
        (True, b"\x05\x81", "the peer is not a Perspective Broker server"),
        (True, b"\x00\x80", "no dialect in common with the server"),
        (True, b"\x01\x80\x03\x82odd", "no dialect in common with the server"),
        (False, b"\x03\x82odd", "the peer chose a dialect that was not offered"),
    ],
)
def test_no_handshake(is_client: bool, data: bytes, text: str) -> None:
    """A peer that speaks something else is told of in one error, raised by pump."""
    session = make_end(STRICT, is_client)
    session.start()
    session.receive(data)
    with pytest.raises(ProtocolError, match=text) as caught:
        while True:
            session.pump()
            session.receive(b"\x90" * 100)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("number", [5, 7, 0, -6])
def test_another_version(number: int) -> None:
    """A peer of another version is refused."""
    session = make_end(STRICT, False)
    with pytest.raises(ProtocolError, match=f"^the peer speaks version {number}, not 6$"):
        feed(session, b"none", [b"version", number])


def test_a_call_before_the_version() -> None:
    """No method runs for a peer whose version is not known."""
    root = Server()
    session = make_end(STRICT, False)
    session.translator.exports.name(ROOT, root)
    with pytest.raises(ProtocolError, match="the first frame is not the version"):
        feed(session, b"none", message(1, b"echo", 5))
    assert root.log == []


# Calls and answers.


@pytest.mark.parametrize("chunk", [1, 3, 1448, None])
def test_calls_cross_in_any_pieces(chunk: int | None) -> None:
    """Arguments, keywords and results cross, whole."""
    pair = SessionPair(Server())
    value = {"a": [1, (2.5, b"x")], None: {1, "b"}}
    ids = [pair.client.outgoing.call(ROOT, "echo", (value, n), {"k": n}) for n in range(5)]
    pair.exchange(chunk=chunk)
    for n, request_id in enumerate(ids):
        assert pair.client_host.outcome(request_id) == [value, n, {"k": n}]
    assert len(pair.client.outgoing.open_calls) == 0


@pytest.mark.parametrize("seed", range(5))
def test_random_pieces(seed: int) -> None:
    """Methods run in the order of their calls, and answers come in that order."""
    root = Server()
    pair = SessionPair(root)
    ids = [pair.client.outgoing.call(ROOT, "echo", (n,), {}) for n in range(50)]
    pair.exchange(seed=seed)
    assert root.log == [(n,) for n in range(50)]
    assert pair.client_host.outcomes == [(i, True, n) for n, i in enumerate(ids)]


def test_no_answer_wanted() -> None:
    """A call without answer runs, whatever comes of it, and nothing comes back."""
    root = Server()
    pair = SessionPair(root)
    for name in ("echo", "fail", "bad", "nothing"):
        pair.client.outgoing.call(
            ROOT, name, (1,) if name == "echo" else (), {}, wants_answer=False
        )
    before = pair.wire["server"]
    pair.exchange()
    assert pair.wire["server"] == before
    assert root.log == [(1,)]
    assert [event.name for event in pair.server_host.of(CallRaised)] == ["fail", "nothing"]
    assert len(pair.client.outgoing.open_calls) == 0


def test_pump_takes_as_many_as_it_is_told() -> None:
    """A slice of messages at a time is handled, and pump says whether more are there."""
    root = Server()
    session = ready_server(root)
    feed(session, *(message(n, b"echo", n) for n in range(1, 6)), pump=False)
    assert session.pump(2) is True
    assert root.log == [(1,), (2,)]
    assert session.pump(2) is True
    assert session.pump(2) is False
    assert len(root.log) == 5
    assert session.pump(2) is False


def test_a_duplicate_request_id() -> None:
    """An id whose call is still running cannot be used again."""
    session = ready_server(Later())
    feed(session, message(7, b"later"))
    with pytest.raises(ProtocolError, match=r"^request id 7 already in use$"):
        feed(session, message(7, b"later"))


def test_an_id_may_come_again_after_its_answer() -> None:
    """An id is free once its call was answered."""
    session = ready_server(Later())
    feed(session, message(7, b"later"))
    session.finish(session.host.pending(), 5)
    feed(session, message(7, b"echo", 6))
    assert sent(session) == [[b"answer", 7, 5], [b"answer", 7, 6]]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ([b"answer", 99, 0], "answer to unknown request 99"),
        ([b"error", 99, 0], "answer to unknown request 99"),
        ([b"decref", 1], r"decref of object 1 by 1 \(held 0\)"),
        ([b"decref", ROOT], r"decref of object 'root' by 1 \(held 0\)"),
        ([b"decache", 1], r"decache of cache 1 by 1 \(held 0\)"),
        ([b"uncache", 1], "uncache of cache 1 that is not held"),
        ([b"version", 5], "a second version"),
        ([b"message", 1], r"malformed message: expected message\(id, object, name, answer,"),
        (5, "malformed message: expected a list that starts with a command"),
        ([], "malformed message"),
    ],
)
def test_what_the_protocol_does_not_allow(expression: Any, text: str) -> None:
    """Each is one error out of pump; nothing that came after it is handled."""
    root = Server()
    session = ready_server(root)
    feed(session, message(1, b"echo", 1), expression, message(2, b"echo", 2), pump=False)
    with pytest.raises(ProtocolError, match=text):
        session.pump()
    assert root.log == [(1,)]
    assert session.pump() is False
    # The answer to what came before the fault.
    assert session.data_to_send().endswith(b"\x01\x81\x01\x81")
    feed(session, message(3, b"echo", 3))
    assert root.log == [(1,)]
    assert session.data_to_send() == b""


def test_answers_come_once() -> None:
    """A second answer to one call is an answer to none."""
    pair = SessionPair(Server())
    request_id = pair.client.outgoing.call(ROOT, "echo", (1,), {})
    pair.exchange()
    with pytest.raises(ProtocolError, match=f"answer to unknown request {request_id}"):
        pair.client.receive(PB.writer(Limits()).write_expression([b"answer", request_id, 2]))
        pair.client.pump()


def test_an_unknown_command() -> None:
    """A command that is not known is answered so, and the peer's words are told escaped."""
    session = ready_server(Server())
    feed(session, [b"good\nbye", 1, 2], message(1, b"echo", 5))
    assert sent(session) == [[b"didNotUnderstand", b"good\nbye"], [b"answer", 1, 5]]
    feed(session, [b"didNotUnderstand", b"a\nb"])
    assert session.host.events[-1] == Misunderstood("a\\nb")


def test_errors_of_calls() -> None:
    """What a method raises, and what is wrong with a call, is its answer and an event."""
    pair = SessionPair(Server())
    texts = {
        "fail": "ValueError: because",
        "nothing": "NoSuchMethod: no remote method 'nothing'",
        "keep": "WrongArguments: keep: missing 1 required positional argument: 'value'",
        "bad": "CannotJelly: ",
    }
    for name, text in texts.items():
        assert pair.call(name).startswith(text)
    raised = pair.server_host.of(CallRaised)
    assert [event.name for event in raised] == list(texts)
    assert type(raised[0].error) is ValueError
    request_id = pair.client.outgoing.call(99, "echo", (), {})
    pair.exchange()
    assert (
        pair.client_host.outcome(request_id)
        == "NoSuchObject: object 99 is not exported to this connection"
    )


def test_arguments_that_are_none() -> None:
    """Arguments that are no tuple, or keywords that are no dict of str, fail that call only."""
    session = ready_server(Server())
    for args, kw in ((5, DICTIONARY), ([b"list"], DICTIONARY), (TUPLE, TUPLE), (TUPLE, 5)):
        feed(session, [b"message", 1, ROOT, b"echo", 1, args, kw])
        ((command, _, text),) = sent(session)
        assert command == b"error"
        assert text[1].startswith(b"WrongArguments: arguments are a tuple")
    feed(session, [b"message", 1, ROOT, b"echo", 1, TUPLE, [b"dictionary", [5, 6]]])
    assert sent(session)[0][0] == b"error"


def test_values_that_may_not_come_in() -> None:
    """An argument, or an answer, that may not come in fails that call and no more."""
    session = ready_server(Server())
    feed(session, message(1, b"echo", [b"os.path"]), message(2, b"echo", [b"dereference", 5]))
    texts = [expression[2][1] for expression in sent(session)]
    text = (
        "type 'os.path' is not registered; register a class under that name:"
        " @broker.register(\"os.path\"); see 'Send your own objects'"
    )
    assert texts[0] == f"InsecureJelly: {text}".encode()
    assert texts[1] == b"MalformedJelly: reference 5 was never defined"
    request_id = session.outgoing.call(1, "m", (), {})
    feed(session, [b"answer", request_id, [b"os.path"]])
    assert str(session.host.outcome(request_id)) == text


def test_limits_are_counted() -> None:
    """A limit that refused a call, or the connection, is counted by its name."""
    session = ready_server(Server(), max_calls=0)
    feed(session, message(1, b"echo", 1))
    assert sent(session)[0][2][1] == b"ServerBusy: 0 calls in flight (max_calls)"
    session.receive(b"\x01" * 5 + b"\x82")
    with pytest.raises(LimitExceeded):
        session.pump()
    assert session.stats.limits == {"max_calls": 1, "max_string": 1}


def test_limits_of_one_call_are_counted() -> None:
    """A limit that refused an argument is counted too, and the connection goes on."""
    session = ready_server(Server(), max_refs=1)
    feed(session, message(1, b"keep", [b"list", [b"remote", 1], [b"remote", 2]]))
    assert sent(session)[0][0] == b"error"
    assert session.stats.limits == {"max_refs": 1}


def test_stats() -> None:
    """Calls and bytes are counted, both ways."""
    pair = SessionPair(Server())
    pair.call("echo", 1)
    pair.call("fail")
    assert pair.client.stats.calls_made == pair.server.stats.calls_received == 2
    assert pair.client.stats.bytes_sent == pair.server.stats.bytes_received
    assert pair.server.stats.bytes_sent == pair.client.stats.bytes_received
    assert pair.client.stats.bytes_sent == len(pair.wire["client"])


# What cannot be sent.


def test_an_argument_that_cannot_be_sent() -> None:
    """Nothing is written, no question is left, and what was exported for it is let go."""
    pair = SessionPair(Server())
    with pytest.raises(CannotJelly):
        pair.client.outgoing.call(ROOT, "echo", (Referenceable(), object()), {})
    with pytest.raises(TooLarge):
        pair.client.outgoing.call(ROOT, "echo", (Referenceable(), b"x" * 700_000), {})
    with pytest.raises(TooLarge, match="method name of 129 bytes"):
        pair.client.outgoing.call(ROOT, "x" * 129, (Referenceable(),), {})
    assert pair.client.data_to_send() == b""
    assert len(pair.client.outgoing.open_calls) == 0
    assert len(pair.client.translator.exports) == 0
    assert pair.client.translator.transaction is None
    assert pair.client.stats.calls_made == 0
    assert pair.call("echo", 5) == 5


def test_an_answer_that_cannot_be_sent() -> None:
    """It becomes the error of that call, and what was exported for it is let go."""
    pair = SessionPair(Server())
    assert pair.call("bad").startswith("CannotJelly")
    assert len(pair.server.translator.exports) == 0


def test_an_error_that_cannot_be_sent() -> None:
    """The peer is told that much."""
    pair = SessionPair(Server())
    shown = pair.server_host.shown_error
    pair.server_host.shown_error = lambda error: (
        (object(), None) if type(error) is ValueError else shown(error)
    )
    assert pair.call("fail") == "RuntimeError: the error cannot be sent: CannotJelly"


def test_the_id_of_an_error_that_cannot_be_sent() -> None:
    """The id that the peer is shown instead is that of the event, which has what was raised."""
    pair = SessionPair(Server())
    shown = pair.server_host.shown_error
    pair.server_host.shown_error = lambda error: (
        (object(), "1") if type(error) is ValueError else (shown(error)[0], "2")
    )
    pair.call("fail")
    (event,) = pair.server_host.of(CallRaised)
    assert (type(event.error), event.error_id) == (RuntimeError, "2")
    assert type(event.error.__cause__) is ValueError


def test_calls_of_hooks_that_were_not_written() -> None:
    """A call that a hook made did not run either, until it is written with its message."""
    pair = SessionPair(Server())
    hook = Calling(pair.client)
    outer = pair.client.outgoing.call(ROOT, "keep", (hook,), {})
    assert pair.client.end() == {hook.request_ids[0]: False, outer: False}
