"""UNIX sockets: the port, the connector, and the lock file that names the listening process."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.net.socket_addresses import UNIXAddress
from broker.net.sockets import bind_unix, connect_unix
from broker.net.transports import MakeProtocol
from broker.reactor.engine.connectors import StreamConnector
from broker.reactor.engine.ports import StreamPort
from broker.reactor.error import BadFileError, CannotListenError
from broker.reactor.typed import ConnectingFactory, ProtocolFactory

if TYPE_CHECKING:
    from broker.reactor.engine.mainloop import Mainloop

__all__ = ["Connector", "Port", "UNIXConnector", "UNIXPort"]


class UNIXPort(StreamPort):
    """A listening UNIX socket, as `listenUNIX` returns it.

    Attributes:
        port: the path.
        mode: the permissions of the socket file.
        wantPID: whether a lock file names the listening process.
    """

    def __init__(
        self,
        reactor: Mainloop,
        factory: ProtocolFactory,
        address: str | bytes | os.PathLike[str],
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ):
        super().__init__(reactor, factory, backlog)
        self.port = os.fsdecode(address)
        self.mode = mode
        self.wantPID = bool(wantPID)

    def bind(self) -> tuple[socket.socket, ...]:
        """Return the socket, after its file and its lock are made."""
        if self.wantPID:
            _lock(self.port)
        try:
            sockets = bind_unix(self.port, self.backlog)
        except CannotListenError:
            self.closed()
            raise
        os.chmod(self.port, self.mode)
        return sockets

    def closed(self) -> None:
        """Remove the files."""
        with suppress(FileNotFoundError):
            if self._sockets:
                os.unlink(self.port)
        with suppress(FileNotFoundError):
            if self.wantPID:
                os.unlink(_lock_of(self.port))


class UNIXConnector(StreamConnector):
    """The result of `connectUNIX`.

    Attributes:
        address: the path of the socket.
        checkPID: whether the lock file must name a running process.
    """

    def __init__(
        self,
        reactor: Mainloop,
        address: str | bytes | os.PathLike[str],
        factory: ConnectingFactory,
        timeout: float | None = 30,
        checkPID: int = 0,
    ):
        super().__init__(reactor, factory, timeout)
        self.address = os.fsdecode(address)
        self.checkPID = bool(checkPID)

    async def open(self, make_protocol: MakeProtocol, timeout: float | None) -> None:
        """Connect to the socket."""
        if self.checkPID and not _is_locked(self.address):
            raise BadFileError(None, f"no running process holds {_lock_of(self.address)}")
        await connect_unix(make_protocol, self.address, timeout=timeout)

    def getDestination(self) -> UNIXAddress:
        """Return the address to connect to (published)."""
        return UNIXAddress(self.address)


# Their published names, in `twisted.internet.unix`.
Connector = UNIXConnector
Port = UNIXPort

# The lock is a symbolic link to the number of a process: making one is atomic, and Twisted uses the
# same lock.


def _lock_of(path: str) -> str:
    return path + ".lock"


def _lock(path: str) -> None:
    """Write the lock of `path` for this process, unless it names another running process."""
    if _is_locked(path):
        raise CannotListenError(path, "unix", OSError(errno.EADDRINUSE, "another process has it"))
    with suppress(FileNotFoundError):
        os.unlink(_lock_of(path))
    try:
        os.symlink(str(os.getpid()), _lock_of(path))
    except OSError as exc:
        raise CannotListenError(path, "unix", exc) from exc


def _is_locked(path: str) -> bool:
    try:
        number = int(os.readlink(_lock_of(path)))
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True
