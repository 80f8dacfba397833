"""The quick path of calls shows nowhere: it does what the general way does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory import ROOT, FakeHost, Reference, SessionPair

from broker.core.calls import dispatch
from broker.core.calls.dispatch import Method, condition
from broker.core.events import CallPending, CallRaised
from broker.core.policy import STRICT, Policy
from broker.core.session import Session
from broker.core.wire.dialects import MSGPACK
from broker.flavors.referenceable import Referenceable
from jelly.errors import ProtocolError
from jelly.limits import Limits


class Quick(FakeHost):
    """A host without overrides: plain calls take the quick path."""


class General(FakeHost):
    """A host that decodes as the session would: no call takes the quick path."""

    overridden = frozenset({"unserialize"})

    def unserialize(self, expression: Any, perspective: Any = None) -> Any:
        """Do what the session does."""
        return self.session.translator.unjelly(expression, perspective)


def pair_with(host: Any, root: Any, policy: Policy = STRICT) -> SessionPair:
    """Two sessions that speak msgpack/1, whose server has this host."""
    pair = SessionPair(shake_hands=False, policy=policy, offered=(MSGPACK,))
    host.session = Session(host, policy, is_client=False, offered=(MSGPACK,))
    pair.server, pair.server_host = host.session, host
    pair.server.translator.exports.name(ROOT, root)
    pair.server.start()
    pair.exchange()
    host.events.clear()
    return pair


class Odd(BaseException):
    """No Exception."""


def refuse(name: str) -> None:
    """Let nobody in."""
    raise PermissionError(name)


class Versatile(Referenceable):
    """Does all that a method may do."""

    remote_attribute = 5

    def remote_echo(self, value: Any = None, /, *args: Any, **kw: Any) -> Any:
        """Return what comes."""
        return [value, list(args), kw]

    def remote_first(self, value: Any) -> Any:
        """Return it as it is."""
        return value

    def remote_tuple(self, *args: Any) -> Any:
        """Return a tuple."""
        return args

    def remote_bytes(self) -> Any:
        """Return what is not plain."""
        return [b"x", {1: 2}]

    def remote_itself(self) -> Any:
        """Return a reference."""
        return self

    def remote_unsendable(self) -> Any:
        """Return what cannot be sent."""
        return object()

    def remote_wide(self) -> Any:
        """Return too many."""
        return [1] * 200

    def remote_raise(self, *args: Any) -> Any:
        """Raise."""
        raise ValueError("on purpose", *args)

    def remote_type_error(self, a: int, b: int = 1) -> Any:
        """Raise what wrong arguments raise too, unless there are such."""
        return self.remote_first() if a else len(b)  # type: ignore[call-arg, arg-type]

    def remote_odd(self) -> Any:
        """Raise what is no Exception."""
        raise Odd("odd")

    def remote_unraisable(self) -> Any:
        """Raise what has no text."""

        class Mute(Exception):
            def __str__(self) -> str:
                raise ValueError("mute")

        raise RuntimeError(Mute.__name__)

    @condition(refuse)
    def remote_guarded(self, *args: Any) -> Any:
        """Never be reached."""
        return "reached"

    @staticmethod
    def remote_static() -> Any:
        """Be no method."""

    async def remote_wait(self, value: Any = None) -> Any:
        """Be waited for."""
        return value


NAMES = [
    *("echo", "first", "tuple", "bytes", "itself", "unsendable", "wide", "raise", "type_error"),
    *("odd", "guarded", "static", "wait", "attribute", "missing", "remote_echo", "__class__", "é"),
]
ARGUMENTS = st.lists(
    st.one_of(st.integers(0, 2), st.text(max_size=2), st.lists(st.none(), max_size=1)), max_size=3
)
KEYWORDS = st.dictionaries(
    st.sampled_from(["value", "a", "b", "self", "name", "method", "callable", "x.y", ""]),
    st.integers(0, 2),
    max_size=2,
)
ONE_CALL = st.tuples(
    st.sampled_from(NAMES), ARGUMENTS, KEYWORDS, st.booleans(), st.sampled_from([ROOT, ROOT, 7])
)


def told(host: FakeHost) -> list[Any]:
    """The events of a host, comparable."""
    said: list[Any] = []
    for event in host.events:
        if isinstance(event, CallRaised):
            said.append((event.name, type(event.error), str(event.error), event.error_id))
        else:
            call = event.ticket
            said.append((call.name, call.args, call.kw, call.due, call.wants_answer))
    return said


def outcomes_of(pair: SessionPair, calls: list[Any], drains: bool) -> Any:
    """Make calls, let those that are pending end, and return all that can be seen of it."""
    host, server = pair.server_host, pair.server
    if drains:
        server.drain()
    for name, args, kw, wants_answer, object_id in calls:
        pair.client.outgoing.call(object_id, name, tuple(args), kw, None, wants_answer, deadline=5)
    pair.exchange()
    running, answered, events = server.running, server.incoming.answers.size, told(host)
    for number, event in enumerate(host.of(CallPending)):
        event.result.close()
        if number % 2:
            server.finish(event.ticket, "late")
        else:
            server.fail(event.ticket, ValueError("late"))
        server.finish(event.ticket, "again")
    pair.exchange()
    for event in host.of(CallPending):
        # Also of the one-way calls that have waited for the others.
        event.result.close()
    # References are made anew on each connection.
    outcomes = [
        (*each, "reference" if isinstance(result, Reference) else repr(result))
        for *each, result in pair.client_host.outcomes
    ]
    return outcomes, running, answered, events, told(host), server.stats, server.running


@settings(deadline=None, max_examples=150)
@given(st.lists(ONE_CALL, max_size=5), st.booleans(), st.sampled_from([1, 2, 1024]))
def test_the_quick_path_shows_nowhere(calls: list[Any], drains: bool, most: int) -> None:
    """Answers, errors, events, counters and bytes of a plain call are those of any other call."""
    policy = STRICT.but(max_calls=most, limits=Limits(max_nodes=100))
    quick, general = (pair_with(host, Versatile(), policy) for host in (Quick(), General()))
    assert outcomes_of(quick, calls, drains) == outcomes_of(general, calls, drains)
    assert quick.wire == general.wire


class Hooking(Versatile):
    """Takes its calls itself, and passes them on."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Pass a call on."""
        return super().remoteMessageReceived(broker, message, args, kw)


