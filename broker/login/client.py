"""The client's side of a login.

A refused login is always a LoginFailed here. TooManyAttempts, ServerBusy and ServerDraining, which
end other calls too, get subclasses for that.

The offer of a server with this library names the mechanisms that it takes. The client uses the
strongest of them that takes its credentials and that its policy allows. If that one fails, it tries
no other. A server whose offer names no mechanism is Twisted's, or has no login. The client then
uses PB's challenge login, or PB's anonymous login, and never a call that Twisted does not know. See
``broker.login.server`` for the other side, ``broker.login.mechanisms`` for each mechanism.
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
    """Too many logins have failed; ``after`` is the number of seconds until the next try."""


class LoginWhileBusy(ServerBusy, LoginFailed):
    """The server is too busy for a login now."""


class LoginWhileDraining(ServerDraining, LoginFailed):
    """The server is shutting down, and accepts no more logins."""


# The error of a login for each error that ends other calls too.
_AT_A_LOGIN: dict[type[Exception], type[Exception]] = {
    TooManyAttempts: LoginPutOff,
    ServerBusy: LoginWhileBusy,
    ServerDraining: LoginWhileDraining,
}


def login(broker: Broker, credentials: Any, mind: Any = None) -> Deferred[RemoteReference]:
    """Log in over a connection, and return a Deferred of the avatar.

    Args:
        broker: the client's side, ready for calls.
        credentials: of ``cred.credentials``: UsernamePassword, or another object with ``username``
            and ``password``; Scram; Token; ClientCertificate; Anonymous.
        mind: the object that the realm gets to call this client, usually a Referenceable, or None.

    The Deferred fails with LoginFailed or a subclass if the server refuses the login, asks for no
    login, takes no credentials of this kind, or offers only mechanisms that the policy does not
    allow. A refusal that is worth another try is also a TooManyAttempts, ServerBusy, ServerDraining
    or LoginUnavailable; see ``broker.is_transient``.

    Raises:
        WrongType: a TypeError: no mechanism takes ``credentials``.
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
    """Return the failure; raise a LoginFailed instead if it is a refusal of another type."""
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
        WrongType: a TypeError: no mechanism takes them.
    """
    fitting = [mechanism for mechanism in MECHANISMS if mechanism.accepts(credentials)]
    if not fitting:
        if isinstance(credentials, type):
            name = credentials.__name__
            raise WrongType(f"credentials are an object, not the class {name}: write {name}(…)")
        text = f"{type(credentials).__name__} is not credentials of cred.credentials"
        if isinstance(credentials, tuple | list | dict):
            text += ": give UsernamePassword(name, password)"
        raise WrongType(text)
    return fitting


def _choose(broker: Broker, credentials: Any, fitting: list[Mechanism]) -> Mechanism:
    """Return the strongest mechanism that takes the credentials and that the server names.

    Raises:
        LoginFailed: there is no such mechanism, or the policy or this connection forbids it.
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
        raise refusals[-1]
    known = [mechanism.name for mechanism in MECHANISMS if mechanism.name in names]
    raise LoginFailed(
        f"this server takes: {', '.join(known) or 'no login that is known here'};"
        f" you gave {_given(credentials, fitting)}"
    )


def _given(credentials: Any, fitting: list[Mechanism]) -> str:
    """Return the credentials in words, with the mechanisms they are limited to, if any."""
    names = " or ".join(mechanism.name for mechanism in fitting)
    only = f" for {names} only" if isinstance(credentials, Scram) else ""
    return fitting[0].asks_for + only


def _published(credentials: Any, fitting: list[Mechanism]) -> Mechanism:
    """Return the mechanism for a server that names no mechanisms, which may be Twisted's."""
    if CHALLENGE not in fitting:
        raise LoginFailed(
            "this server is Twisted's, or asks for no login;"
            f" you gave {_given(credentials, fitting)}"
        )
    return CHALLENGE
