"""The other end of a connection, and the caller of the current remote method."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from broker.core.principal import Principal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from broker.connection.broker import Broker
    from broker.connection.connection import Connection

__all__ = ["CURRENT_CALL", "Call", "Peer", "current_call", "new_principal", "peer_of"]


class Peer(Struct):
    """The other end of a connection, as one of its logins.

    Attributes:
        address: its address; None if the transport does not tell it.
        avatar_id: the user that it has logged in as; None before a login, and without one.
        groups: the groups that this user is in, as the checker returned them.
        mechanism: how it logged in, such as ``"SCRAM-SHA-256"`` or ``"anonymous"``; None before.
        certificate: its TLS certificate, which was verified, or None.
        proxy: the address of the trusted proxy that it has come through, or None.
    """

    address: Any = None
    avatar_id: str | None = None
    groups: frozenset[str] = frozenset()
    mechanism: str | None = None
    certificate: Certificate | None = None
    proxy: Any = None


class Call(Struct, frozen=True):
    """The call of the peer that the current code handles.

    Attributes:
        peer: the caller: the login that the called object belongs to.
        connection: the connection of the call.
    """

    peer: Peer
    connection: Connection


CURRENT_CALL: ContextVar[Call] = ContextVar("broker.current_call")


def current_call() -> Call:
    """Return the current call, in a synchronous or async remote method and its awaits and tasks.

    The caller of an avatar is the user who has logged in to it, even if other users have logged in
    on the same connection. The same is true for objects that were sent to that user: results of
    such calls, and arguments of calls to the objects of the user.

    Raises:
        LookupError: no remote method is running here.
    """
    try:
        return CURRENT_CALL.get()
    except LookupError:
        raise LookupError("current_call() is for remote methods; none is running here") from None


def new_principal(broker: Broker) -> Principal:
    """Return a new user of a connection, with a Peer of its own; see :func:`peer_of`."""
    known = broker.peer
    peer = Peer(known.address, certificate=known.certificate, proxy=known.proxy)
    context = broker.session.incoming.context.copy()
    context.run(CURRENT_CALL.set, Call(peer, broker.connection))
    return Principal(broker.session.translator, context)


def peer_of(principal: Principal) -> Peer:
    """Return the ``current_call().peer`` of the calls of a principal."""
    return principal.context[CURRENT_CALL].peer
