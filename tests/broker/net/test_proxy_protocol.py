"""The PROXY protocol: a header of version 1 or 2, whole, right, and from a trusted proxy only."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.web_ends import Admission, trusting

from broker.errors import ConnectionLost
from broker.net.proxy_protocol import MOST_BYTES, ProxyHeaderFilter, WrongHeader, read_header
from broker.net.socket_addresses import IPv4Address, IPv6Address

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
PROXY = IPv4Address("TCP", "10.0.0.1", 9)
CLIENT = IPv4Address("TCP", "203.0.113.5", 4711)


def version2(command: int = 0x21, family: int = 0x11, body: bytes | None = None,
             length: int | None = None) -> bytes:  # fmt: skip
    """Write a header of version 2."""
    if body is None:
        hosts = socket.inet_aton("203.0.113.5") + socket.inet_aton("10.0.0.1")
        body = hosts + struct.pack("!HH", 4711, 8787)
    size = len(body) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big") + body


SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::5") * 2 + struct.pack("!HH", 4711, 8787)

RIGHT: dict[str, tuple[bytes, Any]] = {
    "line of IPv4": (b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 8787\r\n", CLIENT),
    "line of IPv6": (
        b"PROXY TCP6 2001:db8::5 2001:db8::1 4711 8787\r\n",
        IPv6Address("TCP", "2001:db8::5", 4711),
    ),
    "longest line": (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        IPv6Address("TCP", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
    ),
    "version 2": (version2(), CLIENT),
    "version 2 with additions": (
        version2(body=version2()[16:] + b"\x20\x00\x05hello" * 90),
        CLIENT,
    ),
    "version 2 of IPv6": (
        version2(family=0x21, body=SIX),
        IPv6Address("TCP", "2001:db8::5", 4711),
    ),
    "health check": (version2(0x20, 0, b""), None),
    "health check with bytes": (version2(0x20, 0x11), None),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    """A header is read to its end, and not before it is complete."""
    data, client = RIGHT[name]
    for size in range(len(data)):
        assert read_header(data[:size]) is None
    for rest in (b"", b"PROXY", b"\x16\x03\x01", SIGNATURE):
        assert read_header(data + rest) == (len(data), client)


WRONG = {
    "no header": b"\x16\x03\x01\x02\x00",
    "banana": b"\x02\x80\x02\x82pb",
    "unknown": b"PROXY UNKNOWN\r\n",
    "unknown with addresses": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "line too long": b"PROXY TCP4 " + b"1" * 100,
    "no end": b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 8787\n" + b"x" * 70,
    "other word": b"PROXIES",
    "UDP": b"PROXY UDP4 203.0.113.5 10.0.0.1 4711 8787\r\n",
    "family differs": b"PROXY TCP6 203.0.113.5 10.0.0.1 4711 8787\r\n",
    "family differs otherwise": b"PROXY TCP4 ::1 ::1 4711 8787\r\n",
    "host is a name": b"PROXY TCP4 evil.example 10.0.0.1 4711 8787\r\n",
    "leading zero": b"PROXY TCP4 203.0.113.05 10.0.0.1 4711 8787\r\n",
    "port too large": b"PROXY TCP4 203.0.113.5 10.0.0.1 65536 8787\r\n",
    "port negative": b"PROXY TCP4 203.0.113.5 10.0.0.1 -1 8787\r\n",
    "port octal": b"PROXY TCP4 203.0.113.5 10.0.0.1 0471 8787\r\n",
    "port in other digits": "PROXY TCP4 203.0.113.5 10.0.0.1 ٤ 8787\r\n".encode(),
    "two spaces": b"PROXY TCP4  203.0.113.5 10.0.0.1 4711 8787\r\n",
    "more words": b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 8787 x\r\n",
    "fewer words": b"PROXY TCP4 203.0.113.5 10.0.0.1 4711\r\n",
    "version 3": version2(0x31),
    "other command": version2(0x22),
    "UDP in version 2": version2(family=0x12),
    "UNIX in version 2": version2(family=0x31, body=bytes(216)),
    "unspecified": version2(family=0, body=b""),
    "too short": version2(body=bytes(11)),
    "too short for IPv6": version2(family=0x21),
    "too long": version2(length=MOST_BYTES + 1),
    "health check too long": version2(0x20, 0, b"", 65535),
    "signature differs": SIGNATURE[:-1] + b"\r",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    """Everything else is refused, at the latest after 16 bytes or the longest line."""
    data = WRONG[name]
    with pytest.raises(WrongHeader):
        read_header(data)
    end = new_filter()
    with pytest.raises(ConnectionLost, match="a trusted proxy that does not say for whom"):
        for at in range(len(data)):
            assert end.receive(data[at : at + 1]) == b""


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"])
)
def test_any_bytes(data: bytes, start: bytes) -> None:
    """Any bytes are a header, the start of one, or refused; nothing else is raised."""
    try:
        found = read_header(start + data)
    except WrongHeader:
        return
    assert found is None or found[0] <= len(start + data)


def new_filter(admission: Any = None, peer: Any = PROXY, **arriving: Any) -> ProxyHeaderFilter:
    """Return the filter of a new connection."""
    arrive = arriving.get("arrive", lambda address, cut: lambda: None)
    end = ProxyHeaderFilter(trusting("10.0.0.0/8"), arrive)
    end.begin(peer, Admission() if admission is None else admission)
    return end


def test_the_rest_passes() -> None:
    """What follows the header passes as it is, both ways; the client and the proxy are known."""
    admission = Admission()
    end = new_filter(admission)
    assert end.receive(version2() + b"hel") == b"hel"
    assert end.receive(memoryview(b"lo")) == b"lo"
    (route,) = admission.routes
    assert (route.address, route.proxy, route.is_tls_with_proxy) == (CLIENT, PROXY, False)
    end.send(b"a")
    end.send(b"b")
    assert end.data_to_send() == b"ab"
    assert end.data_to_send() == b""


def test_strangers() -> None:
    """From another address there is no header: its bytes are data, and it is admitted at once."""
    stranger = IPv4Address("TCP", "192.0.2.7", 1)
    admission = Admission()
    end = new_filter(admission, stranger)
    assert [(each.address, each.proxy) for each in admission.routes] == [(stranger, None)]
    assert end.receive(version2()) == version2()


def test_health_checks() -> None:
    """A proxy that connects for itself is admitted as what it is."""
    admission = Admission()
    new_filter(admission).receive(version2(0x20, 0, b""))
    assert [(each.address, each.proxy) for each in admission.routes] == [(PROXY, None)]


def test_private() -> None:
    """Without TLS it is private only if client and proxy are on this machine."""
    here, far = IPv4Address("TCP", "127.0.0.1", 1), PROXY
    for proxy, client, is_private in ((here, "127.0.0.1", True), (here, "203.0.113.5", False),
                                      (far, "127.0.0.1", False)):  # fmt: skip
        admission = Admission()
        end = ProxyHeaderFilter(trusting("10.0.0.0/8", "127.0.0.1"), lambda address, cut: int)
        end.begin(proxy, admission)
        end.receive(f"PROXY TCP4 {client} 10.0.0.9 1 2\r\n".encode())
        (route,) = admission.routes
        assert route.is_private(False) == is_private
        assert route.is_private(True)


def test_places() -> None:
    """A connection has a place until its header has come; without a place it is cut."""
    told: list[object] = []

    def arrive(address: object, cut: object) -> object:
        told.append(address)
        return lambda: told.append("leaves")

    new_filter(arrive=arrive).receive(version2())
    assert told == [None, "leaves"]
    new_filter(arrive=arrive).ended()
    assert told == [None, "leaves"] * 2
    for full in (Admission(is_full=True), Admission()):
        end = new_filter(full, arrive=arrive if full.is_full else lambda address, cut: None)
        assert end.receive(version2() + b"more") == b""
        assert full.is_cut and not end.is_open
