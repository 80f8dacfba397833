"""Calls that run at most once, at the caller: ``broker.once``, and the keys of such calls.

The caller gives each call a key, and repeats it on another connection with the same key, while the
server keeps the reply. The rules are functions here; a Link applies them.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from broker.core.calls.attached import ATTACHED, ONCE, attach
from broker.core.wire.commands import Feature
from broker.core.wire.terms import Terms
from broker.defer import Deferred
from broker.errors import ConfigError, PBConnectionLost
from broker.flavors.promise import Promise
from broker.flavors.reference import RemoteReference

if TYPE_CHECKING:
    from broker.connection.connection import Connection

__all__ = [
    "OnceKeys",
    "call_with_meta",
    "in_once",
    "once",
    "peer_terms",
    "terms_now",
    "why_not_again",
]


@asynccontextmanager
async def once() -> AsyncIterator[None]:
    """``async with broker.once():`` runs each call that begins inside at most once.

    It is for calls of a Link, which may repeat them on another connection. The server runs such a
    call once, and answers a repetition with the reply to the first call. It does not cancel the
    method when the connection is lost.

    A call without an answer is not repeated, so this block does not change it.

    Raises:
        ConfigError: by a call of a reference of one connection; or by a call whose server keeps no
            replies.
        ResultLost: by a call that has run, and whose result the server cannot repeat.
    """
    with attach(is_once=True):
        yield


def in_once() -> bool:
    """Return whether the running code is in a block of `once`."""
    attached = ATTACHED.get()
    return attached is not None and attached.is_once


class OnceKeys:
    """The keys of the calls of one caller.

    Args:
        nonce: 16 bytes; random ones if it is left out.

    Attributes:
        settled: all calls up to this number have ended here, so the server may forget them.
    """

    def __init__(self, nonce: bytes | None = None):
        raw = secrets.token_bytes(16) if nonce is None else nonce
        self._nonce = base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
        self._last = 0
        # Oldest first.
        self._open: dict[int, None] = {}

    @property
    def settled(self) -> int:
        """See the class."""
        return next(iter(self._open), self._last + 1) - 1

    def begin(self) -> int:
        """Return the number of a new call. Call `end` when it has ended, however it ends."""
        self._last += 1
        self._open[self._last] = None
        return self._last

    def end(self, number: int) -> None:
        """Note that a call has ended: it will not be repeated."""
        self._open.pop(number, None)

    def meta(self, number: int) -> dict[str, str]:
        """Return the metadata to send, now, with a call that has not ended."""
        return {ONCE: f"{self._nonce}.{number}.{self.settled}"}


def call_with_meta(
    reference: RemoteReference,
    meta: Mapping[str, str],
    name: str,
    args: tuple[object, ...] = (),
    kw: dict[str, object] | None = None,
    kind: type[Deferred[Any]] = Promise,
) -> Deferred[Any]:
    """Call a method of a reference, with metadata of its own; see ``RemoteReference.callRemote``.

    Args:
        reference: of the object.
        meta: joins what the running code attaches to its calls.
        name, args, kw: the method and its arguments.
        kind: the class of the Deferred.
    """
    calls = reference.broker.calls
    made = calls.make_call(
        reference.view, reference.luid, name, args, dict(kw or {}), False, kind, meta
    )
    assert made is not None  # noqa: S101 - only with ``pbanswer=False``
    return made


async def peer_terms(connection: Connection) -> Terms:
    """Return the terms of a peer that keeps replies; wait until they have come.

    Raises:
        ConfigError: it keeps none.
        PBConnectionLost: the connection has ended before the terms came.
    """
    broker, came = connection.broker, asyncio.Event()
    session = broker.session
    session.when_terms(came.set)
    broker.notifyOnDisconnect(came.set)
    try:
        if not broker.disconnected:
            await came.wait()
    finally:
        broker.dontNotifyOnDisconnect(came.set)
    if broker.disconnected:
        raise PBConnectionLost(broker.reason, may_have_run=False)
    return terms_now(connection)


def terms_now(connection: Connection) -> Terms:
    """Return the terms of a peer that keeps replies; they have come.

    Raises:
        ConfigError: it keeps none.
    """
    session = connection.broker.session
    dialect, outbox = session.dialect, session.outbox
    if dialect is None or Feature.META not in outbox.features:
        name = "" if dialect is None else dialect.name.decode("ascii")
        raise ConfigError(f"the peer keeps no replies ('{name}')")
    if not outbox.terms.once:
        raise ConfigError("the server keeps no replies")
    return outbox.terms


def why_not_again(first: Terms, terms: Terms, sent: float, now: float) -> PBConnectionLost | None:
    """Return why a call with a key that may have run cannot be repeated; None if it can.

    Args:
        first: the terms of the peer that the call was first sent to.
        terms: those of the peer to repeat it to.
        sent: when the call was first sent, in seconds.
        now: the time.
    """
    if terms.instance is None or terms.instance != first.instance:
        return PBConnectionLost("the server was restarted", may_have_run=True)
    if now - sent >= first.once:
        text = f"sent {now - sent:.0f} s ago; replies are kept for {first.once} s"
        return PBConnectionLost(text, may_have_run=True)
    return None
