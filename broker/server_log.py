"""The two log records of a connection of a server, its begin and its end, with all facts."""

from __future__ import annotations

import logging
import time

from msgspec import Struct

from broker.connection.broker import Broker
from broker.printable import printable, text_of_value

__all__ = ["Accepted", "begun", "ended"]

logger = logging.getLogger("broker.server")

_LONGEST_NAME = 64


class Accepted(Struct, frozen=True):
    """A connection that a server has accepted.

    Attributes:
        number: its number; the first connection of a server is 1.
        since: when it was accepted, by ``time.monotonic``, in seconds.
    """

    number: int
    since: float

    @property
    def age(self) -> float:
        """The seconds since it was accepted."""
        return time.monotonic() - self.since


def begun(broker: Broker, accepted: Accepted) -> None:
    """Log that a connection was accepted."""
    if not logger.isEnabledFor(logging.INFO):
        return
    address = broker.peer.address
    facts = {
        "event": "connection opened",
        "connection": accepted.number,
        "peer": _text(address),
    }
    broker.log_throttle.log(
        logger, logging.INFO, address, "connection from %s", address, facts=facts
    )


def ended(broker: Broker, accepted: Accepted) -> None:
    """Log that a connection has ended, and why."""
    if not logger.isEnabledFor(logging.INFO):
        return
    address, reason = broker.peer.address, text_of_value(broker.reason, 301)
    stats, peer = broker.session.stats, broker.peer
    facts = {
        "event": "connection closed",
        "connection": accepted.number,
        "peer": _text(address),
        "user": None if peer.avatar_id is None else _text(peer.avatar_id),
        "mechanism": peer.mechanism,
        "dialect": broker.dialect or None,
        "tls": broker.transport is not None and broker.port.is_secure,
        "seconds": round(accepted.age, 3),
        "calls_received": stats.calls_received,
        "calls_made": stats.calls_made,
        "bytes_received": stats.bytes_received,
        "bytes_sent": stats.bytes_sent,
        "limits": ",".join(sorted(stats.limits)) or None,
        "reason": printable(reason, 300, is_ascii=False),
    }
    text = "connection from %s ended: %s"
    broker.log_throttle.log(logger, logging.INFO, address, text, address, reason, facts=facts)


def _text(value: object) -> str:
    return printable(text_of_value(value, _LONGEST_NAME + 1), _LONGEST_NAME, is_ascii=False)
