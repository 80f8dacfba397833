"""The server's end: ``serve``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from types import TracebackType
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from broker.addresses import Command, HostPort, Location, SocketPath, parse_address
from broker.admission import root_of
from broker.connection import Broker
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError
from broker.forgotten import warn_never_awaited
from broker.handle import Connection
from broker.net.listener import Listener
from broker.net.scheduler import LoopScheduler
from broker.net.streams import bind_stream, bind_unix, start_accepting
from broker.net.tls import TLS
from broker.printable import printable, text_of_value
from broker.reception import Reception

__all__ = ["Serve", "Server", "ServerStats", "serve"]

logger = logging.getLogger("broker.server")


class ServerStats(Struct):
    """What a server has done.

    Attributes:
        accepted: connections so far.
        closed: of these, those that have ended.
        limits: how often each limit refused something, by the name of its setting, over all
            connections; the connections that were not even let in are counted here, too.
    """

    accepted: int = 0
    closed: int = 0
    limits: Counter[str] = field(default_factory=Counter)


class Server:
    """A running server.

    Attributes:
        addresses: the addresses it listens at, with the real ports; each can be given to
            ``connect``.
        stats: what it has done so far.
    """

    def __init__(self, root: Any, policy: Policy):
        self.addresses: tuple[str, ...] = ()
        self.stats = ServerStats()
        self._root = root_of(root)
        self._reception = Reception(policy, self.stats.limits)
        self._reception.ration.begin(LoopScheduler(asyncio.get_running_loop()))
        self._policy = policy
        self._tls: TLS | None = None
        # A dict for its order: connections are closed in that in which they came.
        self._brokers: dict[Broker, None] = {}
        self._listeners: list[Listener] = []
        self._is_closing = False
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        if self._closed.is_set():
            return f"<Server at {_listed(self.addresses)}, closed>"
        count = len(self._brokers)
        state = f"{count} connection{'' if count == 1 else 's'}"
        return f"<Server at {_listed(self.addresses)}, {state}{', closing' * self._is_closing}>"

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open."""
        return tuple(broker.connection for broker in self._brokers)

    async def serve_forever(self, *, handle_signals: bool = True) -> None:
        """Serve until the server is closed, or SIGINT or SIGTERM comes; then drain.

        A second signal ends it at once. SIGHUP has the certificates read again, where they are
        files; without such files it does what it did before.

        Args:
            handle_signals: whether to take these signals; only possible in the main thread.
        """
        stop = asyncio.Event()
        abort = asyncio.Event()

        def interrupted() -> None:
            (abort if stop.is_set() else stop).set()

        handlers = {signal.SIGINT: interrupted, signal.SIGTERM: interrupted}
        if self._tls is not None and self._tls.files:
            handlers[signal.SIGHUP] = self._hung_up
        with _signals(handlers) if handle_signals else nullcontext():
            await _first(stop.wait(), self._closed.wait())
            if not self._closed.is_set():
                await _first(self.close(), abort.wait())
                await self.close(drain=0)

    def reload_certificates(self) -> None:
        """Read the files of certificates and keys again, for the connections to come.

        The connections that are open go on. Only to be told at once whether the new files are
        right: they are also read again by themselves, at the first connection after a change.

        Raises:
            ConfigError: they are wrong; what was read before stays in use.
        """
        if self._tls is not None:
            self._tls.reload()

    def _hung_up(self) -> None:
        try:
            self.reload_certificates()
        except ConfigError as exc:
            text = "reading certificates again for SIGHUP: ConfigError: %s"
            logger.error(text, printable(text_of_value(exc), 600, is_ascii=False))

    async def close(self, *, drain: float = 30.0) -> None:
        """Stop accepting, wait for running calls, and close.

        Args:
            drain: seconds to wait for calls that run; new ones are refused with ServerDraining.
        """
        self._is_closing = True
        for listener in self._listeners:
            listener.close()
        if drain > 0 and self._brokers:
            waits = [asyncio.ensure_future(_until(broker.drain())) for broker in self._brokers]
            _, late = await asyncio.wait(waits, timeout=drain)
            for wait in late:
                wait.cancel()
        await self._close_connections(at_once=drain <= 0)
        self._reception.ration.settle()
        self._closed.set()

    async def _close_connections(self, at_once: bool) -> None:
        brokers = list(self._brokers)
        for broker in brokers:
            broker.say_goodbye("closing" if at_once else "draining", "the server is shutting down")
            if at_once:
                broker.transport.abortConnection()
            else:
                broker.transport.loseConnection()
        if not brokers:
            return
        closing = [asyncio.ensure_future(_until(broker.closed)) for broker in brokers]
        _, late = await asyncio.wait(closing, timeout=self._policy.close_timeout)
        for broker in brokers:
            if not broker.disconnected:
                broker.transport.abortConnection()
        if late:
            await asyncio.wait(late)

    def _listen(self, locations: list[Location], tls: TLS | None) -> None:
        self._tls = tls
        bound = []
        with ExitStack() as undo:
            for location in locations:
                sockets = _bind(location)
                bound.append((location, sockets))
                undo.callback(_unbind, location, sockets)
            undo.pop_all()
        addresses = []
        for location, sockets in bound:
            listener = start_accepting(
                sockets,
                self._accept,
                tls=tls if location.is_tls else None,
                handshake_timeout=self._policy.handshake_timeout,
                close_timeout=self._policy.close_timeout,
                ration=self._reception.ration,
            )
            self._listeners.append(listener)
            addresses.append(str(_with_real_port(location, sockets[0])))
        self.addresses = tuple(addresses)

    def _accept(self, address: Any) -> Broker | None:
        if self._is_closing:
            return None
        broker = Broker(False, policy=self._policy)
        broker.peer.address = address
        if not self._reception.receive(broker, self._root.rootObject(broker), address):
            return None
        self._brokers[broker] = None
        self.stats.accepted += 1
        broker.ration.log(logger, logging.INFO, address, "connection from %s", address)
        broker.closed.addCallback(self._forget, broker)
        return broker

    def _forget(self, result: Any, broker: Broker) -> None:
        self._brokers.pop(broker, None)
        self.stats.closed += 1
        address, reason = broker.peer.address, text_of_value(broker.reason, 301)
        broker.ration.log(
            logger, logging.INFO, address, "connection from %s ended: %s", address, reason
        )


