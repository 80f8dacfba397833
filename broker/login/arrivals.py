"""Where the peer of a front end comes from: its address, and whether others can read what it sends.

A front end has what its own transport tells: a tuple of the socket API, a host name of a web
framework, or an asyncio transport, which is asked itself.
"""

from __future__ import annotations

import ipaddress
import os
import socket

from broker.errors import ConfigError, PBConnectionLost, WrongType
from broker.net.socket_addresses import (
    Address,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
    address_of,
    is_local,
    source_of,
)

__all__ = ["peer_of_front_end"]


def peer_of_front_end(peer: object, is_private: bool | None) -> tuple[object, bool]:
    """Return the address of a peer, and whether a third party cannot read the connection.

    Args:
        peer: see `broker.login.portal_logins.PortalLogins.arrive`.
        is_private: None if the transport tells it.

    Raises:
        ConfigError: this cannot be told from ``peer``.
        PBConnectionLost: the peer had disconnected before its address was read.
        WrongType: a TypeError: ``peer`` is not of this kind, or ``is_private`` is not a bool.
    """
    if is_private is not None and not isinstance(is_private, bool):
        raise WrongType(f"is_private= is True or False, not {type(is_private).__name__}")
    ask = getattr(peer, "get_extra_info", None)
    published = getattr(peer, "getPeer", None)
    if published is not None:
        address: object = published()
        if is_private is None:
            is_private = _is_private(peer, address)
    elif callable(ask):
        sock = ask("socket")
        family = socket.AF_INET if sock is None else sock.family
        address = _address(ask("peername"), family)
        if is_private is None:
            is_private = ask("ssl_object") is not None or is_local(address)
    else:
        address = _address(peer, None)
    if not source_of(address) and not is_local(address):
        # Without a source its guesses would have no limit, and it may have sent some.
        raise PBConnectionLost("the peer has disconnected already")
    if is_private is None:
        raise ConfigError(
            "say is_private=True if the peer uses TLS or is on this machine, else is_private=False"
        )
    return address, is_private


def _address(peer: object, family: int | None) -> object:
    if hasattr(peer, "host") or is_local(peer):
        return peer
    if isinstance(peer, tuple | list):
        is_ipv6 = isinstance(peer[0], str) and ":" in peer[0]
        return address_of(socket.AF_INET6 if is_ipv6 else socket.AF_INET, peer)
    if peer is None:
        return address_of(socket.AF_INET if family is None else family, None)
    if isinstance(peer, str | bytes):
        return _of_text(os.fsdecode(peer))
    raise WrongType(
        f"the peer of a front end is an address or a transport, not {type(peer).__name__}"
    )


def _is_private(transport: object, address: object) -> bool:
    known = getattr(transport, "is_private", None)
    if known is not None:
        # A transport of this package.
        return bool(known)
    return hasattr(transport, "getPeerCertificate") or is_local(address)


def _of_text(text: str) -> Address:
    # Nothing, a path, or a name of Linux without a path.
    if not text or text[0] in "/\0":
        return UNIXAddress(text)
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise ConfigError(
            "the address of a peer is an IP address, or the path of a UNIX socket"
        ) from None
    return IPv4Address("TCP", text, 0) if ip.version == 4 else IPv6Address("TCP", text, 0)
