"""Finds the client behind trusted proxies: whom to trust, and what their headers say.

A proxy that is not trusted can say anything, and so can a client. So headers count only on a
connection from a trusted address. Of the addresses in a header, those at the left were written by
the client. The first address from the right that is not trusted is the client.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from broker.errors import ConfigError, WrongType
from broker.net.socket_addresses import Address, IPv4Address, IPv6Address, UNIXAddress

__all__ = [
    "FORWARDED",
    "X_FORWARDED_FOR",
    "Forwarded",
    "NotForwarded",
    "TrustedProxies",
    "client_address",
    "client_of",
    "trusted_proxies",
]

FORWARDED = "Forwarded"
"""The header of RFC 7239."""

X_FORWARDED_FOR = "X-Forwarded-For"
"""The older header, which has addresses only; ``X-Forwarded-Proto`` belongs to it."""

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"  # noqa: S105 - the grammar of a word in HTTP
_PAIR = re.compile(rf'({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")')
_WITH_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::([0-9]{1,5}))?")


class NotForwarded(Exception):
    """A trusted proxy does not say for whom it connects."""


class TrustedProxies(Struct, frozen=True):
    """The proxies whose word counts.

    Attributes:
        networks: their addresses.
        has_unix: whether the other end of a UNIX socket is one.
        header: the one header that is read: `X_FORWARDED_FOR` or `FORWARDED`.
    """

    networks: tuple[_Network, ...]
    has_unix: bool
    header: str

    def trust(self, address: object) -> bool:
        """Return whether a connection from an address is one of a trusted proxy."""
        if isinstance(address, UNIXAddress):
            return self.has_unix
        if not isinstance(address, IPv4Address | IPv6Address):
            return False
        host = _parsed(address.host)
        return host is not None and self.trust_ip(host)

    def trust_ip(self, host: _IP) -> bool:
        """Return whether a numeric address is one of a trusted proxy."""
        return any(host in network for network in self.networks)


class Forwarded(Struct, frozen=True):
    """What a trusted proxy says of a connection.

    Attributes:
        address: the client; the port is 0 if the proxy does not tell it.
        is_https: whether the proxy says that all outer legs are encrypted.
    """

    address: Address
    is_https: bool


def trusted_proxies(given: Iterable[str], header: str) -> TrustedProxies | None:
    """Return the record of the arguments of ``serve``; None if no proxy is trusted.

    Args:
        given: addresses, networks such as ``10.0.0.0/8``, and ``unix``.
        header: `X_FORWARDED_FOR` or `FORWARDED`, in any case.

    Raises:
        ConfigError: one of them is not valid.
        WrongType: a ConfigError: an argument is not of this type.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise WrongType(f'trusted_proxies= is a list, such as ["10.0.0.1"], not {_kind(given)}')
    if not isinstance(header, str):
        raise WrongType(f"forwarded= is the name of a header, not {_kind(header)}")
    known = {name.lower(): name for name in (FORWARDED, X_FORWARDED_FOR)}
    if header.lower() not in known:
        raise ConfigError(f"forwarded={header!r}: it is X-Forwarded-For or Forwarded")
    networks: list[_Network] = []
    has_unix = False
    for each in given:
        if not isinstance(each, str):
            raise WrongType(f"trusted_proxies= lists texts, not {_kind(each)}")
        if each == "unix":
            has_unix = True
            continue
        try:
            networks.append(ipaddress.ip_network(each))
        except ValueError as exc:
            raise ConfigError(
                f"trusted_proxies=: {exc}; write an address, a network such as 10.0.0.0/8, or unix"
            ) from None
    if not networks and not has_unix:
        return None
    return TrustedProxies(tuple(networks), has_unix, known[header.lower()])


def client_of(proxies: TrustedProxies, headers: Sequence[tuple[str, str]]) -> Forwarded:
    """Return the client of a request that a trusted proxy has passed on.

    Args:
        proxies: the trusted proxies, and the header to read.
        headers: the names and values of the headers, in their order.

    Raises:
        NotForwarded: the header is missing or not valid, or names trusted addresses only.
    """
    values = _values(headers, proxies.header)
    if proxies.header == FORWARDED:
        # Each field by itself: what a client wrote cannot reach into the field of the proxy.
        hops = [_element(each) for value in values for each in _split(value, ",")]
        protos = [proto for _, proto in hops]
    else:
        hops = [(each.strip(), "") for each in ",".join(values).split(",")]
        protos = _protos(headers)
    for at in range(len(hops) - 1, -1, -1):
        address = client_address(hops[at][0])
        host = None if address is None else _parsed(address.host)
        if address is None or host is None:
            raise NotForwarded(f"the header {proxies.header} is missing or not valid")
        if not proxies.trust_ip(host):
            outer = protos[at:] if proxies.header == FORWARDED else protos
            return Forwarded(address, bool(outer) and all(each == "https" for each in outer))
    raise NotForwarded(f"the header {proxies.header} names no client")


def client_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a text such as ``192.0.2.1``, ``192.0.2.1:80`` or ``[2001:db8::1]``.

    None if it is not a numeric address.
    """
    host, port = text, "0"
    with_port = _WITH_PORT.fullmatch(text)
    if with_port is not None:
        host, port = with_port[1].strip("[]"), with_port[2] or "0"
    parsed = _parsed(host)
    if parsed is None or int(port) > 65535:
        return None
    kind = IPv4Address if parsed.version == 4 else IPv6Address
    return kind("TCP", str(parsed), int(port))


def _parsed(host: str) -> _IP | None:
    """Return a numeric address; that of IPv4 where IPv6 contains one."""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def _values(headers: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in headers if key.lower() == name.lower()]


def _protos(headers: Sequence[tuple[str, str]]) -> list[str]:
    values = ",".join(_values(headers, "X-Forwarded-Proto"))
    return [each.strip().lower() for each in values.split(",")] if values else []


def _element(text: str) -> tuple[str, str]:
    """Return the ``for`` and the ``proto`` of one element of ``Forwarded``; ``("", "")`` if wrong.

    Each parameter may be there once (RFC 7239, section 4).
    """
    pairs: dict[str, str] = {}
    for each in _split(text, ";"):
        pair = _PAIR.fullmatch(each.strip())
        if pair is None or pair[1].lower() in pairs:
            return "", ""
        value = pair[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        pairs[pair[1].lower()] = value
    return pairs.get("for", ""), pairs.get("proto", "").lower()


def _split(text: str, at: str) -> list[str]:
    """Split a text at a character that is not inside quotes."""
    parts, start, is_quoted, is_escaped = [], 0, False, False
    for index, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted and char == "\\":
            is_escaped = True
        elif char == '"':
            is_quoted = not is_quoted
        elif char == at and not is_quoted:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def _kind(given: Any) -> str:
    return type(given).__name__
