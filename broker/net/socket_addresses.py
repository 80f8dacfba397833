"""The addresses of the two ends of a connection, with the published fields."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from broker.printable import printable

__all__ = [
    "Address",
    "IPv4Address",
    "IPv6Address",
    "PipeAddress",
    "UNIXAddress",
    "address_of",
    "host_port",
    "is_local",
    "is_loopback",
    "is_unix",
    "network_of",
    "source_of",
]

_NETWORK = 64
"""Bits of an IPv6 network that is one source: the owner of one such address has them all."""

_IPV4_NETWORK = 24
_IPV6_SITE = 48
# Not on every platform.
_UNIX = getattr(socket, "AF_UNIX", None)
"""Bits of a network that often has one owner: 256 IPv4 addresses, or many IPv6 networks."""


class IPv4Address(Struct, frozen=True):
    """An IPv4 end of a connection; ``str()`` gives ``host:port`` (published)."""

    type: Literal["TCP", "UDP"]
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class IPv6Address(Struct, frozen=True):
    """An IPv6 end of a connection; ``str()`` gives ``[host]:port`` (published)."""

    type: Literal["TCP", "UDP"]
    host: str
    port: int
    flowInfo: int = 0
    scopeID: int = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}"


class UNIXAddress(Struct, frozen=True):
    """A UNIX socket's path, empty for an end without a path (published)."""

    name: str

    def __str__(self) -> str:
        return f"unix:{printable(self.name, 200, is_ascii=False)}"


class PipeAddress(Struct, frozen=True):
    """One end of a pair of pipes, named after the command at the other end.

    ``standard streams`` if the other end is the process that started this one.
    """

    name: str = "standard streams"

    def __str__(self) -> str:
        return self.name


Address: TypeAlias = IPv4Address | IPv6Address | UNIXAddress | PipeAddress


def is_unix(family: int) -> bool:
    """Return whether a family of sockets is that of UNIX sockets."""
    return family == _UNIX


def address_of(family: int, name: Any) -> Address:
    """Return the address for a result of ``getsockname`` or ``getpeername``.

    ``name`` is None if the peer had disconnected before. Then the host is empty.
    """
    if family == _UNIX:
        # An abstract name is bytes.
        return UNIXAddress(os.fsdecode(name or ""))
    if family == socket.AF_INET6:
        return IPv6Address("TCP", *(name or ("", 0)))
    return IPv4Address("TCP", *(name or ("", 0)))


def host_port(host: str, port: int) -> str:
    """Format a host and a port, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@functools.lru_cache(1024)
def is_loopback(host: str) -> bool:
    """Return whether a host name or address certainly is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_local(address: object) -> bool:
    """Return whether an address, of this library or of Twisted, certainly is of this machine."""
    if type(address).__name__ in ("UNIXAddress", "PipeAddress"):
        return True
    host = getattr(address, "host", None)
    return isinstance(host, str) and is_loopback(host)


def source_of(address: object) -> str:
    """Return the source of a connection: an IPv4 host, an IPv6 network of 64 bits, or ``""``."""
    return _source_of(str(getattr(address, "host", "") or ""))


@functools.lru_cache(1024)
def _source_of(host: str) -> str:
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _NETWORK), strict=False))
    return str(parsed)


@functools.lru_cache(1024)
def network_of(source: str) -> str:
    """Return the network of a source: 24 bits with IPv4, 48 bits with IPv6; or ``""``."""
    try:
        first = ipaddress.ip_network(source).network_address
    except ValueError:
        return source
    bits = _IPV6_SITE if first.version == 6 else _IPV4_NETWORK
    return str(ipaddress.ip_network((first, bits), strict=False))
