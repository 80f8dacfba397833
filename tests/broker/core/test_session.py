"""A session: bytes in, messages in order, events and bytes out, and every way to be wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.memory import ROOT, SessionPair, make_end

from broker.core.events import CallPending, CallRaised, Misunderstood, Ready
from broker.core.policy import STRICT
from broker.core.wire.dialects import MSGPACK, NONE, PB
from broker.flavors.referenceable import Referenceable, Root
from jelly.codec import Reader, Writer
from jelly.errors import CannotJelly, LimitExceeded, ProtocolError, TooLarge
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

TUPLE: list[Any] = [b"tuple"]
DICTIONARY: list[Any] = [b"dictionary"]


class Server(Root):
    """Writes down what is called, in order."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.kept: list[Any] = []

    def remote_echo(self, *args: Any, **kw: Any) -> Any:
        """Return the arguments."""
        self.log.append(args)
        return [*args, kw] if kw else args[0] if len(args) == 1 else list(args)

    def remote_keep(self, value: Any) -> None:
        """Keep a reference."""
        self.kept.append(value)

    def remote_fail(self) -> None:
        """Raise."""
        raise ValueError("because")

    def remote_bad(self) -> Any:
        """Return what cannot be sent."""
        return [Referenceable(), object()]

    def remote_make(self) -> Any:
        """Return something of the server's."""
        return Referenceable()

    async def remote_wait(self, value: Any) -> Any:
        """Be an async method."""
        self.log.append(value)

    def remote_exit(self) -> None:
        """Be told to stop."""
        raise KeyboardInterrupt


class Pending:
    """An awaitable that nobody steps."""

    def __await__(self) -> Any:
        """Have the shape of an awaitable."""
        yield


class Later(Server):
    """Answers later."""

    def remote_later(self, *args: Any) -> Any:
        """Return an awaitable."""
        return Pending()


def ready_server(root: Any = None, **policy: Any) -> Any:
    """A server's session after the handshake, with what it is fed as a client's expressions."""
    session = make_end(STRICT.but(**policy), False)
    session.start()
    session.data_to_send()
    if root is not None:
        session.translator.exports.name(ROOT, root)
    feed(session, b"none", [b"version", 6])
    session.data_to_send()
    session.host.events.clear()
    return session


def feed(session: Any, *expressions: Any, pump: bool = True) -> None:
    """Let a session have expressions as bytes of ``none``."""
    writer = Writer(Limits(), NONE_VOCABULARY)
    session.receive(b"".join(map(writer.encode, expressions)))
    if pump:
        session.pump()


def sent(session: Any) -> list[Any]:
    """What a session in ``none`` sends, as expressions."""
    reader = Reader(Limits(), NONE_VOCABULARY)
    reader.feed(session.data_to_send())
    return reader.read()


def message(request_id: int, name: bytes, *args: Any, target: Any = ROOT, answer: int = 1) -> Any:
    """A call as an expression."""
    return [b"message", request_id, target, name, answer, [b"tuple", *args], DICTIONARY]


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
    with pytest.raises(ProtocolError, match="a call before the version"):
        feed(session, b"none", message(1, b"echo", 5))
    assert root.log == []


# Calls and answers.


@pytest.mark.parametrize("chunk", [1, 3, 1448, None])
def test_calls_cross_in_any_pieces(chunk: int | None) -> None:
    """Arguments, keywords and results cross, whole."""
    pair = SessionPair(Server())
    value = {"a": [1, (2.5, b"x")], None: {1, "b"}}
    ids = [pair.client.call(ROOT, "echo", (value, n), {"k": n}) for n in range(5)]
    pair.exchange(chunk=chunk)
    for n, request_id in enumerate(ids):
        assert pair.client_host.outcome(request_id) == [value, n, {"k": n}]
    assert pair.client.waiting == 0


@pytest.mark.parametrize("seed", range(5))
def test_random_pieces(seed: int) -> None:
    """Methods run in the order of their calls, and answers come in that order."""
    root = Server()
    pair = SessionPair(root)
    ids = [pair.client.call(ROOT, "echo", (n,), {}) for n in range(50)]
    pair.exchange(seed=seed)
    assert root.log == [(n,) for n in range(50)]
    assert pair.client_host.outcomes == [(i, True, n) for n, i in enumerate(ids)]


