"""Addresses as users write them: ``pb://host:port``, and ``pbs://host:port`` for TLS."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from broker.errors import ConfigError

__all__ = ["DEFAULT_PORT", "Location", "is_private", "parse_address"]

DEFAULT_PORT = 8787


@dataclass(frozen=True, slots=True)
class Location:
    """Where to listen or to connect.

    Attributes:
        host, port: of TCP.
        is_tls: whether TLS is spoken there.
    """

    host: str
    port: int
    is_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'pbs' if self.is_tls else 'pb'}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be at the other end."""
        return is_loopback(self.host)


def parse_address(address: str) -> Location:
    """Return where an address points.

    Raises:
        ConfigError: it is no ``pb://`` or ``pbs://`` address.
    """
    example = "write pb://127.0.0.1:8787, or pbs://broker.example for TLS"
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ConfigError(f"address {address!r} is not understood; {example}") from None
    try:
        port = parts.port
    except ValueError:
        raise ConfigError(f"address {address!r} has no valid port; {example}") from None
    if parts.scheme not in ("pb", "pbs") or not parts.hostname:
        raise ConfigError(f"address {address!r} is not understood; {example}")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"address {address!r} says more than host and port; {example}")
    return Location(parts.hostname, DEFAULT_PORT if port is None else port, parts.scheme == "pbs")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine for sure."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_private(transport: Any) -> bool:
    """Return whether nobody can listen in: TLS, the loopback, or a UNIX socket."""
    if getattr(transport, "is_secure", False) or hasattr(transport, "getPeerCertificate"):
        return True
    if not hasattr(transport, "getPeer"):
        return False
    peer = transport.getPeer()
    if type(peer).__name__ == "UNIXAddress":
        return True
    host = getattr(peer, "host", None)
    return isinstance(host, str) and is_loopback(host)
