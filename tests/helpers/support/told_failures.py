"""Errors that an end tells of, what a peer is shown of them, and a relay."""

from __future__ import annotations

from typing import Any

from broker import errors
from broker.core.policy import STRICT
from broker.defer import fail
from broker.flavors.failures import CopiedFailure, shown_error
from broker.flavors.referenceable import Root
from support.memory import BrokerPair

__all__ = ["BUILTINS", "SAID", "Relay", "called", "is_raised_as", "shown"]

BUILTINS = ["builtins.Exception", "builtins.BaseException", "builtins.object"]


def shown(error: Exception, policy: Any = STRICT) -> dict[str, Any]:
    """Return the state that is sent of an exception."""
    failure, _ = shown_error(error, policy)
    state: dict[str, Any] = failure.getStateToCopy()
    return state


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


def is_raised_as(error: Any, cls: type, policy: Any) -> bool:
    """Whether an error is of a class, and where the policy is the published one a RemoteError."""
    if policy.published_errors:
        return error.__class__ is cls and isinstance(error, errors.RemoteError)
    return type(error) is cls


def called(root: Root, policy: Any, name: str, *args: Any) -> CopiedFailure:
    """Return what a call fails with."""
    failure = BrokerPair(root, policy=policy).call(name, *args)
    assert type(failure) is CopiedFailure
    return failure
