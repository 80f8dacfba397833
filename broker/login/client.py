"""Logging in: what a client says to a server that wants to know who it is.

Whatever the server refuses a login with is a LoginFailed here. TooManyAttempts, ServerBusy and
ServerDraining, which end other calls too, get a subclass of their own for that.

The offer of a server of ours names the logins that it takes. The client takes the strongest of them
that fits what it was given and that its own policy allows; that one and no other, whatever comes of
it. A server whose offer names none is Twisted's, or has no login: it is sent PB's challenge login,
or PB's login of a guest, and never a call that Twisted does not know. See ``broker.login.server``
for the other side, ``broker.login.mechanisms`` for each.
"""

from __future__ import annotations

from typing import Any

from broker.connection.broker import Broker
from broker.defer import Deferred, maybeDeferred
from broker.errors import RemoteError, ServerBusy, ServerDraining, TooManyAttempts, WrongType
from broker.failure import Failure
from broker.flavors.received import as_received
from broker.flavors.reference import RemoteReference
from broker.login.mechanisms import MECHANISMS
from broker.login.mechanisms.anonymous import ANONYMOUS
from broker.login.mechanisms.challenge import CHALLENGE
from broker.login.mechanisms.mechanism import Mechanism
from cred.credentials import Scram
from cred.error import LoginFailed

__all__ = ["LoginPutOff", "LoginWhileBusy", "LoginWhileDraining", "fitting_mechanisms", "login"]


class LoginPutOff(TooManyAttempts, LoginFailed):
    """Too many logins have failed; ``after`` tells in how many seconds one may be tried again."""


class LoginWhileBusy(ServerBusy, LoginFailed):
    """The server has no room for a login now."""


class LoginWhileDraining(ServerDraining, LoginFailed):
    """The server is shutting down, and lets nobody in any more."""


# What a refusal is at a login.
_AT_A_LOGIN: dict[type[Exception], type[Exception]] = {
    TooManyAttempts: LoginPutOff,
    ServerBusy: LoginWhileBusy,
    ServerDraining: LoginWhileDraining,
}


def login(broker: Broker, credentials: Any, mind: Any = None) -> Deferred[RemoteReference]:
    """Log in over a connection, and return a Deferred of the avatar.

    Args:
        broker: the client's side, ready for calls.
        credentials: what to show, of ``cred.credentials``: UsernamePassword, or anything else with
            ``username`` and ``password``; Scram; Token; ClientCertificate; Anonymous.
        mind: what the realm gets to know of this client, usually a Referenceable, or None.

    The Deferred fails with LoginFailed or a subclass when the server refuses, when it asks for no
    login, when it takes nothing of this kind, or when it offers only what the policy does not
    allow. A refusal that is worth another try is a TooManyAttempts, ServerBusy, ServerDraining or
    LoginUnavailable too; see ``broker.is_transient``.

    Raises:
        WrongType: a TypeError: ``credentials`` are none.
    """
    fitting = fitting_mechanisms(credentials)

    def begun() -> Deferred[Any]:
        mechanism = _choose(broker, credentials, fitting)
        entered = mechanism.log_in(broker, broker.remoteForName(b"root"), credentials, mind)
        return entered.addCallback(logged_in, mechanism)

    def logged_in(avatar: Any, mechanism: Mechanism) -> Any:
        broker.peer.mechanism = mechanism.name
        return avatar

    return maybeDeferred(begun).addErrback(_refused)


def _refused(failure: Failure) -> Any:
    """Return a failed login as a LoginFailed, where the server has refused it in other words."""
    refusal = failure.check(*_AT_A_LOGIN)
    error = failure.as_exception()
    if refusal is None or isinstance(error, LoginFailed):
        return failure
    made = _AT_A_LOGIN[refusal](*error.args)
    if isinstance(made, TooManyAttempts):
        made.after = getattr(error, "after", 0.0)
    raise (as_received(made, error) if isinstance(error, RemoteError) else made) from None


def fitting_mechanisms(credentials: Any) -> list[Mechanism]:
    """Return the mechanisms that take credentials of this kind, the strongest first.

    Raises:
        WrongType: a TypeError: there is none.
    """
    fitting = [mechanism for mechanism in MECHANISMS if mechanism.accepts(credentials)]
    if not fitting:
        if isinstance(credentials, type):
            name = credentials.__name__
            raise WrongType(f"credentials are an object, not the class {name}: write {name}(…)")
        text = f"{type(credentials).__name__} is no credentials of cred.credentials"
        if isinstance(credentials, tuple | list | dict):
            text += ": give UsernamePassword(name, password)"
        raise WrongType(text)
    return fitting


def _choose(broker: Broker, credentials: Any, fitting: list[Mechanism]) -> Mechanism:
    """Return the mechanism to use: the strongest of those that fit and that the server names.

    Raises:
        LoginFailed: there is none, or none that the policy and this connection are fit for.
    """
    names = broker.session.logins
    if ANONYMOUS in fitting:
        return ANONYMOUS
    if names is None:
        return _published(credentials, fitting)
    refusals = []
    for mechanism in fitting:
        if mechanism.name in names:
            refusal = mechanism.client_refusal(broker, credentials)
            if refusal is None:
                return mechanism
            refusals.append(refusal)
    if refusals:
        raise LoginFailed(refusals[-1])
    known = [mechanism.name for mechanism in MECHANISMS if mechanism.name in names]
    raise LoginFailed(
        f"this server takes: {', '.join(known) or 'no login that is known here'};"
        f" you gave {_given(credentials, fitting)}"
    )


def _given(credentials: Any, fitting: list[Mechanism]) -> str:
    """Return what a client has given, in words, and what that is for where it is not plain."""
    names = " or ".join(mechanism.name for mechanism in fitting)
    only = f" for {names} only" if isinstance(credentials, Scram) else ""
    return fitting[0].asks_for + only


def _published(credentials: Any, fitting: list[Mechanism]) -> Mechanism:
    """Return the mechanism for a server that names none, which may be Twisted's."""
    if CHALLENGE not in fitting:
        raise LoginFailed(
            "this server is Twisted's, or asks for no login;"
            f" you gave {_given(credentials, fitting)}"
        )
    return CHALLENGE
