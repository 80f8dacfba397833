"""The tracer is told of calls each way, bytes, limits, logins and the end, and of each once."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory import ROOT, SessionPair

from broker.core.calls.dispatch import condition
from broker.core.events import CallPending
from broker.core.policy import STRICT
from broker.core.tracer import Outcome, outcome_of
from broker.errors import CallTimeout
from broker.failure import Failure
from broker.flavors.cacheable import RemoteCache
from broker.flavors.referenceable import Referenceable
from jelly.errors import CannotJelly

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


class Recorder:
    """A tracer that records what it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.ended: list[tuple[str, Outcome, object]] = []
        self.told: list[tuple[Any, ...]] = []
        self.bytes = [0, 0]

    def opened(self, dialect: str) -> None:
        """Record it."""
        self.told.append(("opened", dialect))

    def closed(self) -> None:
        """Record it."""
        self.told.append(("closed",))

    def call_started(
        self, name: str, is_incoming: bool, wants_answer: bool, target: type | None
    ) -> object:
        """Record it, and set a context variable."""
        self.started.append((name, is_incoming, wants_answer, target))
        if is_incoming:
            SEEN.set(name)
        return len(self.started)

    def call_ended(self, token: Any, outcome: Outcome, error: object) -> None:
        """Record it by the name of the call."""
        self.ended.append((self.started[token - 1][0], outcome, error))

    def received(self, size: int) -> None:
        """Count."""
        self.bytes[0] += size

    def sent(self, size: int) -> None:
        """Count."""
        self.bytes[1] += size

    def limit_hit(self, limit: str) -> None:
        """Record it."""
        self.told.append(("limit", limit))

    def login(self, mechanism: str, is_accepted: bool, reason: str) -> None:
        """Record it."""
        self.told.append(("login", mechanism, is_accepted, reason))

    def outcomes(self) -> list[tuple[str, Outcome]]:
        """How each call ended."""
        return [(name, outcome) for name, outcome, _ in self.ended]


def refuse(name: str) -> None:
    """Refuse each call."""
    raise PermissionError(name)


class Server(Referenceable):
    """The methods that are called."""

    def remote_echo(self, value: Any = None) -> Any:
        """Return the value."""
        return value

    def remote_take(self, value: Any) -> None:
        """Take a value that needs a jellier."""

    def remote_graph(self) -> Any:
        """Return what needs a jellier."""
        return {1: self}

    def remote_raise(self) -> Any:
        """Raise."""
        raise ValueError("on purpose")

    def remote_unsendable(self) -> Any:
        """Return what cannot be sent."""
        return object()

    @condition(refuse)
    def remote_guarded(self) -> Any:
        """Never run."""

    async def remote_wait(self) -> Any:
        """Wait."""

    def remote_seen(self) -> Any:
        """Return the name that the tracer has set."""
        return SEEN.get()


def traced(root: Any = None, **options: Any) -> tuple[SessionPair, Recorder, Recorder]:
    """Return a pair with a tracer at each end."""
    pair = SessionPair(Server() if root is None else root, **options)
    client, server = Recorder(), Recorder()
    pair.client.trace(client)
    pair.server.trace(server)
    return pair, client, server


ENDS = [
    ("echo", (5,), Outcome.ANSWERED, Outcome.ANSWERED),
    ("graph", (), Outcome.ANSWERED, Outcome.ANSWERED),
    ("raise", (), Outcome.RAISED, Outcome.RAISED),
    ("unsendable", (), Outcome.RAISED, Outcome.RAISED),
    ("guarded", (), Outcome.REFUSED, Outcome.RAISED),
    ("missing", (), Outcome.REFUSED, Outcome.RAISED),
    ("echo", (1, 2, 3), Outcome.REFUSED, Outcome.RAISED),
    ("take", (Referenceable(),), Outcome.ANSWERED, Outcome.ANSWERED),
]


