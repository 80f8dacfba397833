"""What the two ends of a connection hold, read from inside: only here their tables are known."""

from __future__ import annotations

from typing import Any

from broker.connection.broker import Broker

__all__ = ["agreement", "leftovers", "timers_of"]


def _exports(end: Broker) -> dict[Any, int]:
    entries = end.session.translator.exports.by_id
    return {key: entry.count for key, entry in entries.items() if entry.identity is not None}


def _imports(end: Broker) -> dict[Any, int]:
    counts: dict[Any, int] = {}
    for (object_id, _), entry in end.session.translator.imports._entries.items():
        counts[object_id] = counts.get(object_id, 0) + entry.count
    return counts


def _published(end: Broker) -> dict[Any, int]:
    return {key: entry.count for key, entry in end.session.translator.cacheables.by_id.items()}


def _held(end: Broker) -> dict[Any, int]:
    counts = {}
    for key, entry in end.session.translator.remote_caches.by_id.items():
        is_alive = entry.handle is not None and entry.handle() is not None
        counts[key] = entry.handle.count if is_alive and entry.handle is not None else 0
    return counts


def _streams(end: Broker) -> list[str]:
    streams = end.session.translator.used_streams
    if streams is None:
        return []
    made = [f"makes {stream.number}" for stream in streams.outgoing.values()]
    return made + [f"reads {stream.number}" for stream in streams.incoming.values()]


def _producers(end: Broker) -> int:
    return 0 if end._producers is None else len(end._producers)


def _promises(end: Broker) -> list[str]:
    """Return the names of what is kept for calls on promises that have not ended."""
    session, made = end.session, end.calls._promises
    kept: dict[str, Any] = {
        "followed": session.outgoing.followed,
        "promised": session.outgoing.promised,
    }
    if made is not None:
        kept |= {name: getattr(made, name) for name in ("there", "here", "held", "sent", "stalled")}
    incoming = session.incoming.used_promises
    if incoming is not None:
        names = ("size", "_counted", "held", "_waiting", "_missing", "_opening", "_settled")
        kept |= {f"waiting {name}": getattr(incoming, name) for name in names}
    return [name for name, value in kept.items() if value]


def agreement(one: Broker, other: Broker) -> dict[str, tuple[Any, Any]]:
    """Return, by name, what one end of a quiet connection has, and what the other end says is due.

    Of references and caches both have the same counts; of calls, streams and bytes there are none.
    """
    session = one.session
    return {
        "exports": (_exports(one), _imports(other)),
        "published caches": (_published(one), _held(other)),
        "questions": (len(session.outgoing.open_calls), 0),
        "pending Deferreds": (len(one.calls.waiting), 0),
        "calls that run": (session.running, 0),
        "tasks": (0 if one._running_methods is None else len(one._running_methods), 0),
        "streams": (_streams(one), []),
        "promises": (_promises(one), []),
        "bytes of streams": (session.translator.held, 0),
        "producers": (_producers(one), 0),
        "messages not handled": (session.inbox.waiting, 0),
        "messages not sent": (session.outbox.unsent.queued, 0),
    }


def leftovers(end: Broker) -> dict[str, Any]:
    """Return, by name, what an end whose connection is gone still has; all of it shall be empty."""
    session = end.session
    return {
        "exports": _exports(end),
        "imports": _imports(end),
        "published caches": _published(end),
        "held caches": _held(end),
        "questions": len(session.outgoing.open_calls),
        "pending Deferreds": len(end.calls.waiting),
        "streams": _streams(end),
        "producers": _producers(end),
        "promises": _promises(end),
        "messages not handled": session.inbox.waiting,
        "timers": list(end.setup_timeouts.names),
        "notifiers": len(end.connects) + len(end.disconnects) + len(end.failures),
    }


def timers_of(end: Broker) -> int:
    """Return how many timers a quiet end may have.

    One asks after its peer; one may look later for a message that has become whole meanwhile.
    """
    is_watched = end._message_timeout is not None and end._message_timeout._timer is not None
    return int(end._keepalive is not None) + int(is_watched)
