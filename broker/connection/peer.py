"""Who is at the other end, and who is calling at the moment."""

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
        address: where it connects from, or listens; None where the transport does not say.
        avatar_id: who it has logged in as; None before, and where there is no login.
        groups: the groups that this user is in, as the checker knows them.
        mechanism: how it logged in, such as ``"SCRAM-SHA-256"`` or ``"anonymous"``; None before.
        certificate: the TLS certificate that it showed and that was verified, or None.
    """

    address: Any = None
    avatar_id: str | None = None
    groups: frozenset[str] = frozenset()
    mechanism: str | None = None
    certificate: Certificate | None = None


class Call(Struct, frozen=True):
    """The call of a peer's in which the code that asks is running.

    Attributes:
        peer: who is calling: the login that the called object belongs to.
        connection: over which connection.
    """

    peer: Peer
    connection: Connection


CURRENT_CALL: ContextVar[Call] = ContextVar("broker.current_call")


def current_call() -> Call:
    """Return who is calling, in a plain or async remote method and in what it awaits or starts.

    An avatar is called by the user who has logged in to it, whoever else has logged in on the same
    connection, and so is what that user was given: the results of such calls, and what was passed
    to objects that the user handed over.

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
    peer = Peer(known.address, certificate=known.certificate)
    context = broker.session.context.copy()
    context.run(CURRENT_CALL.set, Call(peer, broker.connection))
    return Principal(broker.session.translator, context)


def peer_of(principal: Principal) -> Peer:
    """Return what the methods that a user calls see of that user."""
    return principal.context[CURRENT_CALL].peer
