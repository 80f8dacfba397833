"""UNIX sockets, on real ones."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.net.socket_addresses import UNIXAddress
from broker.reactor import Reactor
from broker.reactor.error import CannotListenError
from broker.reactor.protocol import Factory

Run = Callable[[], None]


def converse(reactor: Reactor, run: Run, journal: Any, path: str, **kw: int) -> list[Any]:
    """Connect to the path, say hello and wait for the echo; return the addresses at both ends."""
    seen: list[Any] = []

    def take(protocol: Any, data: bytes) -> None:
        seen.extend([data, protocol.transport.getPeer()])
        protocol.transport.loseConnection()

    client = journal.client_factory(
        journal.protocol(
            "client", connectionMade=lambda p: p.transport.write(b"hello"), dataReceived=take
        ),
        clientConnectionLost=lambda connector, reason: reactor.stop(),
        clientConnectionFailed=lambda connector, reason: (seen.append(reason), reactor.stop()),
    )
    connector = reactor.connectUNIX(path, client, **kw)
    assert connector.getDestination() == UNIXAddress(path)
    run()
    return seen


def echo(journal: Any) -> Factory:
    """A server's factory."""
    return Factory.forProtocol(
        journal.protocol("server", dataReceived=lambda p, data: p.transport.write(data.upper()))
    )


def test_listen_and_connect(reactor: Reactor, run: Run, journal: Any, tmp_path: Path) -> None:
    """A UNIX socket carries data; its file has the mode, and is removed with the port."""
    path = str(tmp_path / "socket")
    port = reactor.listenUNIX(path, echo(journal), mode=0o600)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert port.getHost() == UNIXAddress(path)
    assert converse(reactor, run, journal, path) == [b"HELLO", UNIXAddress(path)]
    assert "clientConnectionLost ConnectionDone" in journal
    assert list(tmp_path.iterdir()) == []


def test_stopped_before_running(reactor: Reactor, tmp_path: Path) -> None:
    """A port that is closed before any loop ran leaves no file, and the path can be used again."""
    path = str(tmp_path / "socket")
    reactor.listenUNIX(path, Factory(), wantPID=1).stopListening()
    assert list(tmp_path.iterdir()) == []
    reactor.listenUNIX(path, Factory()).stopListening()


def test_dead_socket(reactor: Reactor, tmp_path: Path) -> None:
    """A socket that no program listens on is replaced, and so is the lock of an ended process."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    os.symlink("999999999", f"{path}.lock")
    port = reactor.listenUNIX(str(path), Factory(), wantPID=1)
    assert os.readlink(f"{path}.lock") == str(os.getpid())
    port.stopListening()


def test_taken(reactor: Reactor, tmp_path: Path) -> None:
    """A path with a listener, or with the lock of a running process, is refused."""
    path = str(tmp_path / "socket")
    port = reactor.listenUNIX(path, Factory())
    with pytest.raises(CannotListenError, match="in use"):
        reactor.listenUNIX(path, Factory())
    with pytest.raises(CannotListenError, match="in use"):
        reactor.listenUNIX(path, Factory(), wantPID=1)
    assert not os.path.lexists(path + ".lock")
    port.stopListening()
    os.symlink(str(os.getppid()), path + ".lock")
    with pytest.raises(CannotListenError, match="in use"):
        reactor.listenUNIX(path, Factory(), wantPID=1)
    with pytest.raises(CannotListenError):
        reactor.listenUNIX(str(tmp_path / "no" / "socket"), Factory(), wantPID=1)


def test_check_pid(reactor: Reactor, run: Run, journal: Any, tmp_path: Path) -> None:
    """A client with checkPID connects to a server with a lock."""
    path = str(tmp_path / "socket")
    reactor.listenUNIX(path, echo(journal), wantPID=1)
    assert converse(reactor, run, journal, path, checkPID=1)[0] == b"HELLO"
    assert list(tmp_path.iterdir()) == []


def test_check_pid_fails(reactor: Reactor, run: Run, journal: Any, tmp_path: Path) -> None:
    """A client with checkPID refuses a server without a lock."""
    path = str(tmp_path / "socket")
    reactor.listenUNIX(path, echo(journal))
    converse(reactor, run, journal, path, checkPID=1)
    assert "clientConnectionFailed BadFileError" in journal


def test_no_listener(reactor: Reactor, run: Run, journal: Any, tmp_path: Path) -> None:
    """A path without a socket fails the attempt."""
    converse(reactor, run, journal, str(tmp_path / "socket"))
    assert "clientConnectionFailed ConnectError" in journal
