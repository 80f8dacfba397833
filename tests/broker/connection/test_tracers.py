"""Several tracers of a session: each is told, and none harms another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from support.memory import PUBLISHED_WIRE, BrokerPair

from broker.connection.tracers import add_tracer, remove_tracer
from broker.core.policy import STRICT
from broker.core.tracer import Outcome
from broker.flavors.referenceable import Referenceable


class Recorder:
    """A tracer that records what it is told."""

    def __init__(self, fault: type[Exception] | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.fault = fault

    def __getattr__(self, name: str) -> Any:
        if name == "never_raises":
            raise AttributeError(name)

        def tell(*args: Any) -> Any:
            self.told.append((name, *args))
            if self.fault is not None:
                raise self.fault(name)
            return f"token of {args[0]}" if name == "call_started" else None

        return tell

    def names(self) -> list[str]:
        """Return what it was told but sizes."""
        return [each[0] for each in self.told if each[0] not in ("received", "sent")]


class Server(Referenceable):
    """One method."""

    def remote_echo(self, value: Any = None) -> Any:
        """Return the value."""
        return value


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED_WIRE])
def test_added_and_removed(policy: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A tracer is told from its addition to its removal; one that raises is logged once a type."""
    pair = BrokerPair(Server(), policy=policy)
    session = pair.server.session
    bad, good = Recorder(ZeroDivisionError), Recorder()
    caplog.set_level(logging.ERROR, "broker.observers")
    add_tracer(session, bad)
    add_tracer(session, good)
    for _ in range(2):
        pair.root.callRemote("echo", 1)
        pair.exchange()
    assert good.names() == ["opened", *["call_started", "call_ended"] * 2]
    assert ("call_ended", "token of echo", Outcome.ANSWERED, None) in good.told
    assert ("call_ended", None, Outcome.ANSWERED, None) in bad.told
    assert [record.getMessage() for record in caplog.records] == ["the observer Recorder raised"]
    remove_tracer(session, bad)
    assert session.tracing is not None
    remove_tracer(session, good)
    remove_tracer(session, good)
    assert session.tracing is None
    before = len(good.told)
    pair.root.callRemote("echo", 1)
    pair.exchange()
    assert len(good.told) == before
    assert pair.server.session.stats.calls_received >= 3


class Direct(Recorder):
    """A tracer that never raises."""

    never_raises = True
    has_calls = True
    timer = None

    def begin(self, name: str, wants_answer: bool, target: type) -> Any:
        """Record it as the start of a call."""
        return self.call_started(name, True, wants_answer, target)


def _told(name: str) -> Callable[..., Any]:
    return lambda self, *args: self.__getattr__(name)(*args)


# Since Python 3.12, a class has a protocol only if the methods are in it.
for _name in (
    *("opened", "closed", "call_started", "call_ended", "received", "sent", "limit_hit", "login"),
    *("stream_opened", "stream_ended", "slow"),
):
    setattr(Direct, _name, _told(_name))


def test_a_tracer_that_is_told_directly() -> None:
    """The only tracer that never raises is told by the session; with a second both are told."""
    pair = BrokerPair(Server(), policy=STRICT)
    session = pair.server.session
    direct, other = Direct(), Recorder()
    add_tracer(session, direct)
    pair.root.callRemote("echo", 1)
    pair.exchange()
    assert session.tracing is not None
    assert "received" not in {each[0] for each in direct.told}
    # This call starts with one tracer and ends with two, the next the other way round.
    hub = session.tracing.tracer
    early = hub.call_started("early", True, True, None)
    add_tracer(session, other)
    hub.call_ended(early, Outcome.ANSWERED, None)
    late = hub.call_started("late", True, True, None)
    remove_tracer(session, other)
    hub.call_ended(late, Outcome.RAISED, None)
    hub.limit_hit("max_calls")
    told = [each for each in direct.told if each[0] in ("call_started", "call_ended", "limit_hit")]
    assert told == [
        ("call_started", "echo", True, True, Server),
        ("call_ended", "token of echo", Outcome.ANSWERED, None),
        ("call_started", "early", True, True, None),
        ("call_ended", "token of early", Outcome.ANSWERED, None),
        ("call_started", "late", True, True, None),
        ("call_ended", "token of late", Outcome.RAISED, None),
        ("limit_hit", "max_calls"),
    ]
    assert other.names() == ["opened", "call_started", "call_ended"]
    remove_tracer(session, direct)
    assert session.tracing is None


def test_a_tracer_without_calls() -> None:
    """It is not told of calls, and the one beside it is told of them by the session as before."""
    pair = BrokerPair(Server(), policy=STRICT)
    session = pair.server.session
    quiet, direct, later = Direct(), Direct(), Direct()
    quiet.has_calls = False
    add_tracer(session, quiet)
    assert session.incoming.tracing is None
    pair.root.callRemote("echo", 1)
    pair.exchange()
    add_tracer(session, direct)
    assert session.tracing is not None and session.tracing.begin == direct.begin
    hub = session.tracing.tracer
    early, second = (hub.call_started(name, True, True, None) for name in ("early", "second"))
    remove_tracer(session, direct)
    hub.call_ended(early, Outcome.ANSWERED, None)
    pair.root.callRemote("echo", 1)
    pair.exchange()
    add_tracer(session, later)
    pair.root.callRemote("echo", 1)
    pair.exchange()
    # It began before the other was there.
    hub.call_ended(second, Outcome.ANSWERED, None)
    assert direct.names() == ["opened", *["call_started"] * 2, *["call_ended"] * 2]
    assert later.names() == ["opened", "call_started", "call_ended"]
    assert quiet.names() == ["opened"]


class Counted:
    """Times of calls."""

    most_short = 0.5

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self.short, self.seconds = 0, 0.0
        self.longer: list[float] = []

    def add(self, seconds: float) -> None:
        """Keep them."""
        self.longer.append(seconds)


def test_a_tracer_that_takes_times() -> None:
    """A quick call counts itself in the times of its method; sizes are not told."""
    pair = BrokerPair(Server(), policy=STRICT)
    session = pair.server.session
    timer, other = Direct(), Recorder()
    timer.timer = timer  # type: ignore[assignment]
    clock = iter((1.5, 1.75, 2.0, 9.0))
    times = Counted(lambda: next(clock))
    timer.timed = lambda target, methods: {  # type: ignore[attr-defined]
        name: replace(each, times=times) for name, each in methods.items() if target is Server
    }
    # The methods of this object were found before.
    pair.root.callRemote("echo", 1)
    pair.exchange()
    add_tracer(session, timer)
    for _ in range(2):
        pair.root.callRemote("echo", 1)
        pair.exchange()
    assert (times.short, times.seconds, times.longer) == (1, 0.25, [7.0])
    assert timer.told == [("opened", "msgpack/1")]
    add_tracer(session, other)
    pair.root.callRemote("echo", 1)
    pair.exchange()
    assert timer.names()[1:] == ["call_started", "call_ended"]
    assert {"received", "sent"} <= {each[0] for each in timer.told}
    assert other.names() == ["opened", "call_started", "call_ended"]
    assert times.short == 1


def test_a_tracer_of_its_own() -> None:
    """A session that has another tracer keeps it."""
    pair = BrokerPair(Server(), policy=STRICT)
    pair.server.session.trace(Recorder())
    with pytest.raises(RuntimeError, match="has a tracer of its own"):
        add_tracer(pair.server.session, Recorder())
    remove_tracer(pair.server.session, Recorder())
    assert pair.server.session.tracing is not None