def test_no_answer_wanted() -> None:
    """A call without answer runs, whatever comes of it, and nothing comes back."""
    root = Server()
    pair = SessionPair(root)
    for name in ("echo", "fail", "bad", "nothing"):
        pair.client.call(ROOT, name, (1,) if name == "echo" else (), {}, wants_answer=False)
    before = pair.wire["server"]
    pair.exchange()
    assert pair.wire["server"] == before
    assert root.log == [(1,)]
    assert [event.name for event in pair.server_host.of(CallRaised)] == ["fail", "nothing"]
    assert pair.client.waiting == 0


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
        ([b"version", 5], "the peer speaks version 5, not 6"),
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
    request_id = pair.client.call(ROOT, "echo", (1,), {})
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
    request_id = pair.client.call(99, "echo", (), {})
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
    request_id = session.call(1, "m", (), {})
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
        pair.client.call(ROOT, "echo", (Referenceable(), object()), {})
    with pytest.raises(TooLarge):
        pair.client.call(ROOT, "echo", (Referenceable(), b"x" * 700_000), {})
    with pytest.raises(TooLarge, match="method name of 129 bytes"):
        pair.client.call(ROOT, "x" * 129, (Referenceable(),), {})
    assert pair.client.data_to_send() == b""
    assert pair.client.waiting == 0
    assert len(pair.client.translator.exports) == 0
    assert pair.client.translator.scope is None
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
    outer = pair.client.call(ROOT, "keep", (hook,), {})
    assert pair.client.end() == {hook.request_ids[0]: False, outer: False}


# Answers that come later.


def test_pending_calls() -> None:
    """A method that returns an awaitable is answered by ``finish`` or ``fail``, once."""
    pair = SessionPair(Later())
    ids = [pair.client.call(ROOT, "later", (), {}) for _ in range(2)]
    pair.exchange()
    one, two = pair.server_host.of(CallPending)
    assert isinstance(one.result, Pending)
    assert pair.server.running == 2
    assert pair.call("echo", 5) == 5
    pair.server.fail(two.ticket, KeyError("x"))
    pair.server.finish(one.ticket, ["value"])
    pair.server.finish(one.ticket, "again")
    pair.server.fail(two.ticket, KeyError("again"))
    pair.exchange()
    assert pair.server.running == 0
    assert pair.client_host.outcome(ids[0]) == ["value"]
    assert pair.client_host.outcome(ids[1]) == "KeyError: 'x'"
    assert len(pair.client_host.outcomes) == 3


def test_an_old_ticket_does_not_answer_a_new_call() -> None:
    """A call that was answered cannot answer another that has its id."""
    session = ready_server(Later())
    feed(session, message(7, b"later"))
    old = session.host.pending()
    session.finish(old, 1)
    feed(session, message(7, b"later"))
    new = session.host.pending()
    sent(session)
    session.finish(old, 2)
    assert sent(session) == []
    session.finish(new, 3)
    assert sent(session) in ([], [[b"answer", 7, 3]])


def test_too_many_calls() -> None:
    """Above max_calls a call is refused, and did not run; the others go on."""
    root = Later()
    session = ready_server(root, max_calls=2)
    feed(session, message(1, b"later"), message(2, b"later"), message(3, b"echo", 1))
    assert sent(session)[0][2][1] == b"ServerBusy: 2 calls in flight (max_calls)"
    assert root.log == []
    session.finish(session.host.pending(), None)
    feed(session, message(3, b"echo", 1))
    assert root.log == [(1,)]


def test_draining() -> None:
    """While it drains, a session refuses new calls, and answers those that run."""
    root = Later()
    session = ready_server(root)
    feed(session, message(1, b"later"))
    session.drain()
    feed(session, message(2, b"echo", 1))
    assert root.log == []
    session.finish(session.host.pending(), 5)
    error, answer = sent(session)
    assert error[2][1] == b"ServerDraining: not run: the server is shutting down"
    assert answer == [b"answer", 1, 5]


def test_abandoning() -> None:
    """The answer to a call that was given up is dropped, but what it refers to is released."""
    pair = SessionPair(Server())
    request_id = pair.client.call(ROOT, "make", (), {})
    pair.client.abandon(request_id)
    pair.exchange()
    assert pair.client_host.events == []
    assert len(pair.server.translator.exports) == 0
    assert pair.client.waiting == 0


