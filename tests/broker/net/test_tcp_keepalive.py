"""Dead peers: the socket options; tests/system disconnects real peers."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

import broker
from broker import pb
from broker.core.policy import STRICT
from broker.net.tcp_keepalive import probes, socket_of, watch
from broker.reactor import Reactor

ON_LINUX = sys.platform == "linux"


class Echo(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return the argument."""
        return value


def asked_of(sock: Any) -> dict[str, int]:
    """Return the options set on the socket of a connection; empty on another system than Linux."""
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
        return {}
    names = ["KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT"] if ON_LINUX else []
    return {
        name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}")) for name in names
    }


def expected(idle: int, interval: int, count: int, limit: int) -> dict[str, int]:
    """Return the expected result of `asked_of`; seconds, and milliseconds for the last."""
    found = {"KEEPIDLE": idle, "KEEPINTVL": interval, "KEEPCNT": count, "USER_TIMEOUT": limit}
    return found if ON_LINUX else {}


@pytest.mark.parametrize("wait", range(1, 200))
def test_probes(wait: int) -> None:
    """The probes take as long as the peer has, or a little less, and are at least three."""
    interval, count = probes(wait)
    assert wait - 10 < interval * count <= wait
    assert wait > 127 or interval * count == wait
    assert min(3, wait) <= count <= 127


@pytest.mark.parametrize(
    ("silence", "wait", "asked"),
    [
        (20.0, 20.0, expected(20, 5, 4, 37_500)),
        (2.9, 3.9, expected(2, 1, 3, 4_500)),
        (0.1, 0.1, expected(1, 1, 1, 1_500)),
        (1e9, 1.0, expected(32767, 1, 1, 32767_500)),
    ],
)
def test_what_is_asked(silence: float, wait: float, asked: dict[str, int]) -> None:
    """The idle time, the probes and the time for unsent data add up to both times together."""
    with socket.socket() as sock:
        watch(sock, silence, wait)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert asked_of(sock) == asked


@pytest.mark.parametrize("dialect", ["pb", "none", "msgpack/1"])
@pytest.mark.parametrize("secured", [False, True])
async def test_asyncio_face(
    each_loop: Any, dialect: str, secured: bool, server_tls: Any, client_tls: Any
) -> None:
    """Both ends enable keepalive only if the dialect has no pings, also over TLS."""
    policy = STRICT.but(dialects=(dialect,), ping_after=6, ping_timeout=9)
    address = "pbs://127.0.0.1:0" if secured else "pb://127.0.0.1:0"
    tls = (server_tls, client_tls) if secured else (None, None)
    async with (
        broker.serve(Echo(), address, policy=policy, tls=tls[0]) as server,
        broker.connect(server.addresses[0], policy=policy, tls=tls[1]) as connection,
    ):
        assert await connection.root.callRemote("echo", 1) == 1
        (far,) = server.connections
        asked = {} if dialect == "msgpack/1" else expected(6, 3, 3, 13_500)
        for end in (connection, far):
            assert asked_of(end.broker.transport._socket()) == asked
            assert end.broker.transport.getTcpKeepAlive() == (dialect != "msgpack/1")


async def test_unix(tmp_path: Path) -> None:
    """No option is set for a UNIX socket."""
    policy = STRICT.but(dialects=("pb",))
    address = f"pb+unix://{tmp_path / 'socket'}"
    async with (
        broker.serve(Echo(), address, policy=policy),
        broker.connect(address, policy=policy) as connection,
    ):
        assert await connection.root.callRemote("echo", 1) == 1
        sock = connection.broker.transport._socket()
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_published_face() -> None:
    """A PBClientFactory enables keepalive, with the times of the published policy."""
    reactor = Reactor()
    asked: list[dict[str, int]] = []
    port = reactor.listenTCP(0, pb.PBServerFactory(Echo()), interface="127.0.0.1")
    factory = pb.PBClientFactory()
    factory.protocol = _OnlyPB
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)

    def look(root: Any) -> None:
        asked.append(asked_of(root.broker.transport._socket()))
        factory.disconnect()
        reactor.stop()

    factory.getRootObject().addCallback(look)
    reactor.callLater(10, reactor.stop)
    reactor.run()
    assert asked == [expected(20, 5, 4, 37_500)]


class _OnlyPB(pb.Broker):
    """Offers PB's own dialects only, since it has a hook that knows expressions."""

    def expressionReceived(self, sexp: Any) -> None:
        """Do as published."""
        super().expressionReceived(sexp)


class Layer:
    """A transport with Twisted's methods over another transport, or over a socket."""

    def __init__(self, handle: Any, transport: Any = None):
        self.getHandle = lambda: handle
        if transport is not None:
            self.transport = transport


def test_socket_of() -> None:
    """The socket of a Twisted transport is found, also under TLS; others have none."""
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        assert socket_of(Layer(tcp)) is tcp
        assert socket_of(Layer("an OpenSSL connection", Layer(tcp))) is tcp
        assert socket_of(Layer(unix)) is None
        assert socket_of(Layer(None)) is None
        assert socket_of(object()) is None
        circular = Layer(None)
        circular.transport = circular
        assert socket_of(circular) is None