@pytest.mark.parametrize(("name", "args", "there", "here"), ENDS)
def test_calls(name: str, args: Any, there: Outcome, here: Outcome) -> None:
    """Each end is told once that a call started, and once how it ended."""
    pair, client, server = traced()
    for times in (1, 2):
        pair.call(name, *args)
        assert server.started == [(name, True, True, Server)] * times
        assert client.started == [(name, False, True, None)] * times
        assert server.outcomes() == [(name, there)] * times
        assert client.outcomes() == [(name, here)] * times
    has_error = there is not Outcome.ANSWERED
    assert all((error is not None) == has_error for _, _, error in server.ended)


def test_an_unknown_object() -> None:
    """A call of an object that is not exported has no class, and is refused."""
    pair, _, server = traced()
    pair.client.outgoing.call(99, "echo", (), {})
    pair.exchange()
    assert server.started == [("echo", True, True, None)]
    assert server.outcomes() == [("echo", Outcome.REFUSED)]


def test_one_way_calls() -> None:
    """A one-way call ends here when it is sent, and there when it returns."""
    pair, client, server = traced()
    for name in ("echo", "raise"):
        pair.client.outgoing.call(ROOT, name, (), {}, wants_answer=False)
    assert client.outcomes() == [("echo", Outcome.ANSWERED), ("raise", Outcome.ANSWERED)]
    pair.exchange()
    assert server.started == [("echo", True, False, Server), ("raise", True, False, Server)]
    assert server.outcomes() == [("echo", Outcome.ANSWERED), ("raise", Outcome.RAISED)]


def test_pending_calls() -> None:
    """A pending call ends when the host finishes or fails it, or when the session ends."""
    pair, client, server = traced()
    for _ in range(3):
        pair.client.outgoing.call(ROOT, "wait", (), {})
    pair.exchange()
    assert server.ended == client.ended == []
    events = pair.server_host.of(CallPending)
    for event in events:
        event.result.close()
    pair.server.finish(events[0].ticket, 5)
    pair.server.fail(events[1].ticket, ValueError("late"))
    pair.exchange()
    assert server.outcomes() == [("wait", Outcome.ANSWERED), ("wait", Outcome.RAISED)]
    pair.server.end()
    pair.client.end()
    assert server.outcomes()[2:] == [("wait", Outcome.LOST)]
    assert client.outcomes()[2:] == [("wait", Outcome.LOST)]
    assert server.told[-1] == client.told[-1] == ("closed",)


def test_calls_that_were_not_sent() -> None:
    """A call that was not written when the session ended was not run."""
    pair, client, _ = traced()
    pair.client.outgoing.call(ROOT, "echo", (), {})
    pair.client.end()
    assert client.outcomes() == [("echo", Outcome.NOT_RUN)]


def test_a_call_of_a_hook() -> None:
    """A call that a hook made for a message that cannot be sent was not run."""
    pair, client, _ = traced()

    class Calling(Referenceable):
        def jellyFor(self, jellier: Any) -> Any:
            pair.client.outgoing.call(ROOT, "echo", (), {})
            raise CannotJelly("not this one")

    with pytest.raises(CannotJelly):
        pair.client.outgoing.call(ROOT, "keep", (Calling(),), {})
    assert client.outcomes() == [("echo", Outcome.NOT_RUN)]


def test_cancelled_calls() -> None:
    """An abandoned call is cancelled; its answer is not a second end."""
    pair, client, _ = traced()
    request_id = pair.client.outgoing.call(ROOT, "echo", (), {})
    pair.client.outgoing.abandon(request_id)
    pair.exchange()
    assert client.outcomes() == [("echo", Outcome.CANCELLED)]


def test_the_context_of_a_call() -> None:
    """What the tracer sets at the start of a call holds in the method, on each path."""
    pair, _, _ = traced()
    assert pair.call("seen") == "seen"
    assert pair.client.outgoing.call(ROOT, "seen", (), {}, deadline=5000)
    pair.exchange()
    assert [result for *_, result in pair.client_host.outcomes] == ["seen", "seen"]
    assert SEEN.get() == "nothing"


