"""Pauses and resumes reading from a peer, and measures the pauses."""

from __future__ import annotations

from collections.abc import Callable

from broker.net.transport_port import TransportPort

__all__ = ["Reading"]


class Reading:
    """Pauses and resumes the transport of one connection; no other code does.

    Args:
        port: the transport.
        now: the clock.
        allow: called with the length of a pause in seconds when reading resumes; the pause does not
            count against the peer.

    Attributes:
        now: as given.
    """

    __slots__ = ("_allow", "_port", "_stopped_at", "now")

    def __init__(
        self, port: TransportPort, now: Callable[[], float], allow: Callable[[float], object]
    ):
        self._port = port
        self.now = now
        self._allow = allow
        self._stopped_at: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether reading is on."""
        return self._stopped_at is None

    def turn(self, is_on: bool) -> bool:
        """Turn reading on or off; return whether that is a change."""
        stopped_at = self._stopped_at
        if is_on is (stopped_at is None):
            return False
        self._stopped_at = None if is_on else self.now()
        if stopped_at is not None:
            self._allow(self.now() - stopped_at)
        if is_on:
            self._port.resume_reading()
        else:
            self._port.pause_reading()
        return True
