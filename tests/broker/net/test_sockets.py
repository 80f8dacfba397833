"""Opening and accepting: real ports of 127.0.0.1, and the texts for errors of the system."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import closing

import pytest

from broker.errors import (
    CannotListenError,
    ConfigError,
    ConnectError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from broker.net import sockets
from broker.net.socket_addresses import IPv4Address, UNIXAddress
from broker.net.sockets import (
    bind_stream,
    bind_unix,
    connect_stream,
    connect_unix,
    start_accepting,
)


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def test_bind_without_a_loop() -> None:
    """bind_stream opens and listens at once; a client gets into the queue."""
    (sock,) = bind_stream("127.0.0.1", 0)
    with closing(sock), socket.create_connection(sock.getsockname(), 5):
        assert not sock.getblocking()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_port_in_use() -> None:
    """The text says that the port is in use, and the fields have the request."""
    (sock,) = bind_stream("127.0.0.1", 0)
    port = sock.getsockname()[1]
    with closing(sock), pytest.raises(CannotListenError) as caught:
        bind_stream("127.0.0.1", port)
    assert str(caught.value) == (
        f"Couldn't listen on 127.0.0.1:{port}: port {port} is in use;"
        " stop what uses it, or choose another port."
    )
    assert (caught.value.interface, caught.value.port) == ("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("192.0.2.1", "192.0.2.1 is not an address of this machine"),
        ("no.such.invalid", "host 'no.such.invalid' does not resolve"),
    ],
)
def test_hosts_that_cannot_be_listened_on(host: str, text: str) -> None:
    """An address of another machine and an unknown name have different errors."""
    with pytest.raises(CannotListenError, match=text):
        bind_stream(host, 0)


def test_forbidden_port() -> None:
    """A missing permission has a plain error text."""
    error = CannotListenError("", 80, PermissionError(13, "Permission denied"))
    assert str(error) == (
        "Couldn't listen on any:80: no permission to open port 80; choose a port above 1023."
    )
    assert str(CannotListenError("h", 1, OSError(12, "Cannot allocate memory"))) == (
        "Couldn't listen on h:1: Cannot allocate memory."
    )


def test_one_port_for_all_addresses_of_a_name(monkeypatch) -> None:
    """The sockets of one name share the port that the first was given."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 0)) for n in (1, 2)]
    monkeypatch.setattr(sockets.socket, "getaddrinfo", lambda *args, **kw: found)
    opened = bind_stream("two.example", 0)
    try:
        assert [sock.getsockname()[0] for sock in opened] == ["127.0.0.1", "127.0.0.2"]
        assert len({sock.getsockname()[1] for sock in opened}) == 1
    finally:
        for sock in opened:
            sock.close()


def test_address_that_is_missing_beside_one_that_is_not(monkeypatch) -> None:
    """A name with an address that this machine lacks still gets the others."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0))
        for host in ("192.0.2.1", "127.0.0.1")
    ]
    monkeypatch.setattr(sockets.socket, "getaddrinfo", lambda *args, **kw: found)
    (sock,) = bind_stream("half.example", 0)
    with closing(sock):
        assert sock.getsockname()[0] == "127.0.0.1"


async def test_ipv6(each_loop, factory, recorder) -> None:
    """An IPv6 address is listened on and connected to, where the machine has one."""
    try:
        sockets = bind_stream("::1", 0)
    except CannotListenError as exc:
        assert "::1 is not an address of this machine" in str(exc)
        return
    servers = factory()
    listener = start_accepting(sockets, servers)
    port = listener.addresses[0].port
    assert str(listener.addresses[0]) == f"[::1]:{port}"
    transport = await connect_stream(lambda peer: recorder(), "::1", port)
    assert transport.getPeer() == listener.addresses[0]
    transport.abortConnection()
    await transport.protocol.lost()
    listener.close()


async def test_connection_refused(each_loop, recorder) -> None:
    """A refused connection is reported with the address and a question that helps."""
    port = free_port()
    with pytest.raises(ConnectionRefusedError) as caught:
        await connect_stream(lambda peer: recorder(), "127.0.0.1", port)
    assert str(caught.value) == (f"connection refused by 127.0.0.1:{port}: is the server running?")
    with pytest.raises(ConnectionRefusedError):
        await connect_stream(lambda peer: recorder(), "localhost", port)


async def test_name_that_does_not_resolve(each_loop, recorder) -> None:
    """An unknown name has an error text that says so."""
    with pytest.raises(DNSLookupError) as caught:
        await connect_stream(lambda peer: recorder(), "no.such.invalid", 1)
    assert str(caught.value) == "host 'no.such.invalid' does not resolve"


async def test_no_answer(each_loop, recorder) -> None:
    """An attempt to a host that does not answer ends in time."""
    with socket.socket() as full:
        # A queue of length 0 with one connection in it: the kernel ignores further ones.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            port = full.getsockname()[1]
            with pytest.raises(TimeoutError) as caught:
                await connect_stream(lambda peer: recorder(), "127.0.0.1", port, timeout=0.05)
    assert str(caught.value) == f"no answer from 127.0.0.1:{port} in 0.05 s"


async def test_second_address(each_loop, factory, recorder, monkeypatch) -> None:
    """A name whose first address refuses is connected at its second."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.2", 0), servers)
    port = listener.addresses[0].port
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(sockets, "_lookup", lambda *args: found)
    transport = await connect_stream(lambda peer: recorder(), "two.example", port)
    assert transport.getPeer().host == "127.0.0.2"
    transport.loseConnection()
    await (await servers.next()).lost()
    listener.close()