# References.


def test_counts_on_the_wire() -> None:
    """Each reception is one decref, once the one reference to the object is collected."""
    root = Server()
    pair = SessionPair(root)
    mine = Referenceable()
    for _ in range(3):
        pair.call("keep", mine)
    assert len(set(map(id, root.kept))) == 1
    exports = pair.client.translator.exports
    assert exports.entry_of(id(mine)).count == 3
    assert pair.server_host.released == 0
    root.kept.clear()
    assert pair.server_host.released == 1
    before = len(pair.wire["server"])
    pair.exchange()
    assert pair.wire["server"][before:] == PB.writer(Limits()).write_expression([b"decref", 1]) * 3
    assert len(exports) == 0


@pytest.mark.parametrize("policy", [{"is_draining": True}, {"max_calls": 0}, {}])
@pytest.mark.parametrize("target", [ROOT, 99])
def test_a_refused_call_lets_its_arguments_go(policy: dict[str, Any], target: Any) -> None:
    """What the arguments of a refused call refer to is released, since its sender counted it."""
    limits = {key: value for key, value in policy.items() if key == "max_calls"}
    pair = SessionPair(Server(), policy=STRICT.but(**limits))
    if policy.get("is_draining"):
        pair.server.drain()
    request_id = pair.client.call(target, "nothing", (Referenceable(),), {"k": [Referenceable()]})
    assert len(pair.client.translator.exports) == 2
    pair.exchange()
    assert isinstance(pair.client_host.outcome(request_id), str)
    # The event holds the error, and that the frame in which it was raised.
    pair.server_host.events.clear()
    pair.exchange()
    assert len(pair.client.translator.exports) == 0


def test_releases_after_the_end() -> None:
    """What is collected when the session is over is told to nobody."""
    root = Server()
    pair = SessionPair(root)
    pair.call("keep", Referenceable())
    pair.server.end()
    root.kept.clear()
    assert pair.server_host.released == 0
    assert pair.server.data_to_send() == b""


# Order, and holding back.


def test_methods_wait_for_tasks_that_have_not_begun() -> None:
    """While a task has not begun, no method begins that would begin at once."""
    root = Server()
    session = ready_server(root)
    session.inbox.has_unstarted_tasks = True
    feed(session, message(1, b"wait", 1), message(2, b"echo", 2), message(3, b"wait", 3))
    assert [event.ticket.request_id for event in session.host.of(CallPending)] == [1]
    assert session.pump() is True
    assert root.log == []
    session.inbox.has_unstarted_tasks = False
    session.pump()
    assert root.log == [(2,)]
    for event in session.host.of(CallPending):
        event.result.close()
    assert len(session.host.of(CallPending)) == 2


def test_answers_do_not_wait_for_tasks() -> None:
    """What runs no method goes on meanwhile, as far as order allows."""
    session = ready_server(Server())
    request_id = session.call(1, "m", (), {})
    session.inbox.has_unstarted_tasks = True
    feed(session, [b"answer", request_id, 5], message(2, b"nothing"), message(3, b"echo", 1))
    assert session.host.outcomes == [(request_id, True, 5)]
    assert len(session.host.of(CallRaised)) == 1


class Hooked(Referenceable):
    """Handles its calls itself."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def remoteMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:
        """Answer with an expression."""
        self.log.append((message, args, kw))
        if message == "bad":
            return object()
        return [b"list", b"expression"]


def test_overridden_hooks() -> None:
    """A class with a hook of its own gets, and returns, expressions."""
    root = Hooked()
    pair = SessionPair(root)
    assert pair.call("anything", (1, "a"), k=2) == [b"expression"]
    assert root.log == [
        (
            "anything",
            [b"tuple", [b"tuple", 1, [b"unicode", b"a"]]],
            [b"dictionary", [[b"unicode", b"k"], 2]],
        )
    ]
    assert pair.call("bad").startswith("EncodeError")


def test_overridden_hooks_wait_too() -> None:
    """A hook of the application's begins at once, so it waits for tasks that have not begun."""
    root = Hooked()
    session = ready_server(root)
    session.inbox.has_unstarted_tasks = True
    feed(session, message(1, b"anything"))
    assert root.log == []
    session.inbox.has_unstarted_tasks = False
    session.pump()
    assert len(root.log) == 1


