"""Logging in: what a client says to a server that wants to know who it is.

A client with a password asks for the server's ``mechanisms()`` first; a server that has no such
method is Twisted's, and takes PB's challenge. See ``broker.admission`` for the other side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.addresses import is_private
from broker.admission import ANONYMOUSLY, CHALLENGE, PASSWORD
from broker.connection import Broker
from broker.defer import Deferred
from broker.errors import NoSuchMethod
from broker.failure import Failure
from broker.flavors.reference import RemoteReference
from cred import error as cred_error
from cred.challenges import respond
from cred.credentials import (
    IAnonymous,
)

__all__ = ["login"]

_ONLY_CHALLENGE = (
    "this server offers only the old challenge login; allow it with Policy(challenge_login=True)"
)


def login(broker: Broker, credentials: Any, mind: Any = None) -> Deferred[RemoteReference]:
    """Log in over a connection, and return a Deferred of the avatar.

    Args:
        broker: the client's side, ready for calls.
        credentials: Anonymous, or something with ``username`` and ``password``.
        mind: what the realm gets to know of this client, usually a Referenceable, or None.

    The Deferred fails with LoginFailed or a subclass when the server refuses, when it asks for no
    login, or when it offers only what the policy does not allow.
    """
    root = broker.remoteForName(b"root")

    def logged_in(avatar: Any, mechanism: str) -> Any:
        broker.peer.mechanism = mechanism
        return avatar

    if IAnonymous.providedBy(credentials):
        asked = root.callRemote("loginAnonymous", mind)
        return asked.addErrback(_no_login).addCallback(logged_in, ANONYMOUSLY)
    chosen = root.callRemote("mechanisms")
    chosen.addCallbacks(_choose, _old_server, callbackArgs=(broker,))
    return chosen.addCallback(
        lambda mechanism: _LOGINS[mechanism](broker, root, credentials, mind).addCallback(
            logged_in, mechanism
        )
    )


def _old_server(failure: Failure) -> str:
    failure.trap(NoSuchMethod)
    return CHALLENGE


def _choose(mechanisms: Any, broker: Broker) -> str:
    offered = mechanisms if isinstance(mechanisms, list) else []
    if PASSWORD in offered and is_private(broker.transport):
        return PASSWORD
    if CHALLENGE in offered:
        return CHALLENGE
    if PASSWORD in offered:
        raise cred_error.LoginFailed("a password is sent over TLS or the loopback only: use pbs://")
    names = ", ".join(name for name in offered if isinstance(name, str))[:200]
    raise cred_error.LoginFailed(f"this server takes no password from here; it takes: {names}")


def _with_password(
    broker: Broker, root: RemoteReference, credentials: Any, mind: Any
) -> Deferred[Any]:
    name, password = _as_bytes(credentials.username), _as_bytes(credentials.password)
    return root.callRemote("loginPassword", name, password, mind)


def _with_challenge(
    broker: Broker, root: RemoteReference, credentials: Any, mind: Any
) -> Deferred[Any]:
    policy = broker.policy

    def challenged(offer: Any) -> Any:
        if not policy.challenge_login:
            raise cred_error.LoginFailed(_ONLY_CHALLENGE)
        if not policy.insecure_plaintext and not is_private(broker.transport):
            raise cred_error.LoginFailed("the challenge login is used over TLS or loopback only")
        try:
            token, challenger = offer
        except (TypeError, ValueError):
            raise cred_error.LoginFailed("the server's challenge is not understood") from None
        if not isinstance(token, bytes) or not isinstance(challenger, RemoteReference):
            raise cred_error.LoginFailed("the server's challenge is not understood")
        answer = respond(token, _as_bytes(credentials.password))
        return challenger.callRemote("respond", answer, mind)

    asked = root.callRemote("login", _as_bytes(credentials.username))
    return asked.addErrback(_no_login).addCallback(challenged)


def _no_login(failure: Failure) -> Failure:
    if failure.check(NoSuchMethod):
        raise cred_error.LoginFailed("this server asks for no login: connect without credentials")
    # As it came, not raised: an errback traps it by the name of a class that is not known here.
    return failure


_LOGINS: dict[str, Callable[[Broker, RemoteReference, Any, Any], Deferred[Any]]] = {
    PASSWORD: _with_password,
    CHALLENGE: _with_challenge,
}


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text