async def test_other_errors(each_loop, recorder) -> None:
    """Other errors have the text of the system, and its number."""
    with pytest.raises(ConnectError) as caught:
        await connect_stream(
            lambda peer: recorder(),
            "127.0.0.1",
            1,
            local_address=("192.0.2.1", 0),
        )
    assert str(caught.value) == ("cannot connect to 127.0.0.1:1: Cannot assign requested address")
    assert caught.value.osError == 99


async def test_local_address(each_loop, factory, recorder) -> None:
    """A connection can be made from a chosen address."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    port = listener.addresses[0].port
    transport = await connect_stream(
        lambda peer: recorder(), "127.0.0.1", port, local_address=("127.0.0.9", 0)
    )
    server = await servers.next()
    assert servers.peers == [transport.getHost()]
    assert servers.peers[0].host == "127.0.0.9"
    transport.loseConnection()
    await server.lost()
    listener.close()


async def test_refusing_a_connection(each_loop, recorder) -> None:
    """A factory that returns None has the connection closed at once, at either end."""
    listener = start_accepting(bind_stream("127.0.0.1", 0), lambda peer: None)
    port = listener.addresses[0].port
    transport = await connect_stream(lambda peer: recorder(), "127.0.0.1", port)
    await transport.protocol.lost()
    with pytest.raises(ConnectError, match="no protocol was made"):
        await connect_stream(lambda peer: None, "127.0.0.1", port)
    listener.close()


async def test_factory_that_raises(each_loop, recorder, caplog) -> None:
    """A factory that raises refuses that connection; it is called again for the next one."""

    def fail(peer):
        raise ValueError("mine")

    listener = start_accepting(bind_stream("127.0.0.1", 0), fail)
    for _ in range(2):
        port = listener.addresses[0].port
        transport = await connect_stream(lambda peer: recorder(), "127.0.0.1", port)
        await transport.protocol.lost()
    listener.close()
    assert ["no protocol could be made" in record.getMessage() for record in caplog.records] == [
        True,
        True,
    ]


async def test_close_stops_accepting(each_loop, factory, recorder) -> None:
    """A closed listener refuses; its connections stay open, and the port is free."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    (address,) = listener.addresses
    assert address == IPv4Address("TCP", "127.0.0.1", address.port)
    assert address.port != 0
    transport = await connect_stream(lambda peer: recorder(), "127.0.0.1", address.port)
    server = await servers.next()
    listener.close()
    listener.close()
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await connect_stream(lambda peer: recorder(), "127.0.0.1", address.port)
    transport.write(b"still here")
    assert await server.received(10) == b"still here"
    transport.loseConnection()
    assert type(await server.lost()) is ConnectionDone
    bind_stream("127.0.0.1", address.port)[0].close()


async def test_close_before_the_loop_has_started(each_loop, factory) -> None:
    """A listener closed in the turn in which it was made has never accepted."""
    servers = factory()
    start_accepting(bind_stream("127.0.0.1", 0), servers).close()
    await asyncio.sleep(0)
    assert servers.peers == []


async def test_the_other_ends_settings(
    each_loop, factory, recorder, server_tls, client_tls
) -> None:
    """TLS settings of the wrong end are refused before a socket is opened."""
    sockets = bind_stream("127.0.0.1", 0)
    with pytest.raises(ConfigError):
        start_accepting(sockets, factory(), tls=client_tls)
    sockets[0].close()
    with pytest.raises(ConfigError):
        await connect_stream(lambda peer: recorder(), "127.0.0.1", 1, tls=server_tls)


async def test_unix(each_loop, factory, recorder, tmp_path) -> None:
    """A UNIX socket is bound, connected, used, and gone after close; a dead one is replaced."""
    path = str(tmp_path / "pb")
    with pytest.raises(ConnectError, match=f"there is no socket {path}"):
        await connect_unix(lambda peer: recorder(), path)
    bind_unix(path)[0].close()
    with pytest.raises(ConnectionRefusedError):
        await connect_unix(lambda peer: recorder(), path)
    servers = factory()
    listener = start_accepting(bind_unix(path), servers)
    with pytest.raises(CannotListenError):
        bind_unix(path)
    # Connecting showed whether a program listens.
    await (await servers.next()).lost()
    transport = await connect_unix(lambda peer: recorder(), path)
    server = await servers.next()
    assert listener.addresses == (UNIXAddress(path),)
    assert transport.getPeer() == UNIXAddress(path)
    assert transport.getTcpNoDelay() is False
    transport.write(b"hello")
    assert await server.received(5) == b"hello"
    transport.abortConnection()
    await server.lost()
    listener.close()
    assert not (tmp_path / "pb").exists()


def test_unix_leaves_other_files_alone(tmp_path) -> None:
    """A file that is not a socket is not replaced."""
    path = tmp_path / "pb"
    path.write_text("precious")
    with pytest.raises(CannotListenError):
        bind_unix(str(path))
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENETUNREACH, NoRouteError, "no way to 192.0.2.1:9: the network does not reach it"),
        (errno.EHOSTUNREACH, NoRouteError, "no way to 192.0.2.1:9: the network does not reach it"),
        (errno.ETIMEDOUT, TCPTimedOutError, "no answer from 192.0.2.1:9"),
    ],
)
async def test_what_the_network_says(each_loop, recorder, monkeypatch, number, kind, text) -> None:
    """Errors of the network have their published class."""

    async def unreachable(sock, address):
        raise OSError(number, "as the system says")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", unreachable, raising=True)
    with pytest.raises(ConnectError) as caught:
        await connect_stream(lambda peer: recorder(), "192.0.2.1", 9)
    assert (type(caught.value), caught.value.osError) == (kind, number)
    assert str(caught.value) == text
