"""The Reactor: a mainloop with the published methods to listen and to connect."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from broker.defer import Deferred, fail, succeed
from broker.defer import TimeoutError as DeferredTimeoutError
from broker.errors import ConfigError
from broker.failure import Failure
from broker.net.host_names import ascii_name
from broker.reactor.engine.connectors import Connector, StreamConnector
from broker.reactor.engine.descriptors import Descriptors
from broker.reactor.engine.mainloop import Mainloop
from broker.reactor.engine.ports import Port, StreamPort
from broker.reactor.engine.processes import ProcessTransport, spawn_process
from broker.reactor.engine.thread_pool import deferToThreadPool
from broker.reactor.engine.unix import UNIXConnector, UNIXPort
from broker.reactor.error import DNSLookupError
from broker.reactor.typed import (
    ConnectingFactory,
    ContextFactory,
    Environment,
    ProtocolFactory,
    Reader,
    Writer,
)

__all__ = ["Reactor"]

P = TypeVar("P", bound=StreamPort)
C = TypeVar("C", bound=StreamConnector)


class Reactor(Mainloop):
    """A reactor with Twisted's API on an asyncio event loop.

    The functions of `broker.reactor` are the methods of one instance, made when that is imported. A
    program needs its own instance only after that one has run, as in a test.

    Args:
        loop_factory: makes the loop of `run`, such as `uvloop.new_event_loop`; None means
            asyncio's.
    """

    def __init__(self, *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None):
        super().__init__(loop_factory=loop_factory)
        self._descriptors = Descriptors(self)

    def listenTCP(
        self, port: int, factory: ProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> Port:
        """Listen on a TCP port; connections are accepted while the reactor runs (published).

        Port 0 is any free port: `listenTCP(0, factory).getHost().port`. The interface is an IPv4 or
        IPv6 address of this machine; an empty one means every IPv4 address. A factory refuses a
        connection if its `buildProtocol` returns None.

        Raises:
            CannotListenError: the address is in use, not of this machine, or not allowed.
        """
        return self._listen(Port(self, factory, port, interface, backlog))

    def listenSSL(
        self,
        port: int,
        factory: ProtocolFactory,
        contextFactory: ContextFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> Port:
        """Listen as `listenTCP` does, with TLS (published).

        `contextFactory.getContext()` returns the pyOpenSSL context.

        Raises:
            CannotListenError: the address is in use, not of this machine, or not allowed.
        """
        return self._listen(Port(self, factory, port, interface, backlog, contextFactory))

    def connectTCP(
        self,
        host: str,
        port: int | str,
        factory: ConnectingFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | str | None = None,
    ) -> Connector:
        """Connect to a TCP port once the reactor runs; the factory gets the outcome (published).

        The port may be the name of a service. `timeout` is in seconds; None means no limit.
        `bindAddress` is this end's address, or (address, port).

        Raises:
            ServiceNameUnknownError: this system lists no service of that name.
        """
        return self._connect(Connector(self, host, port, factory, timeout, bindAddress))

    def connectSSL(
        self,
        host: str,
        port: int | str,
        factory: ConnectingFactory,
        contextFactory: ContextFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | str | None = None,
    ) -> Connector:
        """Connect as `connectTCP` does, with TLS (published).

        `contextFactory.getContext()` returns the pyOpenSSL context, which decides what is verified.
        """
        return self._connect(
            Connector(self, host, port, factory, timeout, bindAddress, contextFactory)
        )

    def listenUNIX(
        self,
        address: str,
        factory: ProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> UNIXPort:
        """Listen on a UNIX socket (published).

        A socket at that path that no program listens on is replaced.

        Args:
            address: its path.
            factory: makes the protocols.
            backlog: how many connections the kernel queues until they are accepted.
            mode: the permissions of the socket file, which decide what users may connect.
            wantPID: keep ``address + ".lock"`` while listening, which has the id of the process.

        Raises:
            CannotListenError: that path is in use, or the socket cannot be made.
        """
        return self._listen(UNIXPort(self, factory, address, backlog, mode, wantPID))

    def connectUNIX(
        self,
        address: str,
        factory: ConnectingFactory,
        timeout: float | None = 30,
        checkPID: int = 0,
    ) -> UNIXConnector:
        """Connect to a UNIX socket once the reactor runs; the factory gets the outcome (published).

        With `checkPID` the attempt fails with BadFileError unless the lock of a server with
        `wantPID` names a running process.
        """
        return self._connect(UNIXConnector(self, address, factory, timeout, checkPID))

    def resolve(self, name: str, timeout: Sequence[float] = (1, 3, 11, 45)) -> Deferred[str]:
        """Return a Deferred of the IPv4 address of a host name, as text (published).

        An IPv4 address is returned unchanged, and an empty name means ``0.0.0.0``. The system looks
        the name up, in a thread. The sum of `timeout`, in seconds, is the time limit. It fails with
        DNSLookupError.
        """
        if not name:
            return succeed("0.0.0.0")  # noqa: S104 - as published
        try:
            socket.inet_pton(socket.AF_INET, name)
        except OSError:
            pass
        else:
            return succeed(name)
        try:
            wanted = ascii_name(name)
        except ConfigError as exc:
            return fail(DNSLookupError(str(exc)))
        found = deferToThreadPool(
            self, self.getThreadPool(), socket.getaddrinfo, wanted, None, socket.AF_INET
        )
        found.addTimeout(sum(timeout), self)
        return found.addCallbacks(lambda rows: rows[0][4][0], lambda why: _not_found(name, why))

    def spawnProcess(
        self,
        processProtocol: object,
        executable: str | bytes,
        args: Sequence[str | bytes] = (),
        env: Environment | None = {},  # noqa: B006 - as published, and never changed
        path: str | bytes | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: bool | int = 0,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> ProcessTransport:
        """Run a program, and give its standard streams to a protocol (published).

        The arguments and errors are those of `processes.spawn_process`.
        """
        return spawn_process(
            self, processProtocol, executable, args, env, path, uid, gid, usePTY, childFDs
        )

    def addReader(self, reader: Reader) -> None:
        """Call `reader.doRead()` whenever its descriptor is readable (published).

        Its `fileno()` returns the descriptor. If `doRead` raises, or returns a value other than
        None, that goes to `reader.connectionLost` in a Failure, and the reader is not watched any
        more. When the reactor stops, all readers get ConnectionLost.
        """
        self._descriptors.add(reader, self._descriptors.readers)

    def addWriter(self, writer: Writer) -> None:
        """Call `writer.doWrite()` whenever its descriptor is writable; see `addReader`."""
        self._descriptors.add(writer, self._descriptors.writers)

    def removeReader(self, reader: Reader) -> None:
        """Stop watching a reader; does nothing if it is not watched (published)."""
        self._descriptors.remove(reader, self._descriptors.readers)

    def removeWriter(self, writer: Writer) -> None:
        """Stop watching a writer; does nothing if it is not watched (published)."""
        self._descriptors.remove(writer, self._descriptors.writers)

    def removeAll(self) -> list[Any]:
        """Stop watching all readers and writers, and return them (published)."""
        return self._descriptors.remove_all()

    def getReaders(self) -> list[Any]:
        """Return the watched readers (published)."""
        return [watch.selectable for watch in self._descriptors.readers.values()]

    def getWriters(self) -> list[Any]:
        """Return the watched writers (published)."""
        return [watch.selectable for watch in self._descriptors.writers.values()]

    @staticmethod
    def _listen(port: P) -> P:
        port.startListening()
        return port

    @staticmethod
    def _connect(connector: C) -> C:
        connector.connect()
        return connector


def _not_found(name: str, failure: Failure) -> NoReturn:
    failure.trap(OSError, DeferredTimeoutError)
    raise DNSLookupError(f"host {name!r} does not resolve") from failure.value
