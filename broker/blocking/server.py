"""``serve`` for threads, and the server that it returns."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from broker import running_server as running
from broker import server as servers
from broker.blocking.connection import Connection
from broker.blocking.loop import Background, Close, ClosedByBlock, background
from broker.connection import connection as asynchronous
from broker.core.policy import STRICT, Policy
from broker.interceptors import Interceptor
from broker.net.forwarded import X_FORWARDED_FOR
from broker.net.tls.settings import TLS
from broker.observers import Observer
from broker.replies import Replies
from broker.stopping import DRAIN

__all__ = ["Server", "serve"]

T = TypeVar("T")


class Server(ClosedByBlock):
    """A running server, for threads: for tests, notebooks and scripts.

    It is a context manager; the end of the block closes it when its calls have ended, after an
    exception at once. The methods that clients call run in the loop's thread, and must not wait.

    Attributes:
        server: the ``broker.Server``, for code in the loop.
    """

    def __init__(self, server: running.Server, own: Background):
        self.server = server
        self._background = own

    def __repr__(self) -> str:
        return f"<blocking.{repr(self.server).removeprefix('<')}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses it listens at, with the real ports; each can be passed to ``connect``."""
        return self.server.addresses

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open."""
        own = self._background
        # The loop changes what is listed.
        found = self.server.connections if own.is_here else own.wait(self._listed)
        return tuple(Connection(connection, own) for connection in found)

    @property
    def stats(self) -> running.ServerStats:
        """The counters."""
        return self.server.stats

    def run(self, awaitable: Awaitable[T]) -> T:
        """Wait for an awaitable, which runs in the loop; see `Connection.run`."""
        return self._background.run(awaitable)

    def serve_forever(self, *, drain: float | None = None) -> None:
        """Serve until the server is closed, or Ctrl-C; then drain and close.

        A second Ctrl-C raises KeyboardInterrupt.

        Args:
            drain: seconds for the calls that run then; see `close`.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("serve_forever", "server.serve_forever")
        try:
            own.wait(partial(self.server.serve_forever, drain=drain, handle_signals=False))
        except KeyboardInterrupt:
            self.close(drain=drain)

    def close(self, *, drain: float | None = None) -> None:
        """Stop accepting, wait for running calls, and close.

        Args:
            drain: seconds to wait for running calls; 0 for no wait, ``math.inf`` for no limit;
                default the argument of `serve`.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("close", "server.close")
        own.wait(partial(self._close, drain))

    def reload_certificates(self) -> None:
        """Read the files of certificates and keys again, for new connections.

        Raises:
            ConfigError: the files are not valid; the old certificates stay in use.
        """
        self.server.reload_certificates()

    def _leave(self, error: BaseException | None) -> None:
        self.close(drain=None if error is None else 0)

    async def _listed(self) -> tuple[asynchronous.Connection, ...]:
        return self.server.connections

    async def _close(self, drain: float | None) -> None:
        await self.server.close(drain=drain)
        self._background.opened.pop(self.server, None)


def serve(
    target: Any,
    *addresses: str,
    tls: TLS | None = None,
    policy: Policy = STRICT,
    drain: float = DRAIN,
    debug: bool = False,
    replies: Replies | None = None,
    origins: Iterable[str] = (),
    trusted_proxies: Iterable[str] = (),
    forwarded: str = X_FORWARDED_FOR,
    sockets: Sequence[socket.socket] = (),
    reuse_port: bool = False,
    admin: str | None = None,
    observers: Sequence[Observer] = (),
    interceptors: Sequence[Interceptor] = (),
) -> Server:
    """Serve an object, or a portal, at one or more addresses.

    Arguments and errors are those of ``broker.serve``. Observers and interceptors are called in the
    loop's thread.

    Returns:
        The server, to be used in ``with``, or to be closed. Those that are open when the
        interpreter exits are closed then.

    Raises:
        RuntimeError: called in the loop's thread.
    """
    own = background("serve", "broker.serve")
    serving = servers.serve(
        target,
        *addresses,
        tls=tls,
        policy=policy,
        drain=drain,
        debug=debug,
        replies=replies,
        origins=origins,
        trusted_proxies=trusted_proxies,
        forwarded=forwarded,
        sockets=sockets,
        reuse_port=reuse_port,
        admin=admin,
        observers=observers,
        interceptors=interceptors,
    )

    def opened(server: running.Server) -> Close:
        return lambda seconds: server.close(drain=seconds)

    return Server(own.open(serving, opened), own)
