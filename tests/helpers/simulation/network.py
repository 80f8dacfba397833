"""A connection in memory, below our transports, and what may happen to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from simulation.flow import Flow, Profile
from simulation.history import History
from simulation.loop import SimulatedLoop
from simulation.sockets import End

__all__ = ["Link"]


class Link:
    """One connection, and what may happen to it.

    Args:
        names: of the client's end and of the server's, for the history.
        make_protocols: called at each end for what asyncio calls the protocol.
    """

    def __init__(
        self,
        loop: SimulatedLoop,
        dice: random.Random,
        history: History,
        profile: Profile,
        names: tuple[str, str],
        make_protocols: tuple[Callable[[], Any], Callable[[], Any]],
        port: int,
    ):
        self.flows = [Flow(loop, dice, profile) for _ in names]
        self._loop = loop
        places = ("127.0.0.1", port), ("127.0.0.1", 8787)
        self.ends = [
            End(
                loop,
                dice,
                history,
                names[side],
                make_protocols[side](),
                self.flows[side],
                (places[side], places[1 - side]),
                profile.short_reads,
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

    def begin(self) -> None:
        """Tell both protocols that the connection is there, the server's first."""
        for end in reversed(self.ends):
            end._protocol.connection_made(end)

    def cut(self, delays: tuple[float, float]) -> None:
        """Lose the connection; each end sees a reset after its delay."""
        for flow, delay in zip(self.flows, delays, strict=True):
            flow.cut(delay)

    def half_close(self, side: int) -> None:
        """End one direction."""
        self.flows[side].finish()

    def stall(self, side: int, until: float) -> None:
        """Let nothing arrive in one direction before a time."""
        self.flows[side].stall(until)
