"""What a fault of a plan does to a connection."""

from __future__ import annotations

from broker.testing.network import Wire
from simulation.plan import Fault

__all__ = ["is_harmless", "strike"]


def is_harmless(fault: Fault, offer_timeout: float) -> bool:
    """Return whether no call is lost: what is late arrives in the end.

    Args:
        fault: the fault.
        offer_timeout: seconds that an offer of dialects has.
    """
    return fault.kind == "stall" and fault.seconds < offer_timeout


def strike(wire: Wire, fault: Fault, now: float) -> None:
    """Let a fault happen to a connection.

    Args:
        wire: the connection.
        fault: the fault.
        now: the time.
    """
    client, server = (end.protocol for end in wire.ends)
    match fault.kind:
        case "stall":
            wire.flows[fault.side].stall(now + fault.seconds)
        case "cut":
            wire.lose((0.0, fault.seconds) if fault.side else (fault.seconds, 0.0))
        case "half-close":
            wire.flows[fault.side].finish()
        case "black hole":
            wire.stall()
        case "client closes":
            client.loseConnection()
        case "server closes":
            server.loseConnection()
        case "server aborts":
            server.abortConnection()
