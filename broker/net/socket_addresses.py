"""Where the two ends of a connection are: addresses with the published fields."""

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
    "network_of",
    "source_of",
]

_NETWORK = 64
"""Bits of an IPv6 address that are one place: whoever has one such address has them all."""

_IPV4_NETWORK = 24
_IPV6_SITE = 48
"""Bits of what one owner often has: some hundred IPv4 addresses, or many IPv6 networks."""


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
    """A UNIX socket's path, empty for the end that has none (published)."""

    name: str

    def __str__(self) -> str:
        return f"unix:{printable(self.name, 200, is_ascii=False)}"


class PipeAddress(Struct, frozen=True):
    """An end of a pair of pipes, and what is at its other end: a command, or whoever started us."""

    name: str = "standard streams"

    def __str__(self) -> str:
        return self.name


Address: TypeAlias = IPv4Address | IPv6Address | UNIXAddress | PipeAddress


def address_of(family: int, name: Any) -> Address:
    """Give the address for what ``getsockname`` or ``getpeername`` returned.

    ``name`` is None where the peer had gone before it could be asked: then the host is empty.
    """
    if family == getattr(socket, "AF_UNIX", None):
        # An abstract name comes as bytes.
        return UNIXAddress(os.fsdecode(name or ""))
    if family == socket.AF_INET6:
        return IPv6Address("TCP", *(name or ("", 0)))
    return IPv4Address("TCP", *(name or ("", 0)))


def host_port(host: str, port: int) -> str:
    """Write a host and a port as people write them: an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def source_of(address: Any) -> str:
    """Return where a connection comes from: an IPv4 host, an IPv6 network of 64 bits, or ``""``."""
    return _source_of(str(getattr(address, "host", "") or ""))


def network_of(address: Any) -> str:
    """Return the network of a source: of 24 bits with IPv4, of 48 with IPv6; or ``""``."""
    return _network_of(source_of(address))


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
def _network_of(source: str) -> str:
    try:
        first = ipaddress.ip_network(source).network_address
    except ValueError:
        return source
    bits = _IPV6_SITE if first.version == 6 else _IPV4_NETWORK
    return str(ipaddress.ip_network((first, bits), strict=False))
