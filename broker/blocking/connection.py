"""``connect`` for threads, and the connection that it returns."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from broker import client
from broker.blocking.callbacks import CallbackThread
from broker.blocking.loop import Background, Close, ClosedByBlock, background
from broker.blocking.reference import Reference, Stream
from broker.connection import connection as connections
from broker.connection.peer import Peer
from broker.core.policy import STRICT, Policy
from broker.core.stats import Stats
from broker.net.tls.settings import TLS
from broker.observers import Observer
from broker.stopping import close_all, drained

__all__ = ["Connection", "connect"]

T = TypeVar("T")


class Connection(ClosedByBlock):
    """One connection, for threads: any thread may use it, and all that it returns.

    It is a context manager; the end of the block closes it, after all that was written has been
    sent.

    Attributes:
        connection: the ``broker.Connection``, for code in the loop.
    """

    __slots__ = ("__weakref__", "_background", "_callbacks", "connection")

    def __init__(self, connection: connections.Connection, own: Background):
        self.connection = connection
        self._background = own
        self._callbacks: CallbackThread | None = None

    def __repr__(self) -> str:
        return f"<blocking.{repr(self.connection).removeprefix('<')}"

    @property
    def root(self) -> Reference:
        """The root object of a server without a login.

        Raises:
            AttributeError: this connection has logged in; use ``avatar``.
        """
        return Reference(self.connection.root, self._background)

    @property
    def avatar(self) -> Reference:
        """The avatar that the login returned.

        Raises:
            AttributeError: the client has not logged in; use ``root``.
        """
        return Reference(self.connection.avatar, self._background)

    @property
    def peer(self) -> Peer:
        """The other end."""
        return self.connection.peer

    @property
    def dialect(self) -> str:
        """The dialect: ``"msgpack/1"``, ``"pb"`` or ``"none"``."""
        return self.connection.dialect

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self.connection.is_closed

    @property
    def stats(self) -> Stats:
        """Counts of what was sent and received, and of the limits that were reached."""
        return self.connection.stats

    def run(self, awaitable: Awaitable[T]) -> T:
        """Wait for an awaitable, which runs in the loop, and return its result.

        The calls of an object that ``Reference.of`` has made are awaitables, and so are coroutines,
        which may use ``connection``.

        Raises:
            CallTimeout: the time of ``blocking.timeout`` is over.
            RuntimeError: called in the loop's thread, or in a forked child process. The exception
                of the awaitable is raised as by ``await``.
        """
        return self._background.run(awaitable)

    def iterate(self, items: AsyncIterable[T]) -> Stream[T]:
        """Return an iterator that waits for the items of an async iterable of the loop.

        The peer makes only as many items ahead as with ``async for``.
        """
        return Stream(items, self._background)

    def serve_callbacks(self, *, in_thread: bool = False) -> None:
        """Serve the calls of the peer until the connection ends, or Ctrl-C.

        The calls are served without this, too: the methods run in the loop's thread, and must not
        wait. With ``in_thread=True`` plain methods run in one other thread from now on, in their
        order, and may wait; this then returns at once. ``async`` methods always run in the loop.

        Args:
            in_thread: whether plain methods run in a thread of this connection.

        Raises:
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("serve_callbacks", "connection.wait_closed")
        if in_thread:
            own.wait(self._serve_in_thread)
        else:
            with suppress(KeyboardInterrupt):
                own.wait(self.connection.wait_closed)

    def close(self) -> None:
        """Send what was written, close, and wait for the end; calls without an answer fail.

        Raises:
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("close", "connection.close")
        if not self.is_closed:
            own.wait(self.connection.close)

    def wait_closed(self) -> None:
        """Wait until the connection has ended, on whichever side.

        Raises:
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("wait_closed", "connection.wait_closed")
        if not self.is_closed:
            own.wait(self.connection.wait_closed)

    async def _serve_in_thread(self) -> None:
        if self._callbacks is None and not self.is_closed:
            self._callbacks = CallbackThread(self._background, self.connection.broker)


def connect(
    address: str,
    credentials: Any = None,
    *,
    mind: Any = None,
    tls: TLS | None = None,
    policy: Policy = STRICT,
    timeout: float = 10.0,
    proxy: str | None = None,
    observers: Sequence[Observer] = (),
) -> Connection:
    """Connect to a server, log in if credentials are given, and wait for both.

    Arguments and errors are those of ``broker.connect``. KeyboardInterrupt ends the attempt.
    Observers are called in the loop's thread.

    Returns:
        The connection, to be used in ``with``, or to be closed. Those that are open when the
        interpreter exits are closed then.

    Raises:
        CallTimeout: the time of ``blocking.timeout`` is over.
        RuntimeError: called in the loop's thread.
    """
    own = background("connect", "broker.connect")
    connecting = client.connect(
        address,
        credentials,
        mind=mind,
        tls=tls,
        policy=policy,
        timeout=timeout,
        proxy=proxy,
        observers=observers,
    )
    return Connection(own.open(connecting, partial(_opened, own)), own)


def _opened(own: Background, connection: connections.Connection) -> Close:
    """Forget a connection when it has ended; return how it is closed before that."""
    broker = connection.broker

    def forget(result: object) -> object:
        own.opened.pop(connection, None)
        return result

    broker.closed.addBoth(forget)

    async def close(seconds: float) -> None:
        await drained([broker], seconds)
        limit = broker.policy.close_timeout
        await close_all([broker], limit, connections.LEAVING, at_once=not seconds)

    return close
