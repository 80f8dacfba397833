"""A connection in memory, below our transports, and the faults of its network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from broker.testing.flow import Arrival, Flow, NetworkLoop, Profile, Quota
from broker.testing.loop import SimulatedLoop
from broker.testing.sockets import End, Observe

__all__ = ["Direction", "RunningLoop", "Wire", "network_loop"]

Direction: TypeAlias = Literal["to_server", "to_client"]
"""One direction of a connection."""

_DIRECTIONS = ("to_server", "to_client")


class RunningLoop:
    """Any asyncio loop, as the network uses it."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop

    def time(self) -> float:
        """Return the clock of the loop, in seconds."""
        return self._loop.time()

    def call_soon(self, callback: Callable[..., object], /, *args: object) -> object:
        """Call ``callback(*args)`` in the next turn."""
        return self._loop.call_soon(callback, *args)

    def arrive(self, when: float, callback: Callable[..., object], /, *args: object) -> Arrival:
        """Call ``callback(*args)`` at a time; in the next turn, if it has passed."""
        if when <= self._loop.time():
            return self._loop.call_soon(callback, *args)
        return self._loop.call_at(when, callback, *args)


def network_loop(loop: asyncio.AbstractEventLoop) -> NetworkLoop:
    """Return the form of a loop that the network uses."""
    return loop if isinstance(loop, SimulatedLoop) else RunningLoop(loop)


class Wire:
    """One connection, and the faults that may happen to it.

    It has the faults that TCP has: bytes are late, or the connection ends. They are not lost in the
    middle, and their order stays.

    Args:
        loop: has the time, and reports arrivals.
        dice: decides what the profile leaves open.
        profile: how both directions carry bytes.
        names: those of both ends, the client's first, for ``observe``.
        make_protocols: called for the client's end and for the server's; each returns the
            protocol, as asyncio uses this word.
        port: the port of the client.
        observe: told of writes, reads and ends; see `broker.testing.sockets.Observe`.

    Attributes:
        to_server, to_client: the directions. ``delay`` and ``rate`` of each can be set.
        flows: both directions, in this order.
        ends: the client's end and the server's.
    """

    def __init__(
        self,
        loop: NetworkLoop,
        dice: random.Random,
        profile: Profile,
        names: tuple[str, str],
        make_protocols: tuple[Callable[[], Any], Callable[[], Any]],
        port: int,
        observe: Observe = lambda kind, name, size: None,
    ):
        self.flows = [Flow(loop, dice, profile) for _ in names]
        self.to_server, self.to_client = self.flows
        places = ("127.0.0.1", port), ("127.0.0.1", 8787)
        self.ends = [
            End(
                loop,
                dice,
                observe,
                names[side],
                make_protocols[side](),
                self.flows[side],
                (places[side], places[1 - side]),
                profile,
            )
            for side in (0, 1)
        ]
        for side, flow in enumerate(self.flows):
            flow.sender, flow.receiver = self.ends[side], self.ends[1 - side]
            self.ends[1 - side].incoming = flow

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way, in either direction."""
        return not any(flow.held or flow.sender.get_write_buffer_size() for flow in self.flows)

    @property
    def was_reset(self) -> bool:
        """Whether either direction ended by a reset."""
        return any(flow.was_cut for flow in self.flows)

    @property
    def carried(self) -> int:
        """Number of bytes that both directions have taken so far."""
        return sum(flow.carried for flow in self.flows)

    @property
    def delay(self) -> float:
        """Seconds that bytes travel, in either direction; can be set, for the next bytes."""
        return self.to_server.delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        for flow in self.flows:
            flow.delay = seconds

    @property
    def rate(self) -> float:
        """Bytes a second in each direction, 0 for no limit; can be set, for the next bytes."""
        return self.to_server.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        for flow in self.flows:
            flow.rate = rate

    def begin(self) -> None:
        """Tell both protocols that the connection is there, the server's first."""
        for end in reversed(self.ends):
            end.protocol.connection_made(end)

    def cut(self, direction: Direction | None = None) -> None:
        """Cut the connection: the bytes on their way are lost, and both ends see a reset.

        Args:
            direction: only the receiver of this direction sees the reset. The other end learns of
                it when it writes.

        Raises:
            ValueError: there is no such direction.
        """
        for flow in self._flows_of(direction):
            flow.cut()

    def cut_after(self, bytes: int, direction: Direction | None = None) -> None:
        """Cut the connection after a number of further bytes, which still arrive.

        Args:
            bytes: their number, from now on; 0 for a cut now.
            direction: count this direction only. By default the bytes of both are counted, in the
                order in which they are written.

        Raises:
            ValueError: the number is negative, or there is no such direction.
        """
        if bytes < 0:
            raise ValueError(f"bytes={bytes}: give a number that is not negative")
        flows = self._flows_of(direction)
        quota = Quota(bytes, self._cut_here)
        for flow in self.flows:
            flow.quota = quota if flow in flows else None
        if not bytes:
            self._cut_here()

    def stall(self, direction: Direction | None = None) -> None:
        """Let nothing arrive until `resume`, in one direction or in both.

        Raises:
            ValueError: there is no such direction.
        """
        for flow in self._flows_of(direction):
            flow.stall()

    def resume(self, direction: Direction | None = None) -> None:
        """End a stall: the bytes that are due arrive now.

        Raises:
            ValueError: there is no such direction.
        """
        for flow in self._flows_of(direction):
            flow.resume()

    def half_close(self, direction: Direction) -> None:
        """End one direction, as an end does that has sent everything.

        Raises:
            ValueError: there is no such direction.
        """
        for flow in self._flows_of(direction):
            flow.finish()

    def lose(self, delays: tuple[float, float]) -> None:
        """Cut the connection somewhere: some of the bytes on their way may arrive.

        Args:
            delays: seconds until the server's end sees the reset, and until the client's does.
        """
        for flow, delay in zip(self.flows, delays, strict=True):
            flow.lose(delay)

    def _cut_here(self) -> None:
        """Cut both directions behind the bytes that they have taken."""
        for flow in self.flows:
            flow.quota = None
            flow.cut(keeps_sent=True)

    def _flows_of(self, direction: str | None) -> list[Flow]:
        if direction is None:
            return self.flows
        if direction not in _DIRECTIONS:
            raise ValueError(f"there is no direction {direction!r}; there are {_DIRECTIONS}")
        return [self.flows[_DIRECTIONS.index(direction)]]
