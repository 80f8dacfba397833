"""The handle on a connection that the asyncio face gives out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.stats import Stats
from broker.defer import Deferred
from broker.flavors.reference import RemoteReference
from broker.net import forks
from broker.peer import Peer

if TYPE_CHECKING:
    from broker.connection import Broker

__all__ = ["Connection"]


class Connection:
    """A handle on one connection; all that it says is the Broker's.

    Attributes:
        broker: the pump, with the published names.
    """

    __slots__ = ("broker",)

    def __init__(self, broker: Broker):
        self.broker = broker

    def __repr__(self) -> str:
        broker = self.broker
        user = "" if broker.peer.avatar_id is None else f" ({broker.peer.avatar_id!r})"
        state = "closed" if broker.disconnected else self.dialect or "connecting"
        address = broker.peer.address
        where = "a peer without an address" if address is None else address
        return f"<Connection to {where}{user}, {state}>"

    @property
    def root(self) -> RemoteReference:
        """The object that a server without login serves.

        Raises:
            AttributeError: this connection has logged in; use ``avatar``.
        """
        if self.broker.avatar is not None:
            raise AttributeError("this server has a login: use connection.avatar")
        return self.broker.remoteForName(b"root")

    @property
    def avatar(self) -> RemoteReference:
        """The perspective that the login yielded.

        Raises:
            AttributeError: there was no login; use ``root``.
        """
        if self.broker.avatar is None:
            raise AttributeError("there was no login: use connection.root, or pass credentials")
        return self.broker.avatar  # type: ignore[no-any-return]

    @property
    def peer(self) -> Peer:
        """Who is at the other end.

        With several logins on the connection, this is the last that has not ended. Who makes a
        call, ``broker.current_call().peer`` tells.
        """
        return self.broker.peer

    @property
    def dialect(self) -> str:
        """What is spoken: ``"pb"`` or ``"none"``; empty until that is agreed on."""
        return self.broker.dialect

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return bool(self.broker.disconnected)

    @property
    def stats(self) -> Stats:
        """What has been sent and received, and which limits were hit."""
        return self.broker.session.stats

    async def close(self) -> None:
        """Close once what was written has left, and wait for it; calls without an answer fail.

        Raises:
            RuntimeError: the connection belongs to another event loop, or this process was forked
                after it was made.
        """
        forks.check(self.broker)
        if not self.is_closed:
            self.broker.calls.check_loop("close()")
        self.broker.flush()
        if not self.is_closed:
            self.broker.transport.loseConnection()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, whoever ends it.

        Raises:
            RuntimeError: the connection belongs to another event loop, or this process was forked
                after it was made.
        """
        forks.check(self.broker)
        if not self.is_closed:
            self.broker.calls.check_loop("wait_closed()")
        # By a Deferred of one's own: who stops waiting would cancel the one that all share.
        ended: Deferred[None] = Deferred()
        self.broker.closed.addBoth(ended.callback)
        await ended
