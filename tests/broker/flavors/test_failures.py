"""What a peer gets to see of an exception of ours."""

from __future__ import annotations

from typing import Any

import pytest
from memory import PUBLISHED_WIRE, BrokerPair

from broker import errors
from broker.core.dispatch import note_raised
from broker.core.policy import PUBLISHED, STRICT
from broker.defer import fail
from broker.errors import Error, NoSuchMethod, WrongArguments
from broker.failure import qual
from broker.flavors.copyable import Copyable, register
from broker.flavors.failures import CopiedFailure, shown_error
from broker.flavors.referenceable import Referenceable, Root

BUILTINS = ["builtins.Exception", "builtins.BaseException", "builtins.object"]


class Refused(Error):
    """An error of the application that no registry knows."""


class RefusedToday(Refused):
    """One more of them, on a base that no registry knows either."""


def shown(error: Exception, policy: Any = STRICT) -> dict[str, Any]:
    """Return the state that is sent of an exception."""
    failure, _ = shown_error(error, policy)
    state: dict[str, Any] = failure.getStateToCopy()
    return state


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (
            WrongArguments("two"),
            ["broker.errors.WrongArguments", "builtins.TypeError", *BUILTINS],
        ),
        (
            NoSuchMethod("none"),
            ["twisted.spread.flavors.NoSuchMethod", "builtins.AttributeError", *BUILTINS],
        ),
        (
            Refused("no"),
            [f"{__name__}.Refused", "twisted.spread.pb.Error", *BUILTINS],
        ),
    ],
    ids=["wrong arguments", "no such method", "unregistered pb.Error"],
)
def test_builtin_bases_are_shown(error: Exception, parents: list[str]) -> None:
    """Under the strict policy a peer can trap an error by its builtin base too."""
    state = shown(error)
    assert (parents, parents[0].encode(), str(error)) == (
        state["parents"],
        state["type"],
        state["value"],
    )


def test_bases_that_are_not_registered_are_not_shown() -> None:
    """Of a registered error, a base that is neither registered nor a builtin stays at home."""
    parents = [f"{__name__}.RefusedToday", "twisted.spread.pb.Error", *BUILTINS]
    assert parents == shown(RefusedToday("no"))["parents"]


def test_a_hidden_error_is_a_remote_error() -> None:
    """Of an exception that is not registered a peer sees a RemoteError, which is an Exception."""
    state = shown(ZeroDivisionError("secret"))
    assert ["twisted.spread.pb.RemoteError", *BUILTINS] == state["parents"]
    assert state["type"] == b"twisted.spread.pb.RemoteError"
    assert "secret" not in str(state)


def test_the_published_policy_shows_all_bases() -> None:
    """The published policy shows every exception as it is."""
    state = shown(ZeroDivisionError("by zero"), PUBLISHED)
    assert ["builtins.ZeroDivisionError", "builtins.ArithmeticError", *BUILTINS] == state["parents"]
    assert state["value"] == "by zero"


# What the two ends say of a call, and what a method raises about another connection.

SAID = [
    errors.CallTimeout("x"),
    errors.CannotJelly("x"),
    errors.DeadReferenceError("x"),
    errors.InsecureJelly("x"),
    errors.LimitExceeded("x"),
    errors.LoginExpired("x"),
    errors.MalformedJelly("x"),
    errors.NoSuchMethod("x"),
    errors.NoSuchObject("x"),
    errors.PBConnectionLost("x"),
    errors.ProtocolError("x"),
    errors.ServerBusy("x"),
    errors.ServerDraining("x"),
    errors.TooLarge("x"),
    errors.TooManyAttempts("x"),
    errors.WrongArguments("x"),
]
POLICIES = [
    pytest.param(STRICT, id="strict"),
    pytest.param(PUBLISHED, id="published"),
    pytest.param(PUBLISHED_WIRE, id="strict, pb"),
    pytest.param(PUBLISHED.but(dialects=("pb", "none")), id="published, pb"),
]


class Lost(errors.PBConnectionLost):
    """An application's own kind of it, registered."""


register(Lost)


class Relay(Root):
    """Raises, in each way that a method can."""

    def __init__(self, error: Exception | None = None):
        self.error = error

    def remote_raise(self) -> None:
        """At once."""
        raise self.error or ValueError

    def remote_with_graph(self, argument: Any) -> None:
        """At once, with an argument that is no plain value."""
        raise self.error or ValueError

    async def remote_later(self) -> None:
        """In a coroutine."""
        raise self.error or ValueError

    def remote_deferred(self) -> Any:
        """By a Deferred."""
        return fail(self.error or ValueError())

    def remote_ask(self, other: Any, name: str) -> Any:
        """Pass on what another object's method raises."""
        return other.callRemote(name)

    async def remote_ask_later(self, other: Any, name: str) -> Any:
        """Do the same in a coroutine."""
        return await other.callRemote(name)

    def remote_large(self, size: int) -> bytes:
        """Return more than the wire takes."""
        return bytes(size)

    def remote_unsendable(self) -> Any:
        """Return what cannot be sent."""
        return object()


