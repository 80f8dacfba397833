"""The contract of inspection: what operators see of a server, and the few things they can do.

Everything is names, numbers and sizes. No record has an argument, a result, metadata, a secret or
the text of an error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct, field

__all__ = [
    "ORDERS",
    "Administration",
    "ConnectionSnapshot",
    "Health",
    "Inspection",
    "ProcessSnapshot",
    "RunningCall",
    "Sample",
    "ServerSnapshot",
    "StreamSnapshot",
    "SubscriptionSnapshot",
    "Tapped",
]

ORDERS = ("number", "unsent", "running", "calls", "bytes", "age", "references")
"""The orders of ``Inspection.connections``: all but ``number`` have the largest first."""


class Sample(Struct, frozen=True):
    """One second of a server.

    Attributes:
        time: when it ended, in seconds since 1970.
        connections: how many were open.
        calls: calls of the clients in it, a second.
        bytes_in, bytes_out: bytes in it, a second.
        unsent: bytes that were unsent.
        lag: seconds by which the event loop was late.
    """

    time: float
    connections: int
    calls: float
    bytes_in: float
    bytes_out: float
    unsent: int
    lag: float


class ProcessSnapshot(Struct, frozen=True):
    """One of the processes of a server.

    Attributes:
        number: from 1.
        pid: of the process.
        state, uptime, open, running, calls, lag, memory: as in `ServerSnapshot`.
    """

    number: int
    pid: int
    state: str
    uptime: float
    open: int
    running: int
    calls: float
    lag: float
    memory: int | None


class ServerSnapshot(Struct, frozen=True):
    """A server at one moment.

    Attributes:
        addresses: where it listens.
        pid: its process.
        version: of this package.
        started: when, in seconds since 1970.
        uptime: seconds since then.
        state: ``serving``, ``draining``, ``overloaded``, or ``degraded: NAME``.
        open, accepted, closed: connections.
        limits: how often each limit has refused something.
        slow, held: connections with many unsent bytes, and those whose calls wait.
        running: calls of clients that have not ended.
        unsent: bytes that are unsent.
        calls, bytes_in, bytes_out: rates of the last second.
        lag, largest_lag: seconds by which the event loop was late: last, and most of a minute.
        memory: bytes of the process in memory; None where that is not known.
        history: the last seconds, at most 120; empty unless it was asked for.
        processes: each process of a server that has several; else empty. All other attributes are
            then sums over them, the lags the largest, and ``pid`` that of their parent.
    """

    addresses: list[str]
    pid: int
    version: str
    started: float
    uptime: float
    state: str
    open: int
    accepted: int
    closed: int
    limits: dict[str, int]
    slow: int
    held: int
    running: int
    unsent: int
    calls: float
    bytes_in: float
    bytes_out: float
    lag: float
    largest_lag: float
    memory: int | None
    history: list[Sample] = field(default_factory=list)
    processes: list[ProcessSnapshot] = field(default_factory=list)


class RunningCall(Struct, frozen=True):
    """A call of the client that has not ended.

    Attributes:
        name: the method.
        age: seconds since its start.
        wants_answer: False for a one-way call.
    """

    name: str
    age: float
    wants_answer: bool


class StreamSnapshot(Struct, frozen=True):
    """An open stream.

    Attributes:
        number: its number.
        is_outgoing: whether the server produces it.
        name: the method that it belongs to; empty if the server reads it.
        items, bytes: the credit that its producer has left.
        waiting: bytes that came and were not taken.
    """

    number: int
    is_outgoing: bool
    name: str
    items: int
    bytes: int
    waiting: int


class SubscriptionSnapshot(Struct, frozen=True):
    """A subscriber in one of the `Subscribers` of the server.

    Attributes:
        slow: what happens to events when it is slow: the name of a member of `Slow`.
        sent, waiting, dropped, conflated: events; see `broker.Delivery`.
    """

    slow: str
    sent: int
    waiting: int
    dropped: int
    conflated: int


class ConnectionSnapshot(Struct, frozen=True):
    """A connection of a server at one moment.

    Attributes:
        number: its number; the first connection of a server is 1.
        address: of the client.
        user, mechanism: of its login; None before, and without one.
        dialect: empty before it is chosen.
        is_secure: whether it uses TLS.
        age: seconds since it was accepted.
        state: ``connecting``, ``flowing``, ``slow``, ``held``, ``closing`` or ``closed``.
        slow_for: seconds for which it has had many unsent bytes; None if it has not.
        idle: seconds since the last byte of the client; None in dialects without pings.
        round_trip: seconds that the last ping took; None before.
        calls_received, calls_made, bytes_in, bytes_out: so far.
        calls, rate_in, rate_out: calls of the client, and bytes, of the last second.
        running: calls of the client that have not ended.
        open_calls: calls of the server that have no answer.
        exports, imports: references that the client holds, and that the server holds.
        caches_out, caches_in: caches that the client has, and that the server has.
        streams, subscriptions: how many there are.
        unsent: bytes that this process has not sent.
        unsent_in_kernel: bytes that the client's kernel has not taken; None if not known.
        unhandled: bytes of messages that are not handled yet.
        limits: how often each limit has refused something.
        oldest_calls: the 20 oldest calls of the client that have not ended.
        exported_types, imported_types, cached_out_types, cached_in_types: how many references and
            caches there are of each class; imported references are of one class.
        stream_list, subscription_list: each of them.
        process: the number of its process; 0 if the server has one process.

    ``Inspection.connections`` leaves out the types and the lists, which are counted for one
    connection only.
    """

    number: int
    address: str
    user: str | None
    mechanism: str | None
    dialect: str
    is_secure: bool
    age: float
    state: str
    slow_for: float | None
    idle: float | None
    round_trip: float | None
    calls_received: int
    calls_made: int
    bytes_in: int
    bytes_out: int
    calls: float
    rate_in: float
    rate_out: float
    running: int
    open_calls: int
    exports: int
    imports: int
    caches_out: int
    caches_in: int
    streams: int
    subscriptions: int
    unsent: int
    unsent_in_kernel: int | None
    unhandled: int
    limits: dict[str, int]
    oldest_calls: list[RunningCall]
    exported_types: dict[str, int] = field(default_factory=dict)
    imported_types: dict[str, int] = field(default_factory=dict)
    cached_out_types: dict[str, int] = field(default_factory=dict)
    cached_in_types: dict[str, int] = field(default_factory=dict)
    stream_list: list[StreamSnapshot] = field(default_factory=list)
    subscription_list: list[SubscriptionSnapshot] = field(default_factory=list)
    process: int = 0


class Tapped(Struct, frozen=True):
    """Something that happened on a connection.

    Attributes:
        time: seconds since the tap began.
        is_incoming: whether the client has sent it.
        kind: ``call``, ``send`` for a one-way call, ``answer``, ``bytes``, ``limit`` or ``login``.
        name: of the method, the limit, or the mechanism of a login. For an answer and a login, how
            it has ended follows a colon.
        size: the bytes of ``bytes``; else 0.
        lost: how many entries were left out before this one.
    """

    time: float
    is_incoming: bool
    kind: str
    name: str
    size: int
    lost: int = 0


class Health(Struct, frozen=True):
    """Whether a server can take more work.

    Attributes:
        state: ``serving``, ``draining``, ``overloaded``, or ``degraded: NAME``.
        is_ready: whether the state is ``serving``.
        checks: the checks of the application: empty text, or why each failed.
    """

    state: str
    is_ready: bool
    checks: dict[str, str]


class Inspection(Protocol):
    """A server, for operators."""

    async def server(self, *, history: bool = False) -> ServerSnapshot:
        """Return the server, with its last two minutes if ``history`` is set."""
        ...

    async def connections(
        self, *, order: str = "number", most: int = 100
    ) -> list[ConnectionSnapshot]:
        """Return the first connections in an order of `ORDERS`, at most ``most``."""
        ...

    async def connection(self, number: int) -> ConnectionSnapshot:
        """Return one connection, with the types of its objects."""
        ...

    def watch(self, every: float = 1.0) -> AsyncIterator[ServerSnapshot]:
        """Yield the server again and again, ``every`` seconds, of 0.1 at least.

        A program that may read slowly calls it inside ``with broker.credit(items=1)``: it then gets
        fewer snapshots, and none that waits behind others.
        """
        ...

    def tap(self, number: int) -> AsyncIterator[Tapped]:
        """Yield what happens on a connection, for a minute or 10,000 entries: names and sizes."""
        ...

    async def health(self) -> Health:
        """Return the state, after the checks of the application."""
        ...

    async def kick(
        self, *, user: str | None = None, number: int | None = None, reason: str = ""
    ) -> int:
        """End the connections of a user, or one connection; return how many."""
        ...

    async def drain(self, seconds: float | None = None, after: float | None = None) -> None:
        """Begin to close the server: it takes no more calls, and ends when its calls have.

        Both arguments are as in `broker.Server.close`.
        """
        ...


class Administration(Inspection, Protocol):
    """The inspection at the socket for operators, with the manhole of the process."""

    async def manhole(self) -> object:
        """Return the `broker.Manhole` of the process; an error if it has none."""
        ...