# A hook answers for a method that returns an awaitable itself.
AT_ONCE = ONE_CALL.filter(lambda call: call[0] != "wait")


@settings(deadline=None, max_examples=150)
@given(st.lists(AT_ONCE, max_size=5), st.booleans())
def test_a_hook_shows_nowhere(calls: list[Any], drains: bool) -> None:
    """A class whose own hook calls the inherited one has the answers of any other class."""
    policy = STRICT.but(limits=Limits(max_nodes=100))
    found = []
    for target in (Hooking(), Versatile()):
        pair = pair_with(General(), target, policy)
        outcomes_of(pair, calls, drains)
        outcomes = [(*each, repr(result)) for *each, result in pair.client_host.outcomes]
        found.append((outcomes, len(pair.server.translator.exports)))
    hooked, plain = found
    assert len(hooked[0]) == len(plain[0])
    for one, other in zip(hooked[0], plain[0], strict=True):
        assert one[:2] == other[:2]
        if "Reference object" not in one[2]:
            assert one[2] == other[2].replace("'Versatile'", "'Hooking'")
    assert hooked[1] == plain[1]


def with_method(target: Any, name: str, method: Method) -> None:
    """Put a Method in the table of a class, as an application's decorator will."""
    table = dispatch._table(type(target), "remote_")
    methods = {**table.methods, name: method}
    quick = {key: one for key, one in methods.items() if one.validator is None}
    dispatch._TABLES[type(target)]["remote_"] = dispatch._Table(methods, quick, None)


@pytest.mark.parametrize("host", [Quick, General])
@pytest.mark.parametrize("base", [Versatile, Hooking])
def test_a_validator(host: Any, base: type[Versatile]) -> None:
    """It replaces the arguments, or refuses the call before the method runs, on each path."""

    def doubled(args: Any, kw: Any) -> Any:
        (value,) = args
        if value < 0:
            raise ValueError(f"{value} is negative")
        return (2 * value,), kw

    target = type("Validated", (base,), {})()
    with_method(target, "first", Method(Versatile.remote_first, validator=doubled))
    pair = pair_with(host(), target)
    assert pair.call("first", 5) == 10
    assert pair.call("first", -5) == "ValueError: -5 is negative"
    assert "WrongArguments" not in str(pair.call("echo", 5))


