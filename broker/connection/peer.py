"""The other end of a connection, and the caller of the current remote method."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from broker.core.principal import Principal, current_principal
from broker.printable import printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from broker.connection.broker import Broker
    from broker.connection.connection import Connection

__all__ = [
    "CURRENT_CALL",
    "Call",
    "Peer",
    "SharedCall",
    "by_names",
    "current_call",
    "new_principal",
    "peer_of",
]


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


class Call(Struct, eq=False):
    """A call: of the peer, or of this end for observers and interceptors.

    It has neither arguments nor a result.

    Attributes:
        peer: the caller of an incoming call: the login that the called object belongs to. Else the
            other end.
        connection: the connection of the call.
        name: the method, without its prefix. The name of an incoming call is text of the peer. In
            a task, or a thread, that a method has started which is not async, it is empty, unless
            the call has metadata or a deadline.
        is_incoming: whether the peer makes the call.
        wants_answer: False for a one-way call.
        target: the class of the called object; None if it is not known, as of an outgoing call.
        meta: the metadata as it is on the wire, or None.
    """

    peer: Peer
    connection: Connection
    name: str = ""
    is_incoming: bool = True
    wants_answer: bool = True
    target: type | None = None
    # The deadline, by the clock of the connection, or None.
    _due: float | None = None
    meta: Mapping[str, str] | None = None
    # The name of the contract; None for that of the target.
    _contract: str | None = None
    _metadata: dict[str, str] | None = None

    def __repr__(self) -> str:
        way = "from" if self.is_incoming else "to"
        return f"<Call of {printable(self.name)!r} {way} {self.peer.address}>"

    @property
    def contract(self) -> str | None:
        """The name of the contract of the method, or None."""
        if self._contract is None and self.target is not None:
            # Imported here: most programs have no contracts.
            from broker.flavors.contracts.contract import contracts_of

            contracts = contracts_of(self.target)
            return next((each.name for each in contracts if self.name in each.methods), None)
        return self._contract

    @property
    def metadata(self) -> dict[str, str]:
        """Text that comes with the call by name; see `broker.metadata`.

        Nothing of it is verified. An interceptor of an outgoing call may change it.
        """
        if self._metadata is None:
            self._metadata = by_names(self.meta)
        return self._metadata

    @property
    def deadline(self) -> float | None:
        """The seconds for which the caller will wait, 0 if they are over; None without a limit."""
        if self._due is None:
            return None
        return max(0.0, self._due - self.connection.broker.now)


class SharedCall(Call):
    """The record of all calls of a login that have none of their own.

    These have neither metadata nor a deadline, and their methods are not async. Name, target and
    whether an answer is wanted are those of the call whose method runs.
    """

    _thread: int = field(default_factory=get_ident)

    def _last(self) -> tuple[str, type | None, bool]:
        """Return the call whose method runs: its name, its class, and if it wants an answer."""
        if get_ident() != self._thread:
            # A thread that a method has started; meanwhile another method may run.
            return _NO_CALL
        session = self.connection.broker.session
        principal = current_principal(session.translator)
        context = session.incoming.context if principal is None else principal.context
        try:
            context.run(_nothing)
        except RuntimeError:
            # The context is in use: the method runs, and this is not a task that it has started.
            return session.incoming.runner.last or _NO_CALL
        return _NO_CALL

    @property  # type: ignore[misc]
    def name(self) -> str:  # type: ignore[override]
        """See the base class."""
        return self._last()[0]

    @property  # type: ignore[misc]
    def target(self) -> type | None:  # type: ignore[override]
        """See the base class."""
        return self._last()[1]

    @property  # type: ignore[misc]
    def wants_answer(self) -> bool:  # type: ignore[override]
        """See the base class."""
        return self._last()[2]

    @property
    def metadata(self) -> dict[str, str]:
        """An empty dict."""
        return {}


_NO_CALL: tuple[str, type | None, bool] = ("", None, True)


def _nothing() -> None:
    """Return None."""


CURRENT_CALL: ContextVar[Call] = ContextVar("broker.current_call")


def by_names(meta: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata of the application among what is on the wire, by its names."""
    return {
        key[2:].replace("-", "_"): value
        for key, value in (meta or {}).items()
        if key.startswith("x-")
    }


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
    context.run(CURRENT_CALL.set, SharedCall(peer, broker.connection))
    return Principal(broker.session.translator, context)


def peer_of(principal: Principal) -> Peer:
    """Return the ``current_call().peer`` of the calls of a principal."""
    return principal.context[CURRENT_CALL].peer
