"""The calls of a link in ``broker.once``: when each is made, and when it is made again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from broker.core.wire.terms import Terms
from broker.defer import Deferred
from broker.errors import ConfigError, PBConnectionLost
from broker.failure import Failure
from broker.flavors.reference import RemoteReference
from broker.link.made import Coming
from broker.once_calls import OnceKeys, call_with_meta, terms_now, why_not_again

if TYPE_CHECKING:
    from broker.connection.connection import Connection

__all__ = ["OnceCall", "PeerTerms"]


class PeerTerms:
    """The terms of the peer on each connection: calls in ``broker.once`` need them."""

    def __init__(self) -> None:
        self._coming: dict[Connection, Coming] = {}

    def on(self, connection: Connection) -> Coming:
        """Return whether they have come on a connection."""
        coming = self._coming.get(connection)
        if coming is None:
            coming = Coming()
            if connection.is_closed:
                coming.fail(_ended(connection))
                return coming
            self._coming[connection] = coming
            connection.broker.session.when_terms(coming.come)
        return coming

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        coming = self._coming.pop(connection, None)
        if coming is not None:
            coming.fail(_ended(connection))


def _ended(connection: Connection) -> Failure:
    return Failure(PBConnectionLost(connection.broker.reason, may_have_run=False))


class OnceCall:
    """The key of one call, and what is known of whether the call has run.

    Args:
        keys: of the link.

    Attributes:
        may_have_run: whether the call may have run on a connection that has ended.
    """

    __slots__ = ("_first", "_keys", "_number", "_sent", "may_have_run")

    def __init__(self, keys: OnceKeys):
        self._keys = keys
        self._number = keys.begin()
        # The terms of the peer to which it was first sent, and when that was.
        self._first: Terms | None = None
        self._sent = 0.0
        self.may_have_run = False

    def why_not(self, connection: Connection) -> Exception | None:
        """Return why the call cannot be made on a connection whose terms have come; else None."""
        now = asyncio.get_running_loop().time()
        if self._first is not None:
            return why_not_again(
                self._first, connection.broker.session.outbox.terms, self._sent, now
            )
        try:
            self._first = terms_now(connection)
        except ConfigError as error:
            return error
        self._sent = now
        return None

    def call(
        self,
        reference: RemoteReference,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        kind: type[Deferred[Any]],
    ) -> Deferred[Any]:
        """Make the call, with its key."""
        return call_with_meta(reference, self._keys.meta(self._number), name, args, kw, kind)

    def lost(self, *, may_have_run: bool) -> None:
        """Note that the call has had no answer."""
        if may_have_run:
            self.may_have_run = True
        elif not self.may_have_run:
            self._first = None

    def ending(self, failure: Failure) -> Failure:
        """Return the failure with which the call ends if it is not made again."""
        error = failure.as_exception()
        if not self.may_have_run:
            return failure
        if isinstance(error, PBConnectionLost):
            if error.may_have_run:
                return failure
            return Failure(PBConnectionLost("may have run: not made again", may_have_run=True))
        return Failure(PBConnectionLost(error, may_have_run=True))

    def end(self) -> None:
        """Note that the call has its outcome: the server may forget its reply."""
        self._keys.end(self._number)
