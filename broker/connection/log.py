"""The log records of a connection: a line for a fault of the peer, else a traceback.

All records are bounded and printable, and limited by the log throttle of the connection, so that a
peer cannot fill the log; see `broker.net.log_throttle`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol
from weakref import WeakValueDictionary

from broker.connection.peer import Peer
from broker.core.events import CallRaised, PeerLeaves
from broker.defer import CancelledError
from broker.errors import (
    BananaError,
    DecodeError,
    EncodeError,
    Error,
    JellyError,
    NoSuchMethod,
    NoSuchObject,
    PBConnectionLost,
    RemoteError,
)
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure, CopyableFailure
from broker.net.log_throttle import LogThrottle
from broker.printable import printable, text_of_value
from jelly.atoms import text_of
from jelly.registry import defaults

__all__ = [
    "Logged",
    "blocked",
    "call_and_log",
    "call_raised",
    "closed",
    "expired",
    "meta_not_sent",
    "misunderstood",
    "not_sent",
    "peer_drains",
    "peer_leaves",
    "stream_goes_on",
    "stream_not_closed",
    "tell_elsewhere",
    "unsent",
]

logger = logging.getLogger("broker.connection")

# Missing methods that a connection remembers; each call of another one makes a record.
_MOST_MISSING = 256
# Seconds in which one record tells of one-way calls that were not run.
_MINUTE = 60.0

# By id, since an error need not have a hash.
_told_elsewhere: WeakValueDictionary[int, Exception] = WeakValueDictionary()


class Logged(Protocol):
    """What this module needs of a connection.

    Attributes:
        peer: the peer, with its ``address``.
        log_throttle: limits the records.
        missing: the classes and names of methods that one-way calls did not find, and that have
            been logged; None before the first.
        refusals_told: when the last one-way call that was not run was logged; None before the
            first.
    """

    peer: Peer
    missing: set[tuple[type, str]] | None
    refusals_told: float | None

    @property
    def log_throttle(self) -> LogThrottle:
        """Limits the records."""

    @property
    def now(self) -> float:
        """The time by the clock of the connection, in seconds."""


def closed(owner: Logged, error: Exception) -> bool:
    """Log that a connection was ended by a fault of the peer, or of a hook of the application.

    Returns:
        Whether it was a fault of the peer, who may be told the text.
    """
    address = owner.peer.address
    if isinstance(error, JellyError | PBConnectionLost | Error):
        _log(owner, logging.WARNING, "closed %s: %s", address, _line(error, 300))
        return True
    owner.log_throttle.log_error(logger, address, f"closed {address}: a hook raised", error)
    return False


def expired(owner: Logged, error: Exception) -> None:
    """Log that a connection was ended since a login on it has expired."""
    _log(owner, logging.INFO, "closed %s: %s", owner.peer.address, _line(error, 300))


def misunderstood(owner: Logged, command: str) -> None:
    """Log that the peer does not know a command."""
    _log(owner, logging.WARNING, "%s did not understand '%s'", owner.peer.address, command)


def peer_leaves(owner: Logged, event: PeerLeaves) -> None:
    """Log the reason that the peer has sent for closing the connection."""
    code, text = text_of(event.code), printable(event.text, 300, is_ascii=False)
    _log(owner, logging.INFO, "%s leaves: %s: %s", owner.peer.address, code, text)


def peer_drains(owner: Logged) -> None:
    """Log that the peer takes no new calls."""
    _log(owner, logging.INFO, "%s drains: it takes no new calls", owner.peer.address)


def meta_not_sent(owner: Logged, dialect: str) -> None:
    """Log that a dialect has no metadata."""
    _log(owner, logging.DEBUG, "metadata is not sent in '%s'", dialect)


def unsent(owner: Logged, name: str, error: BaseException) -> None:
    """Log that a call without an answer could not be sent."""
    text = f"call of '{text_of(name)}' without answer was not sent"
    owner.log_throttle.log_error(logger, owner.peer.address, text, error)


def not_sent(owner: Logged, name: str) -> None:
    """Log that the peer drains, so that no more calls without an answer are sent."""
    text = "%s drains: call of '%s' without an answer was not sent (sends_dropped counts the next)"
    _log(owner, logging.WARNING, text, owner.peer.address, text_of(name))


def blocked(owner: Logged, name: str, count: int, seconds: float) -> None:
    """Log that synchronous methods blocked the event loop; ``name`` is that of the last."""
    which = f"remote method '{text_of(name)}'"
    if count > 1:
        which = f"{count} calls of remote methods, the last of '{text_of(name)}',"
    text = (
        "%s blocked the event loop for %.1f s; make long work 'async def', with"
        " 'await asyncio.to_thread(…)' for what cannot wait itself"
    )
    _log(owner, logging.WARNING, text, which, seconds)


def stream_goes_on(owner: Logged, name: str) -> None:
    """Log that a generator goes on after its reader has stopped it."""
    text = "%s: the generator of the stream of '%s' goes on after it was stopped"
    _log(owner, logging.WARNING, text, owner.peer.address, text_of(name))


def stream_not_closed(owner: Logged, name: str, error: BaseException) -> None:
    """Log that a generator has raised an error when it was closed."""
    text = f"the generator of the stream of '{text_of(name)}' raised when it was closed"
    owner.log_throttle.log_error(logger, owner.peer.address, text, error)


def call_raised(owner: Logged, event: CallRaised) -> None:
    """Log a call of the peer that failed: a fault of the peer or the application, or on purpose."""
    failure = Failure.of(event.error)
    error = failure.value
    name = text_of(event.name)
    address = owner.peer.address
    one_way_to = event.one_way_to if isinstance(error, NoSuchMethod) else None
    if event.error_id is not None:
        # The peer was shown this id, so the log must have it for any exception.
        _raised(owner, f"remote method '{name}' raised (id {event.error_id})", failure)
    elif one_way_to is not None:
        _missing(owner, one_way_to, event.name, error)
    elif event.refused and _is_due(owner):
        # One a minute; the caller gets no answer.
        text = "%s: call of '%s' without an answer was not run: %s (sends_refused counts the next)"
        _log(owner, logging.WARNING, text, address, name, _line(error, 200))
    elif _is_peers_fault(failure):
        kind, text = type(error).__name__, _line(error, 200)
        if isinstance(error, EncodeError):
            # The place in the result of the method, which the peer is not told.
            notes = getattr(error, "__notes__", None)
            place = _line(notes[0], 100) if notes else f"remote method '{name}'"
            text += f" ({place})"
        # A refused login is one record: that of the audit log, if it is written.
        level = logging.DEBUG if _told_elsewhere.get(id(error)) is error else logging.WARNING
        _log(owner, level, "%s: %s: %s", address, kind, text)
    elif isinstance(error, asyncio.CancelledError | CancelledError):
        # The caller wanted it, and could otherwise fill the log with cancelled calls.
        _log(owner, logging.DEBUG, "remote method '%s' was cancelled", name)
    elif _is_passed_on(failure) or isinstance(error, Error):
        kind = _line(failure.parents[0], 100)
        _log(owner, logging.DEBUG, "remote method '%s' refused: %s", name, kind)
    else:
        _raised(owner, f"remote method '{name}' raised", failure)


def tell_elsewhere(error: Exception) -> None:
    """Log the fault of a peer for debugging only: another log tells of this error."""
    _told_elsewhere[id(error)] = error


def _is_due(owner: Logged) -> bool:
    """Return whether a one-way call that was not run is logged now: one a minute is."""
    now, told = owner.now, owner.refusals_told
    if told is not None and now - told < _MINUTE:
        return False
    owner.refusals_told = now
    return True


def _raised(owner: Logged, text: str, failure: Failure) -> None:
    """Log a fault of the application, with its traceback if there is one."""
    error = failure.value
    if isinstance(error, BaseException):
        owner.log_throttle.log_error(logger, owner.peer.address, text, error, failure.tb)
    else:
        _log(owner, logging.ERROR, "%s: %s", text, _line(error, 400))


def _missing(owner: Logged, cls: type, name: str, error: NoSuchMethod) -> None:
    """Log that a one-way call found no such method, once: its caller gets no answer."""
    if owner.missing is None:
        owner.missing = set()
    if (cls, name) in owner.missing:
        return
    if len(owner.missing) < _MOST_MISSING:
        owner.missing.add((cls, name))
    text = "%s: call of '%s' without an answer was not run: %s (a %s; the next are not logged)"
    address, kind = owner.peer.address, _line(cls.__name__, 100)
    _log(owner, logging.WARNING, text, address, text_of(name), _line(error, 200), kind)


def call_and_log(owner: Logged, function: Callable[[], object]) -> None:
    """Call a function of the application; log an exception, and continue."""
    try:
        function()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:  # noqa: BLE001 - logged
        text = "a callback of the application raised"
        owner.log_throttle.log_error(logger, owner.peer.address, text, exc)


def _log(owner: Logged, level: int, text: str, *args: object) -> None:
    owner.log_throttle.log(logger, level, owner.peer.address, text, *args)


def _line(value: object, most: int) -> str:
    """Return text that a peer may have influenced, as printable characters of one line."""
    return printable(text_of_value(value, most + 1), most, is_ascii=False)


def _is_passed_on(failure: Failure) -> bool:
    """Return whether the method passed on an error of another peer, or a prepared failure."""
    if isinstance(failure, CopiedFailure | CopyableFailure):
        return True
    error = failure.value
    return type(error) is RemoteError and error.type_name in defaults.declared.errors


def _is_peers_fault(failure: Failure) -> bool:
    error = failure.value
    if isinstance(error, DecodeError | BananaError | NoSuchObject):
        return True
    if isinstance(error, Error):
        # Registered or not: the application raised it on purpose.
        return False
    return bool(failure.parents) and failure.parents[0] in defaults.declared.errors
