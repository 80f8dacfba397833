"""The PROXY protocol, versions 1 and 2: a proxy says in front of a connection whose it is.

The header comes before TLS. It is read from trusted proxies only; from other addresses it is data,
which no protocol here understands.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TypeAlias

from broker.errors import ConnectionLost
from broker.limit_errors import PROXY
from broker.net.filters import Admission, Arrive, Filter, Route
from broker.net.forwarded import TrustedProxies
from broker.net.socket_addresses import Address, IPv4Address, IPv6Address

__all__ = ["MOST_BYTES", "ProxyHeaderFilter", "WrongHeader", "read_header"]

MOST_BYTES = 1024
"""Bytes of addresses and additions that a header of version 2 may have."""

# The longest line of version 1, with two addresses of IPv6 (the document of the protocol, 2.1).
_LONGEST_LINE = 107
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16
_LOCAL, _PROXY = 0x20, 0x21
# The family, the bytes of two addresses and two ports, and the bytes of one address.
_FAMILIES = {0x11: (12, 4), 0x21: (36, 16)}

Header: TypeAlias = tuple[int, "IPv4Address | IPv6Address | None"]
"""The bytes of a header, and the client; None if the proxy connects for itself."""


class WrongHeader(Exception):
    """The bytes are not a header of the PROXY protocol, or of one that is not understood."""


def read_header(data: bytes) -> Header | None:
    """Read the header at the start of a connection; None if more bytes are needed.

    Raises:
        WrongHeader: the bytes do not begin with a valid header.
    """
    if data[:1] == b"P":
        return _read_line(data)
    if data[: len(_SIGNATURE)] != _SIGNATURE[: len(data)]:
        raise WrongHeader
    return _read_binary(data) if len(data) >= _FIXED else None


def _read_line(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _LONGEST_LINE)
    if end < 0:
        if len(data) >= _LONGEST_LINE or not b"PROXY ".startswith(data[:6]):
            raise WrongHeader
        return None
    words = data[:end].split(b" ")
    if len(words) != 6 or words[0] != b"PROXY" or words[1] not in (b"TCP4", b"TCP6"):
        raise WrongHeader
    hosts = [_host(word, 4 if words[1] == b"TCP4" else 6) for word in words[2:4]]
    ports = [_port(word) for word in words[4:]]
    kind = IPv4Address if words[1] == b"TCP4" else IPv6Address
    return end + 2, kind("TCP", hosts[0], ports[0])


def _host(word: bytes, version: int) -> str:
    try:
        host = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        raise WrongHeader from None
    if host.version != version:
        raise WrongHeader
    return str(host)


def _port(word: bytes) -> int:
    # Without leading zeros, which other readers may take as octal.
    if not word.isdigit() or (word[:1] == b"0" and word != b"0") or len(word) > 5:
        raise WrongHeader
    port = int(word)
    if port > 65535:
        raise WrongHeader
    return port


def _read_binary(data: bytes) -> Header | None:
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:_FIXED], "big")
    if length > MOST_BYTES or command not in (_LOCAL, _PROXY):
        raise WrongHeader
    if command == _PROXY and length < _FAMILIES.get(family, (MOST_BYTES + 1, 0))[0]:
        raise WrongHeader
    end = _FIXED + length
    if len(data) < end:
        return None
    if command == _LOCAL:
        return end, None
    size = _FAMILIES[family][1]
    host = ipaddress.ip_address(data[_FIXED : _FIXED + size])
    at = _FIXED + 2 * size
    kind = IPv4Address if size == 4 else IPv6Address
    return end, kind("TCP", str(host), int.from_bytes(data[at : at + 2], "big"))


class ProxyHeaderFilter(Filter):
    """The server's end of the PROXY protocol: takes the header, and passes on what follows.

    Args:
        proxies: whose header is read. A connection from another address has none.
        arrive: notes a connection whose client is not known yet; see `Arrive`.
    """

    name = "PROXY"
    error = ConnectionLost
    purpose = PROXY
    admits = True
    is_server = True

    __slots__ = ("_admission", "_arrive", "_head", "_leave", "_out", "_peer", "_proxies", "is_open")

    is_open: bool

    def __init__(self, proxies: TrustedProxies, arrive: Arrive):
        self._proxies = proxies
        self._arrive = arrive
        self._leave: Callable[[], object] | None = None
        self._peer: Address | None = None
        self._admission: Admission | None = None
        self._head = b""
        self._out: list[bytes] = []
        self.is_open = False

    def begin(self, peer: Address, admission: Admission) -> None:
        """Admit the peer now if it is not a trusted proxy."""
        if not self._proxies.trust(peer):
            self._admit(admission, Route(peer))
            return
        self._peer, self._admission = peer, admission
        self._leave = self._arrive(None, admission.cut)
        if self._leave is None:
            self._admission = None
            admission.cut()

    def receive(self, data: bytes | memoryview, /) -> bytes:
        """Take the header away; return what follows it.

        Raises:
            ConnectionLost: there is no valid header.
        """
        if self.is_open:
            return bytes(data)
        admission = self._admission
        if admission is None:
            # Refused.
            return b""
        self._head += data
        try:
            header = read_header(self._head)
        except WrongHeader:
            raise ConnectionLost("refused: a trusted proxy that does not say for whom") from None
        if header is None:
            return b""
        end, client = header
        rest, self._head = self._head[end:], b""
        self.ended()
        route = Route(self._peer) if client is None else Route(client, self._peer)
        self._admission = None
        self._admit(admission, route)
        return rest if self.is_open else b""

    def send(self, data: bytes, /) -> None:
        """Pass bytes on."""
        self._out.append(data)

    def data_to_send(self) -> bytes:
        """Return the bytes for below, and forget them."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def ended(self) -> None:
        """Give back the place of a connection that has not said whose it is."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def _admit(self, admission: Admission, route: Route) -> None:
        if admission.admit(route):
            self.is_open = True
        else:
            admission.cut()