class Serve:
    """A server that is to be started: ``await`` it, or use it in ``async with``.

    One that was never awaited is told of by a RuntimeWarning, as a coroutine is.
    """

    def __init__(self, target: Any, locations: list[Location], tls: TLS | None, policy: Policy):
        self._target = target
        self._locations = locations
        self._tls = tls
        self._policy = policy
        self._server: Server | None = None
        self._is_awaited = False

    def __repr__(self) -> str:
        what = f"{type(self._target).__name__} at {_listed(self._locations)}"
        return f"<Serve of {what}{'' if self._is_awaited else ', not awaited'}>"

    def __await__(self) -> Generator[Any, Any, Server]:
        self._is_awaited = True
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        self._server = await self
        return self._server

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            await self._server.close(drain=30.0 if error is None else 0)

    def close(self) -> None:
        """Give it up: there is no server, and no warning that it was never awaited."""
        self._is_awaited = True

    def __del__(self) -> None:
        if not self._is_awaited:
            name = type(self._target).__name__
            addresses = ", ".join(f"'{location}'" for location in self._locations)
            warn_never_awaited(f"serve({name}, {addresses})", "server", self)

    async def _start(self) -> Server:
        server = Server(self._target, self._policy)
        server._listen(self._locations, self._tls)
        return server


def serve(target: Any, *addresses: str, tls: TLS | None = None, policy: Policy = STRICT) -> Serve:
    """Serve an object, or a portal, at one or more addresses.

    Args:
        target: a Root, whose methods every peer may call; or a Portal, where peers log in.
        addresses: ``pb://host:port``, or ``pbs://host:port`` for TLS; port 0 takes a free one. Or
            ``pb+unix:///path`` for a UNIX socket; a dead one at that path is replaced. The loopback
            address at port 8787 unless given.
        tls: the certificate to show, for ``pbs://``.
        policy: what is allowed.

    Returns:
        An object to ``await``, or to use in ``async with``, for a Server. Leaving the block closes
        it when its calls have ended; after an exception at once.

    Raises:
        ConfigError: an address is not understood, or is public and without TLS, or lacks ``tls``.
        CannotListenError: a port is in use, or not ours to open.
        TypeError: ``target`` is neither a Root nor a Portal.
    """
    default = "pb://127.0.0.1:8787" if tls is None else "pbs://127.0.0.1:8787"
    locations = [parse_address(address) for address in addresses or (default,)]
    for location in locations:
        _check(location, tls, policy)
    if tls is not None and not any(location.is_tls for location in locations):
        raise ConfigError(f"tls= is for pbs:// addresses, not {locations[0]}")
    return Serve(target, locations, tls, policy)


def _listed(places: Sequence[object]) -> str:
    return ", ".join(str(place) for place in places)


def _check(location: Location, tls: TLS | None, policy: Policy) -> None:
    if location.is_tls:
        if tls is None:
            raise ConfigError(
                f"{location} needs a certificate: pass tls=TLS.server(certificate, key)"
            )
    elif isinstance(location, Command):
        raise ConfigError(
            f"{location} is an address for connect, which runs the command; serve has"
            " pb+unix:///path, or stdio.StandardIO in the command itself"
        )
    elif isinstance(location, HostPort) and not (location.is_loopback or policy.insecure_plaintext):
        raise ConfigError(
            f"listening on {location.host} without TLS; use pbs:// and pass tls=…, or"
            f" Policy(insecure_plaintext=True)"
        )


def _bind(location: Location) -> tuple[socket.socket, ...]:
    match location:
        case SocketPath(path):
            return bind_unix(path)
        case HostPort(host, port):
            return bind_stream(host, port)
    raise TypeError(f"{location} is no place to listen at")


def _with_real_port(location: Location, sock: socket.socket) -> Location:
    if isinstance(location, HostPort):
        return replace(location, port=sock.getsockname()[1])
    return location


def _unbind(location: Location, sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
    if isinstance(location, SocketPath):
        with suppress(OSError):
            os.unlink(location.path)


class _signals:
    """While this block runs, signals call functions, by the number of the signal."""

    def __init__(self, functions: dict[signal.Signals, Callable[[], None]]):
        self._functions = functions
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number, function in self._functions.items():
            self._loop.add_signal_handler(number, function)

    def __exit__(self, *exc: object) -> None:
        for number in self._functions:
            self._loop.remove_signal_handler(number)


async def _until(awaitable: Any) -> None:
    await awaitable


async def _first(*coroutines: Any) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
