"""Listening sockets that the process was started with: those of systemd, and other descriptors.

Theory of operation. systemd passes listening sockets as the descriptors 3, 4, …; ``LISTEN_FDS`` is
their number, ``LISTEN_FDNAMES`` has their names, and ``LISTEN_PID`` is the process that they are
for. The variables are read once and removed, so that no child process takes them for its own. The
descriptors are closed on ``exec``. A socket is duplicated when a server listens on it: a server can
be closed and started again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence

from msgspec import Struct

from broker.errors import ConfigError
from broker.fixes import fixed_by
from broker.net.locations import HostPort, Location, SocketPath
from broker.net.socket_addresses import host_port, is_loopback, is_unix
from broker.net.stream_socket import StreamSocket
from broker.net.transports import StreamTransport

__all__ = [
    "FIRST",
    "Inherited",
    "adopted_sockets",
    "bind_inherited",
    "cannot_connect",
    "check_inherited",
    "check_plain_inherited",
    "connect_inherited",
    "is_public",
    "parse_inherited",
    "passed_sockets",
    "place_to_reach",
    "public_host",
]

FIRST = 3
"""The first descriptor that systemd passes."""

EXAMPLE = "write pb+fd:3, or pb+systemd:NAME"

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Inherited(Struct, frozen=True):
    """Listening sockets that the process was started with.

    Attributes:
        scheme: the name of its scheme.
        name: the number of the descriptor; or the name under which systemd has passed the sockets,
            empty for all that it has passed.
        is_tls: whether the connections use TLS.
    """

    scheme: str
    name: str
    is_tls: bool

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"

    @property
    def has_number(self) -> bool:
        """Whether ``name`` is a descriptor."""
        return self.scheme.endswith("+fd")


def parse_inherited(address: str, is_tls: bool) -> Inherited:
    """Parse ``pb+fd:3`` or ``pb+systemd:NAME``; ``//`` after the colon changes nothing.

    Raises:
        ConfigError: the address does not name a descriptor.
    """
    scheme, _, rest = address.partition(":")
    location = Inherited(scheme, rest.removeprefix("//"), is_tls)
    name = location.name
    is_number = name.isascii() and name.isdigit() and len(name) < 6
    if "/" in name or (location.has_number and not is_number):
        raise ConfigError(f"address {address!r} names no socket; {EXAMPLE}")
    return Inherited(scheme, str(int(name)), is_tls) if location.has_number else location


_passed: dict[str, list[int]] | None = None


def passed_sockets() -> Mapping[str, Sequence[int]]:
    """Return the descriptors of the listening sockets that systemd has passed, by their names."""
    global _passed  # noqa: PLW0603 - the environment is read once
    if _passed is None:
        _passed = adopted_sockets(os.environ)
    return _passed


def adopted_sockets(environment: MutableMapping[str, str]) -> dict[str, list[int]]:
    """Read the variables of systemd and remove them; make the descriptors close on ``exec``.

    Args:
        environment: of this process.

    Returns:
        The descriptors by their names; empty if none are for this process.
    """
    owner, count, names = (environment.pop(name, "") for name in _VARIABLES)
    if owner != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return {}
    found: dict[str, list[int]] = {}
    called = names.split(":") if names else []
    for index in range(int(count)):
        number = FIRST + index
        try:
            os.set_inheritable(number, False)
        except OSError:
            continue
        found.setdefault(called[index] if index < len(called) else "unknown", []).append(number)
    return found


def bind_inherited(location: Inherited) -> tuple[socket.socket, ...]:
    """Return the listening sockets of a location, as duplicates that do not block.

    Raises:
        ConfigError: there is no such socket, or it does not listen.
    """
    sockets: list[socket.socket] = []
    try:
        sockets.extend(_listening(number, location) for number in _numbers(location))
    except ConfigError:
        for sock in sockets:
            sock.close()
        raise
    return tuple(sockets)


def is_public(location: Inherited) -> bool:
    """Return whether other machines can reach one of the sockets of a location.

    Raises:
        ConfigError: as `bind_inherited`.
    """
    return bool(public_host(location))


def public_host(location: Inherited) -> str:
    """Return the host and the port of a socket that other machines can reach; empty without one.

    Raises:
        ConfigError: as `bind_inherited`.
    """
    found = ""
    for sock in bind_inherited(location):
        with sock:
            if not is_unix(sock.family):
                host, port = sock.getsockname()[:2]
                found = found or ("" if is_loopback(host) else host_port(host, port))
    return found


def check_inherited(location: Inherited, plaintext: bool) -> None:
    """Check that the sockets of a location can be used.

    Raises:
        ConfigError: as `bind_inherited`.
    """
    public_host(location)


def check_plain_inherited(location: Inherited, plaintext: bool) -> None:
    """Check that the sockets of a location can be used without TLS.

    Raises:
        ConfigError: other machines can reach one, and ``plaintext`` is False; or as
            `bind_inherited`.
    """
    host = public_host(location)
    if host and not plaintext:
        before = f"{location} is {host}, without TLS; "
        raise fixed_by(ConfigError, before, "tls or plaintext")


def cannot_connect(location: Inherited, plaintext: bool) -> None:
    """Refuse a location as the address of a client.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"{location} is an address for serve: it is a socket that listens")


async def connect_inherited(location: Inherited, *arguments: object) -> StreamTransport:
    """Fill the place of `Scheme.connect`; `cannot_connect` refuses such a location before.

    Raises:
        TypeError: always.
    """
    raise TypeError(f"a client cannot connect to {location}")


def place_to_reach(location: Inherited, sockets: Sequence[socket.socket]) -> Location:
    """Return the location at which clients reach the first of the sockets.

    That is the same location if there is no such address, as for an abstract UNIX socket.
    """
    name = sockets[0].getsockname()
    if not is_unix(sockets[0].family):
        return HostPort(name[0], name[1], location.is_tls)
    is_reached = isinstance(name, str) and name.startswith("/") and not location.is_tls
    return SocketPath(name) if is_reached else location


def _numbers(location: Inherited) -> Sequence[int]:
    if location.has_number:
        return (int(location.name),)
    passed = passed_sockets()
    if not location.name:
        numbers = [number for each in passed.values() for number in each]
        if not numbers:
            raise ConfigError("no socket was passed by systemd: start the service by its socket")
        return numbers
    if location.name not in passed:
        known = f"; the names are {', '.join(sorted(passed))}" if passed else ""
        raise ConfigError(f"no socket was passed under the name {location.name!r}{known}")
    return passed[location.name]


def _listening(number: int, location: Inherited) -> socket.socket:
    try:
        sock = StreamSocket(fileno=os.dup(number))
    except OSError:
        raise ConfigError(f"{location}: descriptor {number} is not an open socket") from None
    try:
        is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        is_listening = 0
    if not is_listening or sock.type != socket.SOCK_STREAM:
        sock.close()
        raise ConfigError(f"{location}: descriptor {number} is not a listening stream socket")
    sock.setblocking(False)
    return sock