@pytest.mark.parametrize("host", [Quick, General])
@pytest.mark.parametrize("base", [Versatile, Hooking])
def test_an_interceptor(host: Any, base: type[Versatile]) -> None:
    """It runs around each call that passes its checks, and decides about the result."""
    seen: list[str] = []

    def intercept(call: Any, method: Any, run: Any) -> Any:
        seen.append(call.name)
        return "instead" if call.name == "echo" else run(call.args, call.kw)

    pair = pair_with(host(), base())
    # The methods that an earlier call has found are not called without it.
    assert pair.call("echo", 5) == [5, [], {}]
    pair.server.incoming.intercept(intercept)
    assert pair.call("first", 5) == 5
    assert pair.call("echo", 5) == "instead"
    assert pair.call("missing").startswith("NoSuchMethod")
    assert pair.call("guarded") != "reached"
    assert seen == ["first", "echo"]


def test_which_path() -> None:
    """The two hosts of these tests do take different paths."""
    for host, used in ((Quick(), True), (General(), False)):
        pair = pair_with(host, Versatile())
        pair.call("first", 5)
        entry = pair.server.translator.exports.get(ROOT)
        assert (entry is not None and entry.methods is not None) == used


@pytest.mark.parametrize("host", [Quick, General])
@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_nobodys_answer(host: Any, fault: type[BaseException]) -> None:
    """It leaves the session, by either path."""

    class Ending(Referenceable):
        def remote_end(self) -> None:
            raise fault

    pair = pair_with(host(), Ending())
    pair.client.outgoing.call(ROOT, "end", (), {})
    with pytest.raises(fault):
        pair.exchange()
    assert pair.server.data_to_send() == b""


@pytest.mark.parametrize("host", [Quick, General])
def test_a_request_id_in_use(host: Any) -> None:
    """A second call of the same id ends the connection; one that wants no answer has none."""
    pair = pair_with(host(), Versatile())
    pair.client.outgoing.call(ROOT, "wait", (), {})
    pair.exchange()
    pair.client.outgoing.open_calls.last = 0
    pair.client.outgoing.call(ROOT, "wait", (), {}, wants_answer=False)
    pair.client.outgoing.open_calls.last = 0
    pair.client.outgoing.call(ROOT, "wait", (), {}, wants_answer=False)
    pair.exchange()
    assert pair.server.running == 3
    pair.client.outgoing.open_calls.last = 0
    pair.client.outgoing.call(ROOT, "first", (1,), {})
    with pytest.raises(ProtocolError, match="request id 1 already in use"):
        pair.exchange()
    for event in pair.server_host.of(CallPending):
        event.result.close()


@pytest.mark.parametrize("host", [Quick, General])
def test_a_method_that_ends_the_connection(host: Any) -> None:
    """Its answer goes nowhere; what it wants to be waited for is handed out all the same."""

    class Ending(Referenceable):
        def remote_end(self, value: Any) -> Any:
            pair.server.end()
            return value

        def remote_wait(self) -> Any:
            pair.server.end()
            return self.later()

        async def later(self) -> None:
            """Never begin."""

    pair = pair_with(host(), Ending())
    pair.client.outgoing.call(ROOT, "end", (5,), {})
    pair.exchange()
    assert (pair.client_host.outcomes, pair.server_host.events) == ([], [])
    pair = pair_with(host(), Ending())
    pair.client.outgoing.call(ROOT, "wait", (), {})
    pair.exchange()
    (event,) = pair.server_host.events
    event.result.close()


def test_a_name_that_is_given_to_another_object() -> None:
    """The quick path remembers methods by object, not by id."""

    class Other(Referenceable):
        def remote_first(self, value: Any) -> Any:
            return ["other", value]

    pair = pair_with(Quick(), Versatile())
    assert pair.call("first", 5) == 5
    pair.server.translator.exports.name(ROOT, Other())
    assert pair.call("first", 5) == ["other", 5]