def test_holding_calls() -> None:
    """Held calls wait, and what lets go behind them; answers go on; then all comes in order."""
    root = Server()
    session = ready_server(root)
    kept = Referenceable()
    object_id = session.translator.export(kept, id(kept))
    request_id = session.call(1, "m", (), {})
    session.inbox.holds_calls = True
    feed(
        session,
        message(1, b"echo", 1),
        [b"decref", object_id],
        [b"answer", request_id, 5],
        message(2, b"echo", 2),
        [b"unknown"],
    )
    assert root.log == []
    assert session.host.outcomes == [(request_id, True, 5)]
    assert session.translator.exports.get(object_id) is not None
    assert session.pump() is False
    session.inbox.holds_calls = False
    feed(session, message(3, b"echo", 3))
    assert root.log == [(1,), (2,), (3,)]
    assert session.translator.exports.get(object_id) is None


def test_held_calls_go_on_in_slices() -> None:
    """Held messages are handled before newer ones, however many pump takes."""
    root = Server()
    session = ready_server(root)
    session.inbox.holds_calls = True
    feed(session, *(message(n, b"echo", n) for n in range(1, 4)))
    session.inbox.holds_calls = False
    feed(session, message(4, b"echo", 4), pump=False)
    assert session.pump(1) is True
    assert session.pump(2) is True
    assert session.pump(2) is False
    assert root.log == [(n,) for n in range(1, 5)]


def test_two_ends_that_hold_each_others_calls() -> None:
    """Calls made before both ends hold back are still answered: no deadlock."""
    pair = SessionPair(Server())
    request_id = pair.client.call(ROOT, "echo", (1,), {})
    pair.client.inbox.holds_calls = True
    pair.exchange()
    assert pair.client_host.outcome(request_id) == 1


def test_the_backlog() -> None:
    """What waits to be handled is charged against the cap, until all of it is handled."""
    session = ready_server(Server(), max_backlog=100)
    assert session.inbox.wants_data
    feed(session, *(message(n, b"echo", n) for n in range(1, 9)), pump=False)
    assert not session.inbox.wants_data
    session.pump(7)
    assert not session.inbox.wants_data
    session.pump()
    assert session.inbox.wants_data


# Calls that hooks make.


class Calling(Referenceable):
    """Makes a call while it is sent."""

    def __init__(self, session: Any, error: bool = False):
        self.session = session
        self.error = error
        self.request_ids: list[int] = []

    def jellyFor(self, jellier: Any) -> Any:
        """Call, twice over, and be sent."""
        call = self.session.call
        self.request_ids.append(call(ROOT, "echo", ("inner",), {}))
        if self.error:
            raise CannotJelly("not this one")
        return super().jellyFor(jellier)


def test_calls_made_inside_hooks_wait_behind() -> None:
    """A call that a hook makes goes out after the message in whose making it was made."""
    root = Server()
    pair = SessionPair(root)
    hook = Calling(pair.client)
    outer = pair.client.call(ROOT, "keep", (hook,), {})
    assert pair.client.outbox.queued == 2
    pair.exchange()
    outcomes = pair.client_host.outcomes
    assert [request_id for request_id, _, _ in outcomes] == [outer, *hook.request_ids]
    assert root.log == [("inner",)]


def test_calls_made_inside_hooks_end_as_not_run() -> None:
    """If the message is not sent, neither are they; each is told, and nothing is written."""
    pair = SessionPair(Server())
    hook = Calling(pair.client, error=True)
    with pytest.raises(CannotJelly, match="not this one"):
        pair.client.call(ROOT, "keep", ([Calling(pair.client), hook],), {})
    assert pair.client.data_to_send() == b""
    refused = pair.client_host.outcomes
    assert len(refused) == 2
    for _, is_answered, failure in refused:
        assert not is_answered
        assert str(failure) == "not run: the message that it belonged to was not sent"
    assert pair.client.waiting == 0
    assert len(pair.client.translator.exports) == 0


