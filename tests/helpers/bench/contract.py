"""What the workloads ask of a library, so that the same code drives them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from bench.meter import Meter

__all__ = ["Bench", "Client", "Effort", "Side", "Workload"]


@dataclass(frozen=True)
class Effort:
    """How much a workload is to do.

    Attributes:
        seconds: of a measurement, where it is measured by time.
        share: of the counts where it is measured by count; 1 for the workload as it is defined.
    """

    seconds: float
    share: float = 1.0

    def count(self, whole: int) -> int:
        """Return the share of a count, at least 1."""
        return max(1, round(whole * self.share))


class Client(Protocol):
    """One connection to the server."""

    def call(self, name: str, *args: Any) -> Awaitable[Any]:
        """Call a method of the server: those of `answers.Answers`, and ``publish`` and ``tell``."""

    def typed(self) -> Awaitable[Callable[[str], Awaitable[str]]]:
        """Return what calls ``echo`` through a contract; only broker has contracts."""

    def subscribe(self, hear: Callable[[int, str], object]) -> Awaitable[Any]:
        """Have ``hear(number, text)`` called with every event from now on."""

    def page(self, data: bytes) -> Awaitable[Any]:
        """Send data page by page, unanswered; return how many bytes the server has got."""

    def stream(self, name: str, count: int) -> AsyncIterator[Any]:
        """Return a stream of so many items of the server: ``integers`` or ``pieces``."""


class Side(Protocol):
    """A library, in one process that is the server or the client."""

    workloads: Mapping[str, Workload]
    """How it runs each; the common way but for what its users would do differently."""
    piece: int
    """Bytes of one piece of an upload that is made of calls."""

    @property
    def form(self) -> str:
        """Which form of the library runs here; empty if the library has only one."""

    async def serve(self) -> int:
        """Serve on 127.0.0.1, and return the port."""

    async def connect(self, port: int) -> Client:
        """Connect, and log in if the options say so."""

    def together(self, chains: list[Awaitable[Any]]) -> Awaitable[Any]:
        """Wait for all of these, which run at the same time."""

    def promise(self) -> tuple[Awaitable[Any], Callable[[Any], object]]:
        """Return something to wait for, and what ends the waiting when it is called."""

    async def in_thread(self, function: Callable[[], object]) -> None:
        """Wait for a function that blocks, while the loop runs on."""


@dataclass(frozen=True)
class Bench:
    """The client's side, and the server that it measures.

    Attributes:
        side: the library.
        port: where the server listens.
        server: its process id.
    """

    side: Side
    port: int
    server: int

    def connect(self) -> Awaitable[Client]:
        """Return a new connection."""
        return self.side.connect(self.port)

    def meter(self) -> Meter:
        """Return a new meter."""
        return Meter(self.server)


Workload: TypeAlias = Callable[[Bench, Effort], Awaitable[dict[str, float]]]
