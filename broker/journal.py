"""What a connection writes to the log: one line for a peer's fault, a traceback for ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from broker.core.events import CallRaised, PeerLeaves
from broker.defer import CancelledError
from broker.errors import BananaError, DecodeError, Error, NoSuchMethod, NoSuchObject
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure, CopyableFailure
from jelly.atoms import text_of
from jelly.registry import defaults

__all__ = ["call_raised", "closed", "expired", "guard", "misunderstood", "unsent"]

logger = logging.getLogger("broker.connection")


def closed(address: Any, error: Exception) -> None:
    """A connection was ended for a fault of its peer's."""
    logger.warning("closed %s: %s", address, _line(error, 300))


def expired(address: Any, error: Exception) -> None:
    """A connection was ended since a login on it was valid no more."""
    logger.info("closed %s: %s", address, error)


def misunderstood(address: Any, command: str) -> None:
    """A peer has no such command."""
    logger.warning("%s did not understand '%s'", address, command)


def peer_leaves(address: Any, event: PeerLeaves) -> None:
    """A peer is about to close the connection, and said why."""
    logger.info("%s leaves: %s: %s", address, text_of(event.code), text_of(event.text))


def unsent(name: str) -> None:
    """A call without answer could not be sent, for a reason that is being handled."""
    logger.exception("call of '%s' without answer was not sent", name)


def call_raised(address: Any, event: CallRaised) -> None:
    """A call of a peer's failed: by its own fault, on purpose, or by a fault of the application."""
    failure = Failure.of(event.error)
    error = failure.value
    name = text_of(event.name)
    if isinstance(error, NoSuchMethod) and event.name == "mechanisms":
        # Clients of ours ask this before they log in; where there is no login, the next is logged.
        logger.debug("%s asks for a login, and there is none", address)
    elif _is_peers_fault(failure):
        logger.warning("%s: %s: %s", address, type(error).__name__, _line(error, 200))
    elif isinstance(error, asyncio.CancelledError | CancelledError):
        # As its caller wished, who could fill the log with that otherwise.
        logger.debug("remote method '%s' was cancelled", name)
    elif isinstance(failure, CopiedFailure | CopyableFailure) or isinstance(error, Error):
        logger.debug("remote method '%s' refused: %s", name, _line(failure.type, 100))
    else:
        suffix = f" (id {event.error_id})" if event.error_id else ""
        is_exception = isinstance(error, BaseException)
        exc_info = (type(error), error, failure.tb) if is_exception else None
        logger.error("remote method '%s' raised%s", name, suffix, exc_info=exc_info)


def guard(function: Callable[[], object]) -> None:
    """Call the application's function; what it raises is logged, and ends nothing."""
    try:
        function()
    except Exception:
        logger.exception("a callback of the application raised")


def _line(value: Any, most: int) -> str:
    """Return text, in which a peer may have had a part, as printable characters of one line."""
    return str(value)[:most].encode("unicode_escape").decode("ascii")[:most]


def _is_peers_fault(failure: Failure) -> bool:
    error = failure.value
    if isinstance(error, DecodeError | BananaError | NoSuchObject):
        return True
    if isinstance(error, Error):
        # Registered or not, the application raised it on purpose.
        return False
    return bool(failure.parents) and failure.parents[0] in defaults.declared.errors
