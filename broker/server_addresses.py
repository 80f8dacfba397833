"""The addresses that a server is to listen at: parses and checks them before a port is opened."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from broker.core.policy import Policy
from broker.errors import ConfigError, WrongType
from broker.fixes import fixed_by
from broker.login.portal_logins import PortalLogins
from broker.net.forwarded import TrustedProxies
from broker.net.locations import HostPort, WebPlace
from broker.net.schemes import Location, SocketPath, parse_address, scheme_of
from broker.net.socket_addresses import is_loopback
from broker.net.tls.settings import TLS
from cred.portal import Portal

__all__ = [
    "admin_location",
    "check_admin_page",
    "check_debug",
    "check_locations",
    "check_manhole",
    "http_location",
    "locations_of",
]

_HTTP = "http://127.0.0.1:9100"
_HTTP_ADDRESS = re.compile(r"http://(\[[0-9a-fA-F:.]+\]|[^/\s:@?#\[\]]+):([0-9]{1,5})/?")


def locations_of(
    addresses: Sequence[str],
    sockets: Sequence[socket.socket],
    tls: TLS | None,
    *,
    listen: bool = True,
) -> list[Location]:
    """Return the locations of a server: of the addresses, then of the sockets, or the default.

    Without ``listen`` the list is empty.

    Raises:
        ConfigError: an address is not understood, or is given without ``listen``, as is ``tls``.
        WrongType: a ConfigError: one of ``sockets`` is not a socket.
    """
    given = (*addresses, *_addresses_of(sockets, tls))
    if not listen:
        if given or tls is not None:
            raise ConfigError("listen=False is for a server without addresses, sockets= and tls=")
        return []
    if not given:
        given = ("pb://127.0.0.1:8787" if tls is None else "pbs://127.0.0.1:8787",)
    return [parse_address(address) for address in given]


def check_locations(
    locations: Sequence[Location], tls: TLS | None, policy: Policy, *, is_shared: bool
) -> None:
    """Check that a server may listen at these locations.

    Args:
        locations: the locations.
        tls: the certificate of the server.
        policy: of the server.
        is_shared: whether other processes listen at the same ports.

    Raises:
        ConfigError: it may not; the text has the fix.
    """
    for location in locations:
        _check(location, tls, policy)
        if is_shared and scheme_of(location).bind_shared is None:
            raise ConfigError(
                f"several processes cannot listen at {location}; use pb://, pbs://, ws:// or wss://"
            )
    if tls is not None and not any(scheme_of(location).is_tls for location in locations):
        where = f" pbs:// and wss:// addresses, not {locations[0]}"
        raise fixed_by(ConfigError, "", "no certificate", where)


def admin_location(address: str) -> SocketPath:
    """Return the location of a socket for operators, which only this user can connect to.

    Raises:
        ConfigError: the address is not of a UNIX socket.
    """
    location = parse_address(address)
    if not isinstance(location, SocketPath):
        raise ConfigError(
            "admin= takes a pb+unix:// address; hand out broker.inspector(server) for others"
        )
    return SocketPath(location.path, is_private=True)


def check_manhole(names: object, admin: Location | None) -> None:
    """Check that a server may have a prompt of operators with these names.

    Raises:
        ConfigError: there is no socket for operators.
        WrongType: a ConfigError: the names are not a mapping of str.
    """
    if names is None:
        return
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names):
        raise WrongType("manhole= takes a mapping of names to objects")
    if admin is None:
        raise ConfigError(
            "manhole= needs admin=; hand out broker.Manhole(names) to a group of users"
        )


def http_location(address: str | None, policy: Policy) -> HostPort | None:
    """Return the place of an HTTP port; None without an address.

    Raises:
        ConfigError: it is not an address of one, or is public, or the extra ``ws`` is missing.
        WrongType: a ConfigError: it is not text.
    """
    if address is None:
        return None
    if not isinstance(address, str):
        raise WrongType(f"http= takes an address, not {type(address).__name__}")
    found = _HTTP_ADDRESS.fullmatch(address)
    if found is None or int(found[2]) > 65535:
        raise ConfigError(f"http= takes http://host:port, such as {_HTTP}, not {address!r}")
    host = found[1].strip("[]")
    if not (is_loopback(host) or policy.insecure_plaintext):
        before = f"{address} would show operators' data to others; use 127.0.0.1, or "
        raise fixed_by(ConfigError, before, "plaintext")
    if find_spec("websockets") is None:
        raise ConfigError("http= needs the extra ws: pip install 'perspective-broker[ws]'")
    return HostPort(host, int(found[2]), False)


def check_admin_page(target: object, locations: Sequence[Location], http: HostPort | None) -> None:
    """Check that a server can have the page of operators.

    Raises:
        ConfigError: it has no login, or no port that could show the page.
    """
    if not isinstance(target, Portal | PortalLogins):
        raise ConfigError("admin_page=True needs a login: serve a Portal")
    is_here = any(isinstance(each, WebPlace) and each.is_loopback for each in locations)
    if not is_here and http is None:
        raise ConfigError(
            f"admin_page=True needs a port for the page: http={_HTTP!r}, or a ws:// address at"
            " 127.0.0.1"
        )


def check_debug(locations: Sequence[Location], proxies: TrustedProxies | None) -> None:
    """Refuse ``debug`` where other machines connect: tracebacks have file names and values.

    Raises:
        ConfigError: a location is public, or there are proxies.
    """
    for location in locations:
        if scheme_of(location).is_public(location):
            raise ConfigError(
                f"debug=True shows tracebacks to every client, so it is not for {location}: listen"
                " on 127.0.0.1, [::1], localhost or pb+unix:///path, or leave debug out"
            )
    if proxies is not None:
        raise ConfigError(
            "debug=True shows tracebacks to every client, so it is not for a server behind"
            " proxies: leave debug or trusted_proxies out"
        )


def _addresses_of(sockets: Sequence[socket.socket], tls: TLS | None) -> tuple[str, ...]:
    for sock in sockets:
        if not isinstance(sock, socket.socket):
            raise WrongType(f"sockets= takes sockets, not {type(sock).__name__}")
    scheme = "pb+fd" if tls is None else "pbs+fd"
    return tuple(f"{scheme}:{sock.fileno()}" for sock in sockets)


def _check(location: Location, tls: TLS | None, policy: Policy) -> None:
    scheme = scheme_of(location)
    if scheme.is_tls and tls is None:
        before = f"{location} needs a certificate: "
        raise fixed_by(ConfigError, before, "server certificate")
    scheme.check_server(location, policy.insecure_plaintext)
