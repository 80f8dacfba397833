"""broker.login.arrivals: the address of a peer of a front end, and whether others can read."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority

import broker
from broker.login.arrivals import peer_of_front_end
from broker.net.socket_addresses import IPv4Address, IPv6Address, UNIXAddress, source_of


@pytest.mark.parametrize(
    ("peer", "shown", "source"),
    [
        (("192.0.2.1", 80), "192.0.2.1:80", "192.0.2.1"),
        (["192.0.2.1", 80], "192.0.2.1:80", "192.0.2.1"),
        (("2001:db8::1", 80, 0, 0), "[2001:db8::1]:80", "2001:db8::/64"),
        (("2001:db8::1", 80), "[2001:db8::1]:80", "2001:db8::/64"),
        (("::ffff:192.0.2.1", 80, 0, 0), "[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1:0", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]:0", "2001:db8::/64"),
        (IPv4Address("TCP", "192.0.2.1", 8), "192.0.2.1:8", "192.0.2.1"),
        (IPv6Address("TCP", "2001:db8::1", 8), "[2001:db8::1]:8", "2001:db8::/64"),
        (UNIXAddress("/run/pb"), "unix:/run/pb", ""),
        ("/run/pb", "unix:/run/pb", ""),
        (b"\0name", "unix:\\x00name", ""),
        ("", "unix:", ""),
    ],
)
@pytest.mark.parametrize("is_private", [True, False])
def test_addresses(peer: Any, shown: str, source: str, is_private: bool) -> None:
    """An address has its text for the audit log, and its source for the throttle."""
    address, private = peer_of_front_end(peer, is_private)
    assert (str(address), source_of(address), private) == (shown, source, is_private)


@pytest.mark.parametrize(
    ("peer", "is_private", "error", "text"),
    [
        ("example.org", True, broker.ConfigError, "is an IP address, or the path"),
        ("192.0.2.1:80", True, broker.ConfigError, "is an IP address, or the path"),
        (("192.0.2.1", 80), None, broker.ConfigError, "^say is_private=True if "),
        (5, True, broker.WrongType, "or a transport, not int$"),
        ("192.0.2.1", "yes", broker.WrongType, "^is_private= is True or False, not str$"),
    ],
)
def test_what_is_refused(peer: Any, is_private: Any, error: type[Exception], text: str) -> None:
    """Text that is no address would have no source, and no limit: it is refused."""
    with pytest.raises(error, match=text):
        peer_of_front_end(peer, is_private)


@pytest.mark.parametrize("peer", [None, ("", 0), IPv4Address("TCP", "", 0)])
def test_a_peer_that_has_gone(peer: Any) -> None:
    """A peer without an address would have no limit: it is refused, however it is given."""
    for given in (peer, Transport(peername=peer)):
        with pytest.raises(broker.PBConnectionLost, match="has disconnected already"):
            peer_of_front_end(given, True)


class Transport:
    """Tells what it was given."""

    def __init__(self, **known: Any):
        self.get_extra_info = known.get


@pytest.mark.parametrize(
    ("known", "is_private"),
    [
        ({"peername": ("192.0.2.1", 80)}, False),
        ({"peername": ("127.0.0.1", 80)}, True),
        ({"peername": ("::1", 80, 0, 0)}, True),
        ({"peername": ("192.0.2.1", 80), "ssl_object": object()}, True),
    ],
)
def test_a_transport(known: dict[str, Any], is_private: bool) -> None:
    """A transport of asyncio tells both; the front end may know better, behind a proxy."""
    assert peer_of_front_end(Transport(**known), None)[1] is is_private
    for given in (True, False):
        assert peer_of_front_end(Transport(**known), given)[1] is given


class Published:
    """A transport as Twisted's."""

    def __init__(self, host: str):
        self.peer = IPv4Address("TCP", host, 80)

    def getPeer(self) -> IPv4Address:
        """Return the address of the peer."""
        return self.peer


class InTLS(Published):
    """The same, inside TLS."""

    def getPeerCertificate(self) -> None:
        """Return none."""


def test_a_published_transport() -> None:
    """A transport with the published names tells both."""
    for peer, is_private in (
        (Published("192.0.2.1"), False),
        (Published("127.0.0.1"), True),
        (InTLS("192.0.2.1"), True),
    ):
        assert peer_of_front_end(peer, None) == (peer.peer, is_private)
        assert peer_of_front_end(peer, not is_private) == (peer.peer, not is_private)


async def test_our_transports(tmp_path: Path) -> None:
    """So does one of this package, inside TLS and without."""
    pair = Authority(tmp_path).issue()
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    client = broker.TLS.client(ca=tmp_path / "test-CA.pem")
    async with broker.serve(
        broker.Root(), "pb://127.0.0.1:0", "pbs://127.0.0.1:0", tls=tls
    ) as server:
        for address, used in zip(server.addresses, (None, client), strict=True):
            async with broker.connect(address, tls=used):
                port: Any = server.connections[-1].broker.port
                assert peer_of_front_end(port, None) == (port.peer_address, True)
                assert port.peer_address.host == "127.0.0.1"


async def test_a_unix_socket(each_loop: Any, tmp_path: Path) -> None:
    """A peer on a UNIX socket has no source, and is private."""
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.set_result(peer_of_front_end(writer, None))
        writer.close()

    path = str(tmp_path / "door")
    async with await asyncio.start_unix_server(opened, path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            assert await found == (UNIXAddress(""), True)
