"""One direction of a connection in memory: bytes that arrive late, in pieces, or never.

Theory of operation. What an end writes goes to the flow as far as that has room (the kernel's
buffers), the rest waits at the end. A flow cuts it into pieces, lets each arrive after its latency,
never out of order, and the receiving end reads what has arrived, in reads of any size. So bytes are
split and merged on their way.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulation.loop import SimulatedLoop

if TYPE_CHECKING:
    from simulation.sockets import End

__all__ = ["FIN", "RESET", "Flow", "Profile"]

FIN: Final = b""
"""What arrives when the sender has closed."""

RESET: Final = None
"""What arrives when the connection was cut."""


@dataclass(frozen=True)
class Profile:
    """How one connection carries bytes.

    Attributes:
        latency: seconds that a piece travels at least.
        jitter: seconds that it may take longer.
        capacity: bytes that one direction holds.
        rate: bytes a second, 0 for any number.
        pieces: lengths of pieces, one of which is drawn for each; 0 leaves it whole.
        short_reads: the chance that a read returns less than there is.
    """

    latency: float = 0.0
    jitter: float = 0.0
    capacity: int = 256 * 1024
    rate: float = 0.0
    pieces: tuple[int, ...] = (0,)
    short_reads: float = 0.0

    @classmethod
    def draw(cls, dice: random.Random) -> Profile:
        """Return any profile."""
        return cls(
            latency=dice.choice((0.0, 0.0005, 0.02, 0.2)),
            jitter=dice.choice((0.0, 0.0, 0.005, 0.1)),
            capacity=dice.choice((4_000, 30_000, 256 * 1024, 256 * 1024)),
            rate=dice.choice((0.0, 0.0, 0.0, 40_000.0)),
            pieces=dice.choice(((0,), (0,), (0, 1448), (1, 7, 50, 0), (3, 200))),
            short_reads=dice.choice((0.0, 0.0, 0.3)),
        )


class Flow:
    """One direction of a connection.

    Attributes:
        receiver: the end that reads.
        sender: the end that writes.
        held: bytes that were taken from the sender and not yet read.
        was_cut: whether it ended by a reset.
    """

    def __init__(self, loop: SimulatedLoop, dice: random.Random, profile: Profile):
        self.receiver: End
        self.sender: End
        self.held = 0
        self.was_cut = False
        self._loop = loop
        self._dice = dice
        self._profile = profile
        self._pieces: deque[tuple[float, bytes | None]] = deque()
        self._newest = 0.0
        self._stalled_until = 0.0
        self._is_moving = False
        self._is_cut = False

    @property
    def capacity(self) -> int:
        """Bytes that the flow holds at most."""
        return self._profile.capacity

    @property
    def room(self) -> int:
        """Bytes that the flow would take now."""
        return max(0, self._profile.capacity - self.held)

    def push(self, data: bytes) -> None:
        """Take data, of which there must be room for all."""
        if self._is_cut:
            return
        self.held += len(data)
        lengths, budget = self._profile.pieces, 40
        while data:
            # A long message in tiny pieces says no more than its first ones do.
            length = self._dice.choice(lengths) if budget else 0
            budget -= budget > 0
            piece = data[:length] if length else data
            data = data[len(piece) :]
            self._append(piece)

    def finish(self) -> None:
        """Send FIN; what comes after it is lost."""
        if not self._is_cut:
            self._append(FIN)
            self._is_cut = True

    def cut(self, delay: float = 0.0) -> None:
        """Lose all from some point on, and let the receiver see a reset."""
        kept = self._dice.randint(0, len(self._pieces))
        while len(self._pieces) > kept:
            self._pieces.pop()
        if self._pieces and self._pieces[-1][1] and self._dice.random() < 0.5:
            when, piece = self._pieces.pop()
            assert piece is not None
            self._pieces.append((when, piece[: self._dice.randint(1, len(piece))]))
        self._is_cut = self.was_cut = True
        self._newest = max(self._newest, self._loop.time() + delay)
        self._pieces.append((self._newest, RESET))
        self._move()

    def stall(self, until: float) -> None:
        """Let nothing arrive before a time; never, if that is infinite."""
        self._stalled_until = max(self._stalled_until, until)

    def was_read(self, size: int) -> None:
        """Give room for what the receiver has read."""
        self.held -= size
        self.sender.has_room()

    def _append(self, piece: bytes) -> None:
        profile = self._profile
        when = self._loop.time() + profile.latency
        if profile.jitter:
            when += self._dice.random() * profile.jitter
        if profile.rate:
            when = max(when, self._newest) + len(piece) / profile.rate
        self._newest = max(self._newest, when)
        self._pieces.append((self._newest, piece))
        self._move()

    def _move(self) -> None:
        """Have the first piece arrive in time."""
        if self._is_moving or not self._pieces:
            return
        when = max(self._pieces[0][0], self._stalled_until)
        if when < float("inf"):
            self._is_moving = True
            self._loop.arrive(when, self._arrived)

    def _arrived(self) -> None:
        self._is_moving = False
        now = self._loop.time()
        while self._pieces and max(self._pieces[0][0], self._stalled_until) <= now:
            self.receiver.take(self._pieces.popleft()[1])
        self._move()
