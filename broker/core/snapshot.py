"""What a session shows of itself at one moment: names, numbers and sizes, never values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from broker.core.calls.incoming import IncomingCalls
    from broker.core.session import Session

__all__ = ["RunningCall", "SessionSnapshot", "snapshot_of"]


class RunningCall(Struct, frozen=True):
    """A call of the peer whose method returned an awaitable that is not done.

    Attributes:
        name: the method.
        since: time of its start, by the clock of the connection, in seconds.
        wants_answer: False for a one-way call.
    """

    name: str
    since: float
    wants_answer: bool


class SessionSnapshot(Struct, frozen=True):
    """One session at one moment.

    Attributes:
        dialect: the name of the dialect; None before it is chosen.
        is_logged_in: whether the peer may send all messages: it has logged in, or need not.
        is_draining: whether new calls of the peer are refused.
        holds_calls: whether the peer's calls wait because the peer does not read.
        is_full: whether the peer's calls wait because ``max_calls`` calls are running.
        calls_made, calls_received, sends_dropped, sends_refused, bytes_sent, bytes_received,
        limits: see `broker.core.stats.Stats`.
        running: the running calls of the peer, oldest first.
        works: number of messages that are handled in several turns.
        open_calls: number of outgoing calls without an answer.
        exports: number of objects that the peer holds.
        imports: number of references to objects of the peer.
        cacheables: number of objects whose state the peer holds.
        remote_caches: number of caches here, of objects of the peer.
        waiting_bytes: approximate memory of the received messages that are not handled, in bytes.
        queued: number of messages that are not yet passed to the transport.
        queued_bytes: their size.
    """

    dialect: str | None
    is_logged_in: bool
    is_draining: bool
    holds_calls: bool
    is_full: bool
    calls_made: int
    calls_received: int
    sends_dropped: int
    sends_refused: int
    bytes_sent: int
    bytes_received: int
    limits: dict[str, int]
    running: tuple[RunningCall, ...]
    works: int
    open_calls: int
    exports: int
    imports: int
    cacheables: int
    remote_caches: int
    waiting_bytes: int
    queued: int
    queued_bytes: int


def _running(incoming: IncomingCalls) -> tuple[RunningCall, ...]:
    running = [
        RunningCall(call.name, call.since, call.wants_answer) for call in incoming.running.values()
    ]
    if incoming.beginning is not None:
        running.append(RunningCall(incoming.beginning[1], incoming.runner.now(), True))
    return tuple(running)


def snapshot_of(session: Session) -> SessionSnapshot:
    """Return what a session shows; takes time in proportion to the number of running calls."""
    stats, inbox, outbox = session.stats, session.inbox, session.outbox
    translator, incoming = session.translator, session.incoming
    return SessionSnapshot(
        dialect=None if session.dialect is None else session.dialect.name.decode("ascii"),
        is_logged_in=session.gate is None,
        is_draining=incoming.is_draining,
        holds_calls=inbox.holds_calls,
        is_full=inbox.is_full,
        calls_made=stats.calls_made,
        calls_received=stats.calls_received,
        sends_dropped=stats.sends_dropped,
        sends_refused=stats.sends_refused,
        bytes_sent=stats.bytes_sent,
        bytes_received=stats.bytes_received,
        limits=dict(stats.limits),
        running=_running(incoming),
        works=len(inbox.works or ()),
        open_calls=len(session.outgoing.open_calls),
        exports=len(translator.exports),
        imports=len(translator.imports),
        cacheables=len(translator.cacheables),
        remote_caches=len(translator.remote_caches),
        waiting_bytes=inbox.held,
        queued=outbox.unsent.queued,
        queued_bytes=outbox.unsent.size,
    )
