"""`Connection`, which the asyncio API returns for a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.connection.peer import Peer
from broker.core.stats import Stats
from broker.defer import Deferred
from broker.errors import PBConnectionLost
from broker.flavors.reference import RemoteReference
from broker.net import forks
from broker.stopping import DRAIN, Notice, checked_drain, close_all, drained, until_told

if TYPE_CHECKING:
    from broker.connection.broker import Broker

__all__ = ["Connection"]

# The goodbye of a client.
LEAVING = "the client is shutting down"


class Connection:
    """One connection; its Broker has all state.

    Attributes:
        broker: the Broker, with the published names.
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
        """The root object of a server without a login.

        Raises:
            AttributeError: this connection has logged in; use ``avatar``.
        """
        if self.broker.avatar is not None:
            raise AttributeError("this server has a login: use connection.avatar")
        return self.broker.remoteForName(b"root")

    @property
    def avatar(self) -> RemoteReference:
        """The avatar that the login returned.

        Raises:
            AttributeError: there was no login; use ``root``.
        """
        if self.broker.avatar is None:
            raise AttributeError("there was no login: use connection.root, or pass credentials")
        return self.broker.avatar

    @property
    def peer(self) -> Peer:
        """The other end.

        With several logins on the connection, this is the last that has not ended. In a remote
        method ``broker.current_call().peer`` is the caller.
        """
        return self.broker.peer

    @property
    def dialect(self) -> str:
        """The dialect: ``"msgpack/1"``, ``"pb"``, ``"none"``, or empty before the handshake."""
        return self.broker.dialect

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return bool(self.broker.disconnected)

    @property
    def draining(self) -> Notice | None:
        """The notice of a peer that takes no more calls: ``after`` and ``elsewhere``; else None.

        ``after`` is the number of seconds after which it may be back, 0 if that is not known.
        ``elsewhere`` has the addresses of other servers. It is never known in PB's dialects.
        """
        return self.broker.draining

    async def wait_draining(self) -> Notice | None:
        """Wait until the peer says that it takes no more calls; return ``draining``.

        Returns:
            None if the connection has ended before.
        """
        told: Deferred[None] = Deferred()

        def tell(result: object = None) -> None:
            if not told.called:
                told.callback(None)

        self.broker.when_peer_drains(tell)
        self.broker.closed.addCallback(tell)
        await told
        return self.broker.draining

    @property
    def stats(self) -> Stats:
        """Counts of what was sent and received, and of the limits that were reached."""
        return self.broker.session.stats

    async def ping(self) -> float:
        """Ask the peer for an answer, and return the seconds until it came.

        The peer answers without calling a method, also before a login. It closes the connection if
        it gets more than ``max_pings`` in ``ping_after`` seconds.

        Raises:
            PBConnectionLost: the connection has ended.
            RuntimeError: PB's dialects have no pings.
        """
        if self.is_closed:
            raise PBConnectionLost(self.broker.reason)
        pings = self.broker.pings
        if pings is None:
            raise RuntimeError(f"there are no pings in the dialect '{self.dialect}'")
        return await pings.ask()

    async def close(self) -> None:
        """Send what was written, close, and wait for the end; calls without an answer fail.

        Raises:
            RuntimeError: the connection belongs to another event loop, or this process was forked
                after it was made.
        """
        forks.check(self.broker)
        if not self.is_closed:
            self.broker.calls.check_loop("close()")
            interception = self.broker.calls.interception
            if interception is not None:
                await interception.sent(self.broker.policy.close_timeout)
        self.broker.flush()
        if not self.is_closed:
            self.broker.port.loseConnection()
        await self.wait_closed()

    async def serve_forever(self, *, drain: float = DRAIN, handle_signals: bool = True) -> None:
        """Serve calls until the connection ends, or SIGINT or SIGTERM comes; then drain and close.

        For a client whose objects the server calls. At a signal the server is told (in
        `msgpack/1`), its further calls are refused with ServerDraining, and the connection stays
        open until the last running call has ended. A second signal closes it at once.

        Args:
            drain: seconds that running calls have to end; 0 for none, ``math.inf`` for no limit.
            handle_signals: whether to handle these signals; only possible in the main thread.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
            RuntimeError: this process was forked after the connection was made.
        """
        seconds = checked_drain(drain)
        await until_told(
            self.wait_closed(),
            lambda: self._drain(seconds),
            lambda: self._close(at_once=True),
            {} if handle_signals else None,
        )

    async def _drain(self, seconds: float) -> None:
        if seconds:
            await drained([self.broker], seconds)
            await self._close(at_once=False)

    async def _close(self, *, at_once: bool) -> None:
        if not self.is_closed:
            seconds = self.broker.policy.close_timeout
            await close_all([self.broker], seconds, LEAVING, at_once=at_once)

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, on whichever side.

        Raises:
            RuntimeError: the connection belongs to another event loop, or this process was forked
                after it was made.
        """
        forks.check(self.broker)
        if not self.is_closed:
            self.broker.calls.check_loop("wait_closed()")
        # A Deferred for this caller: a cancelled wait would else cancel the shared one.
        ended: Deferred[None] = Deferred()
        self.broker.closed.addBoth(ended.callback)
        await ended