def test_calls_made_while_an_answer_is_made() -> None:
    """They wait behind the answer, or end as not run with it."""
    pair = SessionPair(Server())
    pair.client.translator.exports.name(ROOT, Server())
    hook = Calling(pair.server)
    pair.server.translator.exports.name(ROOT, type("R", (Root,), {"remote_get": lambda _: hook})())
    pair.call("get")
    assert pair.server_host.outcome(hook.request_ids[0]) == "inner"
    hook.error = True
    assert pair.call("get").startswith("CannotJelly")
    assert "not run" in str(pair.server_host.outcome(hook.request_ids[1]))


def test_calls_made_while_the_application_serializes() -> None:
    """They follow what the application sends next; if serializing fails they end as not run."""
    pair = SessionPair(Server())
    hook = Calling(pair.client)
    expression = pair.client.serialize(hook, None, None, None, None)
    assert expression[0] == b"remote"
    pair.client.send_expression(message(1000, b"echo", 1, answer=0))
    pair.exchange()
    assert pair.client_host.outcome(hook.request_ids[0]) == "inner"
    root = pair.server.translator.exports.get(ROOT).value
    assert root.log == [(1,), ("inner",)]
    hook.error = True
    with pytest.raises(CannotJelly):
        pair.client.serialize([hook], None, None, None, None)
    assert "not run" in str(pair.client_host.outcome(hook.request_ids[1]))
    assert pair.client.data_to_send() == b""


# The end.


def test_the_end() -> None:
    """Each call without an answer is handed out, with whether it may have run."""
    pair = SessionPair(Later())
    written = pair.client.call(ROOT, "later", (), {})
    pair.client.data_to_send()
    unwritten = pair.client.call(ROOT, "later", (), {})
    given_up = pair.client.call(ROOT, "later", (), {})
    pair.client.abandon(given_up)
    assert pair.client.end() == {written: True, unwritten: False}
    assert pair.client.end() == {}
    assert pair.client.data_to_send() == b""
    pair.client.receive(b"anything")
    assert pair.client.pump() is False


def test_answers_after_the_end() -> None:
    """A method that ends after the connection has nobody to tell, and exports nothing."""
    session = ready_server(Later())
    feed(session, message(1, b"later"))
    call = session.host.pending()
    session.end()
    session.finish(call, Referenceable())
    session.fail(call, ValueError())
    assert session.data_to_send() == b""
    assert len(session.translator.exports) == 0


def test_a_method_that_ends_the_connection() -> None:
    """What it returns is not exported, and no further message is handled."""
    root = Server()
    session = ready_server(root)
    ending = type("Ending", (Root,), {"remote_end": lambda _: (session.end(), Referenceable())[1]})
    session.translator.exports.name(b"ending", ending())
    feed(session, message(1, b"end", target=b"ending"), message(2, b"echo", 1))
    assert root.log == []
    assert len(session.translator.exports) == 0
    assert session.host.of(CallRaised) == []


def test_no_cancellation_gets_out() -> None:
    """Whatever a method raises is its answer, except what ends the process."""
    root = type("R", (Server,), {})()
    pair = SessionPair(root)

    def cancelled(self: Any) -> None:
        raise asyncio.CancelledError("inside")

    type(root).remote_cancelled = cancelled
    assert pair.call("cancelled") == "CancelledError: inside"
    with pytest.raises(KeyboardInterrupt):
        pair.call("exit")


def test_long_answers_are_sent_before_more_calls_are_made() -> None:
    """A pump ends once its answers are beyond the high water mark, however many calls wait."""
    server = Server()
    pair = SessionPair(server)
    for _ in range(5):
        pair.client.call(ROOT, "echo", ("x" * (STRICT.high_water // 2),), {})
    pair.server.receive(pair.client.data_to_send())
    counts = []
    while pair.server.pump():
        counts.append(len(server.log))
        assert pair.server.data_to_send()
    assert counts == [2, 4]
    assert len(server.log) == 5


def test_a_dialect_that_is_selected() -> None:
    """Without a handshake a side speaks what it is told to, once, and only what it offers."""
    session = make_end(STRICT, is_client=True)
    with pytest.raises(ProtocolError, match="was not offered"):
        session.select(b"esperanto")
    assert session.dialect is None
    session.select(b"none")
    assert session.dialect is not None
    with pytest.raises(ProtocolError, match="spoken already"):
        session.select(b"pb")