class Hooked(Relay):
    """Takes calls itself, and hands them on."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Do what the default does."""
        return super().remoteMessageReceived(broker, message, args, kw)


def called(root: Root, policy: Any, name: str, *args: Any) -> CopiedFailure:
    """Return what a call fails with."""
    failure = BrokerPair(root, policy=policy).call(name, *args)
    assert type(failure) is CopiedFailure
    return failure


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", ["raise", "with_graph", "later", "deferred"])
def test_a_method_speaks_of_another_connection(error: Any, policy: Any, way: str) -> None:
    """What it raises is a RemoteError with that remoteType, and trapped by its name."""
    args = (Referenceable(),) if way == "with_graph" else ()
    for relay in (Relay, Hooked):
        # A new one each time: what was raised once is noted.
        root = relay(type(error)("x"))
        failure = called(root, policy, way, *args)
        made = failure.as_exception()
        assert type(made) is errors.RemoteError
        assert (made.remoteType, made.value) == (qual(type(error)), "x")
        assert failure.check(type(error)) is type(error)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_peer_refuses(policy: Any) -> None:
    """What the peer itself says of this call is raised as the class."""

    class Unsendable(Copyable):
        pass

    for root in (Relay(), Hooked()):
        for cls, name, args in (
            (errors.NoSuchMethod, "nothing", ()),
            (errors.WrongArguments, "raise", (1,)),
            (errors.WrongArguments, "raise", (Referenceable(),)),
            (errors.InsecureJelly, "ask", (Unsendable(), "x")),
            (errors.CannotJelly, "unsendable", ()),
        ):
            assert type(called(root, policy, name, *args).as_exception()) is cls
    large = called(Relay(), policy, "large", 17 * 1024 * 1024)
    assert type(large.as_exception()) is errors.TooLarge
    pair = BrokerPair(Relay(), policy=policy)
    pair.server.drain()
    assert type(pair.call("raise").as_exception()) is errors.ServerDraining
    pair = BrokerPair(Relay(), policy=policy.but(max_calls=0))
    assert type(pair.call("raise").as_exception()) is errors.ServerBusy


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("way", ["ask", "ask_later"])
def test_what_another_peer_refuses(policy: Any, way: str) -> None:
    """A refusal of another peer's is a RemoteError further on; so is what its method raised."""
    for other, name, kind in (
        (Relay(), "nothing", "twisted.spread.flavors.NoSuchMethod"),
        (Relay(errors.ServerBusy("x")), "raise", "broker.errors.ServerBusy"),
        (Relay(errors.PBConnectionLost("x")), "raise", "twisted.spread.pb.PBConnectionLost"),
    ):
        failure = called(Relay(), policy, way, other, name)
        made = failure.as_exception()
        assert type(made) is errors.RemoteError
        assert made.remoteType == kind
        assert failure.check(kind)


@pytest.mark.parametrize("policy", POLICIES)
def test_errors_of_an_application_are_what_they_are(policy: Any) -> None:
    """A registered subclass, and what says nothing of a call, arrive as the class."""
    for error in (Lost("x"), errors.Error("x")):
        assert type(called(Relay(error), policy, "raise").as_exception()) is type(error)


def test_an_unmarked_error() -> None:
    """A peer that marks nothing, as Twisted's, refuses calls with the names that it has."""
    for name, cls in (
        (b"twisted.spread.flavors.NoSuchMethod", errors.NoSuchMethod),
        (b"twisted.spread.pb.PBConnectionLost", errors.RemoteError),
        (b"twisted.spread.pb.DeadReferenceError", errors.RemoteError),
    ):
        failure = CopiedFailure.__new__(CopiedFailure)
        failure.setCopyableState({"type": name, "value": "x"})
        assert type(failure.as_exception()) is cls


def test_what_a_twisted_peer_gets() -> None:
    """The fields of PB come first; ours stand behind them, and only where there are any."""
    state = shown(errors.ServerBusy("x"))
    assert list(state)[-1] == "traceback"
    busy = errors.ServerBusy("x")
    note_raised(busy)
    assert list(shown(busy))[-2:] == ["traceback", "raised"]
    assert list(shown(errors.TooManyAttempts("x", after=5.0)))[-2:] == ["traceback", "fields"]