def test_caches() -> None:
    """A change of a cache is a one-way call of its class."""

    class Held(RemoteCache):
        def observe_set(self, value: Any) -> None:
            """Take a change."""

    held = Held()
    pair, client, _ = traced()
    pair.client.translator.remote_caches.add(7, held)
    for _ in range(2):
        pair.server.outgoing.call(7, "set", (5,), {}, wants_answer=False, to_cache=True)
        pair.exchange()
    assert client.started == [("set", True, False, Held)] * 2
    assert client.outcomes() == [("set", Outcome.ANSWERED)] * 2


def test_bytes_and_limits() -> None:
    """Each byte is counted, and each refusal by a limit."""
    pair, client, server = traced(policy=STRICT.but(max_calls=1))
    before = {name: len(data) for name, data in pair.wire.items()}
    for _ in range(2):
        pair.client.outgoing.call(ROOT, "wait", (), {})
    pair.exchange()
    for event in pair.server_host.of(CallPending):
        event.result.close()
    crossed = [len(pair.wire[name]) - before[name] for name in ("server", "client")]
    assert client.bytes == crossed
    assert server.bytes == crossed[::-1]
    assert server.told == [("opened", "pb"), ("limit", "max_calls")]
    assert server.outcomes() == [("wait", Outcome.REFUSED)]


def test_a_gate() -> None:
    """Calls before a login are not reported."""
    pair, _, server = traced()
    pair.server.shut_gate({"echo": None})
    pair.call("echo", 5)
    assert server.started == []
    pair.server.open_gate()
    pair.call("echo", 5)
    assert server.started == [("echo", True, True, Server)]


def test_the_dialect() -> None:
    """A tracer is told of the dialect, before the handshake or after it."""
    pair = SessionPair(Server(), shake_hands=False)
    early, late = Recorder(), Recorder()
    pair.server.trace(early)
    pair.exchange()
    pair.client.trace(late)
    assert early.told == late.told == [("opened", "pb")]


@pytest.mark.parametrize(
    ("error", "was_run", "outcome"),
    [
        (ValueError(), True, Outcome.RAISED),
        (ValueError(), False, Outcome.REFUSED),
        (CallTimeout("late"), False, Outcome.TIMED_OUT),
        (Failure(CallTimeout("late")), True, Outcome.TIMED_OUT),
        (type("CancelledError", (BaseException,), {})(), True, Outcome.CANCELLED),
        (type("CancelledError", (BaseException,), {})(), False, Outcome.CANCELLED),
        ("text", True, Outcome.RAISED),
    ],
)
def test_outcomes(error: Any, was_run: bool, outcome: Outcome) -> None:
    """An error that was sent says how the call ended."""
    assert outcome_of(error, was_run) is outcome


NAMES = st.sampled_from(["echo", "graph", "raise", "guarded", "missing", "wait"])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=8), st.integers(0, 3))
def test_each_start_has_one_end(calls: list[tuple[str, bool]], finished: int) -> None:
    """Whenever the session ends, each call that started has been reported as ended once."""
    pair, client, server = traced(policy=STRICT.but(max_calls=3))
    for name, wants_answer in calls:
        pair.client.outgoing.call(ROOT, name, (), {}, wants_answer=wants_answer)
    pair.exchange()
    for number, event in enumerate(pair.server_host.of(CallPending)):
        event.result.close()
        if number < finished:
            pair.server.finish(event.ticket, number)
    pair.exchange()
    for event in pair.server_host.of(CallPending):
        event.result.close()
    pair.server.end()
    pair.client.end()
    for recorder in (client, server):
        assert len(recorder.ended) == len(recorder.started)
    assert len(client.started) == len(calls)
