"""One direction of a connection in memory: bytes that arrive late, in pieces, or not at all.

Theory of operation. An end passes bytes to the flow as far as the flow has room, as a socket passes
them to the kernel; the rest waits at the end. The flow cuts the bytes into pieces. Each piece
arrives after its latency, and never before an earlier one. The receiving end reads the pieces that
have arrived, in reads of any size. So bytes are split and merged on their way, as on TCP.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from broker.testing.sockets import End

__all__ = ["FIN", "RESET", "Arrival", "Flow", "NetworkLoop", "Profile", "Quota"]

FIN: Final = b""
"""Arrives when the sender has closed."""

RESET: Final = None
"""Arrives when the connection was cut."""


class Arrival(Protocol):
    """The result of `NetworkLoop.arrive`."""

    def cancel(self) -> object:
        """Cancel the arrival."""
        ...


class NetworkLoop(Protocol):
    """The loop as the network uses it: a `SimulatedLoop`, or a `RunningLoop` around another one."""

    def time(self) -> float:
        """Return the clock of the loop, in seconds."""
        ...

    def call_soon(self, callback: Callable[..., object], /, *args: object) -> object:
        """Call ``callback(*args)`` in the next turn."""
        ...

    def arrive(self, when: float, callback: Callable[..., object], /, *args: object) -> Arrival:
        """Call ``callback(*args)`` at a time, as a selector reports that a socket is ready."""
        ...


@dataclass(frozen=True)
class Profile:
    """How one connection carries bytes.

    Attributes:
        latency: least time that a piece travels, in seconds.
        jitter: most time that it may take longer, in seconds.
        capacity: number of bytes that one direction holds.
        rate: bytes a second; 0 for no limit.
        pieces: lengths of pieces, one of which is drawn for each; 0 leaves it whole.
        short_reads: the chance that a read returns less than there is.
        reset_loss: the chance that a reset costs the receiver the bytes that it has not read.
    """

    latency: float = 0.0
    jitter: float = 0.0
    capacity: int = 256 * 1024
    rate: float = 0.0
    pieces: tuple[int, ...] = (0,)
    short_reads: float = 0.0
    reset_loss: float = 0.0

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
            reset_loss=0.5,
        )


class Quota:
    """The bytes that are still carried before a cut; both directions may share one.

    Attributes:
        left: their number.
        spent: called without arguments when they have been carried.
    """

    __slots__ = ("left", "spent")

    def __init__(self, left: int, spent: Callable[[], object]):
        self.left = left
        self.spent = spent


class Flow:
    """One direction of a connection.

    Args:
        loop: has the time, and reports arrivals.
        dice: decides what the profile leaves open.
        profile: how the bytes are carried.

    Attributes:
        receiver: the end that reads.
        sender: the end that writes.
        held: number of bytes that were taken from the sender and not yet read.
        carried: number of bytes that were taken from the sender so far.
        quota: the bytes until a cut, or None.
        tap: called with all bytes that are taken from the sender, or None.
        was_cut: whether it ended by a reset.
    """

    def __init__(self, loop: NetworkLoop, dice: random.Random, profile: Profile):
        self.receiver: End
        self.sender: End
        self.held = 0
        self.carried = 0
        self.quota: Quota | None = None
        self.tap: Callable[[bytes], object] | None = None
        self.was_cut = False
        self._loop = loop
        self._dice = dice
        self._profile = profile
        self._pieces: deque[tuple[float, bytes | None]] = deque()
        self._newest = 0.0
        self._stalled_until = 0.0
        self._arrival: Arrival | None = None
        self._is_cut = False

    @property
    def capacity(self) -> int:
        """Most bytes that the flow holds."""
        return self._profile.capacity

    @property
    def room(self) -> int:
        """Number of bytes that the flow takes now."""
        return max(0, self._profile.capacity - self.held)

    @property
    def delay(self) -> float:
        """Seconds that the next bytes travel; can be set."""
        return self._profile.latency

    @delay.setter
    def delay(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"delay={seconds!r}: give seconds, 0 for none")
        self._profile = replace(self._profile, latency=seconds)

    @property
    def rate(self) -> float:
        """Bytes a second for the next bytes, 0 for no limit; can be set."""
        return self._profile.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not rate >= 0:
            raise ValueError(f"rate={rate!r}: give bytes a second, 0 for no limit")
        self._profile = replace(self._profile, rate=rate)

    @property
    def is_stalled(self) -> bool:
        """Whether nothing arrives now."""
        return self._stalled_until > self._loop.time()

    @property
    def due(self) -> float | None:
        """When the next piece arrives, infinite in a stall without an end; None without pieces."""
        return max(self._pieces[0][0], self._stalled_until) if self._pieces else None

    def push(self, data: bytes) -> None:
        """Take data; there must be room for all of it. Nothing more is taken after a cut."""
        if self._is_cut:
            return
        quota = self.quota
        if quota is not None:
            data = data[: quota.left]
            quota.left -= len(data)
        self.carried += len(data)
        self.held += len(data)
        if self.tap is not None:
            self.tap(data)
        lengths, budget = self._profile.pieces, 40
        while data:
            # A long message in tiny pieces tests no more than its first ones do.
            length = self._dice.choice(lengths) if budget else 0
            budget -= budget > 0
            piece = data[:length] if length else data
            data = data[len(piece) :]
            self._append(piece)
        if quota is not None and not quota.left:
            quota.spent()

    def finish(self) -> None:
        """Send FIN; later bytes are lost."""
        if not self._is_cut:
            self._append(FIN)
            self._is_cut = True

    def lose(self, delay: float = 0.0) -> None:
        """Lose all bytes from some point on, and let the receiver see a reset after ``delay``."""
        kept = self._dice.randint(0, len(self._pieces))
        while len(self._pieces) > kept:
            self._pieces.pop()
        if self._pieces and self._pieces[-1][1] and self._dice.random() < 0.5:
            when, piece = self._pieces.pop()
            if piece:
                self._pieces.append((when, piece[: self._dice.randint(1, len(piece))]))
        self._reset(delay)

    def cut(self, *, keeps_sent: bool = False) -> None:
        """Let the receiver see a reset, and lose the bytes on their way unless they are kept."""
        if not keeps_sent:
            self.held -= sum(len(piece) for _, piece in self._pieces if piece)
            self._pieces.clear()
            self._newest = self._stalled_until = 0.0
            self._forget_arrival()
        self._reset(0.0)

    def stall(self, until: float = float("inf")) -> None:
        """Let nothing arrive before a time of the loop; never, if that is infinite."""
        self._stalled_until = max(self._stalled_until, until)

    def resume(self) -> None:
        """End a stall: the bytes that are due arrive now, and the others in their time."""
        self._stalled_until = 0.0
        self._forget_arrival()
        self._move()

    def was_read(self, size: int) -> None:
        """Make room for the bytes that the receiver has read."""
        self.held -= size
        self.sender.has_room()

    def _reset(self, delay: float) -> None:
        self._is_cut = self.was_cut = True
        self._newest = max(self._newest, self._loop.time() + delay)
        self._pieces.append((self._newest, RESET))
        self._move()

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
        """Let the first piece arrive in time."""
        when = self.due
        if self._arrival is None and when is not None and when < float("inf"):
            self._arrival = self._loop.arrive(when, self._arrived)

    def _forget_arrival(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _arrived(self) -> None:
        self._arrival = None
        now = self._loop.time()
        while self._pieces and max(self._pieces[0][0], self._stalled_until) <= now:
            self.receiver.take(self._pieces.popleft()[1])
        self._move()
