"""What a connection shows of itself at one moment: its session, its peer, and its buffers."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from broker.core.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from broker.connection.broker import Broker

__all__ = ["ConnectionSnapshot", "State", "snapshot_of", "state_of"]


class State(Enum):
    """The state of a connection, in one word."""

    CONNECTING = "connecting"  # the dialect is not chosen
    FLOWING = "flowing"
    SLOW = "slow"  # more than Policy.high_water bytes are unsent
    HELD = "held"  # the peer's calls wait
    CLOSING = "closing"
    CLOSED = "closed"


class ConnectionSnapshot(Struct, frozen=True):
    """One connection at one moment.

    Attributes:
        session: the protocol's part.
        is_client: whether this is the client's side.
        state: the state of the connection.
        address: the peer's address, as text.
        is_secure: whether the transport is TLS.
        avatar_id, mechanism: of the login of the peer; None before a login and without one. See
            `broker.Peer`.
        last_heard: time of the last received byte, by the clock of the connection, in seconds; None
            in the dialects without pings.
        round_trip: seconds that the last answered ping took; None before.
        unsent: bytes that the transport has taken and not sent.
        unsent_in_kernel: bytes that the kernel has taken and the peer's kernel has not; None where
            that is not known.
        slow_since: when more than ``high_water`` bytes became unsent, by the clock of the
            connection; None if they are not.
        is_reading: whether received bytes are read.
        open_calls: the methods of the outgoing calls without an answer, oldest first.
    """

    session: SessionSnapshot
    is_client: bool
    state: State
    address: str
    is_secure: bool
    avatar_id: str | None
    mechanism: str | None
    last_heard: float | None
    round_trip: float | None
    unsent: int
    unsent_in_kernel: int | None
    slow_since: float | None
    is_reading: bool
    open_calls: tuple[str, ...]


def state_of(broker: Broker) -> State:
    """Return the state of a connection."""
    port = None if broker.transport is None else broker.port
    if broker.disconnected:
        return State.CLOSED
    if port is not None and port.is_closing:
        return State.CLOSING
    if broker.session.dialect is None:
        return State.CONNECTING
    inbox = broker.session.inbox
    if inbox.holds_calls or inbox.is_full:
        return State.HELD
    is_slow = port is not None and port.unsent > broker.policy.high_water
    return State.SLOW if is_slow else State.FLOWING


def snapshot_of(
    broker: Broker, last_heard: float | None, round_trip: float | None = None
) -> ConnectionSnapshot:
    """Return what a connection shows; takes time in proportion to the number of open calls."""
    session, peer = broker.session.snapshot(), broker.peer
    port = None if broker.transport is None else broker.port
    return ConnectionSnapshot(
        session=session,
        is_client=bool(broker.isClient),
        state=state_of(broker),
        address="" if peer.address is None else str(peer.address),
        is_secure=port is not None and port.is_secure,
        avatar_id=peer.avatar_id,
        mechanism=peer.mechanism,
        last_heard=last_heard,
        round_trip=round_trip,
        unsent=0 if port is None else port.unsent,
        unsent_in_kernel=None if port is None else port.unsent_in_kernel(),
        slow_since=broker.pump.slow_since,
        is_reading=broker.pump.is_reading,
        open_calls=broker.calls.names,
    )
