"""The schemes of addresses: one row each, with all that a client and a server need to know of it.

``pb://host:port``; ``pbs://host:port`` for TLS; ``pb+unix:///path`` for a UNIX socket;
``pb+exec:command args`` for the standard streams of a child process; and ``pb+fd:3`` and
``pb+systemd:NAME``, or ``pbs+…`` for TLS, for listening sockets that the process was started with.

To add a scheme, write its `Location` and a `Scheme` for it, and call `add_scheme` before the first
address is used. `broker.connect` and `broker.serve` then take addresses with the new name.
"""

from __future__ import annotations

import functools
import os
import shlex
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import ConfigError, WrongType
from broker.fixes import fixed_by
from broker.net.host_names import ascii_name
from broker.net.inherited import Inherited, bind_inherited, is_public, parse_inherited, public_host
from broker.net.listener import Listener
from broker.net.pipes.children import connect_command
from broker.net.proxies.settings import Proxy
from broker.net.socket_addresses import is_loopback, is_unix
from broker.net.sockets import bind_stream, bind_unix, connect_stream, connect_unix, start_accepting
from broker.net.tls.settings import TLS
from broker.net.transports import MakeProtocol, StreamTransport

__all__ = [
    "DEFAULT_PORT",
    "Command",
    "ConnectSettings",
    "HostPort",
    "Location",
    "Scheme",
    "SocketPath",
    "add_scheme",
    "parse_address",
    "remove_scheme",
    "scheme_of",
]

DEFAULT_PORT = 8787
EXAMPLE = "write pb://127.0.0.1:8787, or pbs://broker.example for TLS"


class Location(Protocol):
    """A parsed address; ``str()`` gives an address that can be parsed again."""

    @property
    def scheme(self) -> str:
        """The name of its scheme."""


Place = TypeVar("Place", bound=Location)


class ConnectSettings(Struct, frozen=True):
    """The settings of a connection to be made, for `Scheme.connect`.

    Attributes:
        tls: the settings of `TLS.client`; None for a scheme without TLS.
        timeout: seconds until the server has been reached.
        handshake_timeout: seconds for the TLS handshake after that.
        close_timeout: seconds for the peer to answer the close of this end.
        proxy: connects to the `Scheme.target`; None to connect without a proxy.
    """

    tls: TLS | None
    timeout: float
    handshake_timeout: float
    close_timeout: float
    proxy: Proxy | None = None


def _nothing(location: Location) -> None:
    """Do nothing."""


def _unchanged(location: Place, sockets: Sequence[socket.socket]) -> Place:
    return location


def _without_rules(location: Location, plaintext: bool) -> None:
    """Allow the location."""


def _not_public(location: Location) -> bool:
    return False


class Scheme(Struct, Generic[Place], frozen=True, kw_only=True):
    """A row of the table of schemes. ``location`` is a result of its ``parse``.

    Attributes:
        name: the part of an address before the first colon.
        parse: ``parse(address)`` returns the location, or raises ConfigError.
        connect: ``await connect(location, make_protocol, settings)`` connects; settings are
            ConnectSettings. The errors are those of `broker.net.sockets.connect_stream`.
        bind: ``bind(location)`` returns listening sockets, or raises CannotListenError.
        bind_shared: like ``bind``, for an address at which other processes listen too; None if only
            one process can.
        accept: accepts connections on them, as `broker.net.sockets.start_accepting` does.
        unbind: ``unbind(location)`` removes what ``bind`` has made, after the sockets were closed
            because the server cannot listen at another address.
        real_address: ``real_address(location, sockets)`` returns the location with the real port,
            to which clients can connect.
        check_client, check_server: ``check(location, plaintext)`` raises ConfigError if a client
            or a server may not use the location. ``plaintext`` is whether a public address without
            TLS is allowed.
        is_public: ``is_public(location)`` tells whether other machines can reach it.
        target: ``target(location)`` returns the host and the port that a proxy connects to; None if
            there can be no proxy.
        as_tls: ``as_tls(location)`` returns the same location with TLS; None if it cannot have TLS.
        is_tls: whether the connection uses TLS, so that a server needs a certificate.
    """

    name: str
    parse: Callable[[str], Place]
    connect: Callable[[Place, MakeProtocol, ConnectSettings], Awaitable[StreamTransport]]
    bind: Callable[[Place], Sequence[socket.socket]]
    bind_shared: Callable[[Place], Sequence[socket.socket]] | None = None
    accept: Callable[..., Listener] = start_accepting
    unbind: Callable[[Place], object] = _nothing
    real_address: Callable[[Place, Sequence[socket.socket]], Location] = _unchanged
    check_client: Callable[[Place, bool], object] = _without_rules
    check_server: Callable[[Place, bool], object] = _without_rules
    is_public: Callable[[Place], bool] = _not_public
    target: Callable[[Place], tuple[str, int] | None] = _nothing
    as_tls: Callable[[Place], Location | None] = _nothing
    is_tls: bool = False


_schemes: dict[str, Scheme[Any]] = {}


def add_scheme(scheme: Scheme[Any]) -> None:
    """Add a row to the table, for all addresses that are parsed from now on.

    Raises:
        ConfigError: there is a scheme of that name already.
    """
    if scheme.name in _schemes:
        raise ConfigError(f"there is a scheme {scheme.name} already")
    _schemes[scheme.name] = scheme
    _parse.cache_clear()


def remove_scheme(name: str) -> None:
    """Remove a row from the table.

    Raises:
        KeyError: there is no scheme of that name.
    """
    del _schemes[name]
    _parse.cache_clear()


def scheme_of(location: Location) -> Scheme[Any]:
    """Return the row of a location.

    Raises:
        KeyError: it has been removed.
    """
    return _schemes[location.scheme]


class HostPort(Struct, frozen=True):
    """A TCP port to listen on or to connect to.

    Attributes:
        host: a name, as it was written, or a numeric address.
        port: the TCP port.
        is_tls: whether the connection uses TLS.
    """

    host: str
    port: int
    is_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """The name of its scheme."""
        return "pbs" if self.is_tls else "pb"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be at the other end."""
        return is_loopback(self.host)


class SocketPath(Struct, frozen=True):
    """A UNIX socket.

    Attributes:
        path: its absolute path.
        is_private: whether only the user of this process can connect.
    """

    path: str
    is_private: bool = False
    scheme: ClassVar[str] = "pb+unix"

    def __str__(self) -> str:
        return f"{self.scheme}://{quote(self.path)}"


class Command(Struct, frozen=True):
    """A program to run, with a connection over its standard input and output.

    Attributes:
        arguments: its command line, the program first.
    """

    arguments: tuple[str, ...]
    scheme: ClassVar[str] = "pb+exec"

    def __str__(self) -> str:
        return f"{self.scheme}:{shlex.join(self.arguments)}"


def parse_address(address: object) -> Location:
    """Parse an address.

    The path of a UNIX socket may have percent escapes such as ``%20``. A command is split into
    words as a shell does it, without any expansion.

    Raises:
        ConfigError: the address does not have one of these schemes, or is not valid.
        WrongType: a ConfigError: it is not a str.
    """
    if not isinstance(address, str):
        several = "; give several one by one" if isinstance(address, list | tuple | set) else ""
        raise WrongType(f"an address is text, not {type(address).__name__}{several}; {EXAMPLE}")
    return _parse(address)


@functools.lru_cache(256)
def _parse(address: str) -> Location:
    scheme = _schemes.get(address.partition(":")[0])
    if scheme is None:
        raise ConfigError(f"address {address!r} is not understood; {EXAMPLE}")
    location: Location = scheme.parse(address)
    return location


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        # A bracket is missing, or the brackets do not contain an IPv6 address.
        raise ConfigError(f"address {address!r} is not understood; {EXAMPLE}") from None


def _host_port(address: str) -> HostPort:
    parts = _split(address)
    try:
        port = parts.port
    except ValueError:
        raise ConfigError(f"address {address!r} has no valid port; {EXAMPLE}") from None
    if not parts.hostname:
        raise ConfigError(f"address {address!r} is not understood; {EXAMPLE}")
    ascii_name(parts.hostname)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"address {address!r} says more than host and port; {EXAMPLE}")
    return HostPort(parts.hostname, DEFAULT_PORT if port is None else port, parts.scheme == "pbs")


def _socket_path(address: str) -> SocketPath:
    parts = _split(address)
    path = unquote(parts.path)
    is_absolute = path.startswith("/") and not path.endswith("/") and "\0" not in path
    if parts.netloc or parts.query or parts.fragment or not is_absolute:
        raise ConfigError(
            f"address {address!r} names no socket; write pb+unix:///path/of/socket, with three"
            " slashes, and %3F for a question mark"
        )
    return SocketPath(path)


def _command(address: str) -> Command:
    text = address.partition(":")[2]
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as exc:
        raise ConfigError(f"address {address!r} is not a command line: {exc}") from None
    if not arguments or "\0" in text:
        raise ConfigError(f"address {address!r} names no program; write pb+exec:command args")
    return Command(arguments)


async def _connect_host(
    location: HostPort, make_protocol: MakeProtocol, settings: ConnectSettings
) -> StreamTransport:
    return await connect_stream(
        make_protocol,
        location.host,
        location.port,
        tls=settings.tls,
        timeout=settings.timeout,
        handshake_timeout=settings.handshake_timeout,
        close_timeout=settings.close_timeout,
        at_once=True,
        proxy=settings.proxy,
    )


async def _connect_path(
    location: SocketPath, make_protocol: MakeProtocol, settings: ConnectSettings
) -> StreamTransport:
    timeout = settings.timeout
    return await connect_unix(make_protocol, location.path, timeout=timeout, at_once=True)


async def _connect_command(
    location: Command, make_protocol: MakeProtocol, settings: ConnectSettings
) -> StreamTransport:
    arguments, close_timeout = location.arguments, settings.close_timeout
    return await connect_command(make_protocol, arguments, close_timeout=close_timeout)


def _bind_host(location: HostPort) -> Sequence[socket.socket]:
    return bind_stream(location.host, location.port)


def _bind_shared_host(location: HostPort) -> Sequence[socket.socket]:
    return bind_stream(location.host, location.port, reuse_port=True)


def _bind_path(location: SocketPath) -> Sequence[socket.socket]:
    return bind_unix(location.path, is_private=location.is_private)


def _bind_command(location: Command) -> Sequence[socket.socket]:
    raise TypeError(f"a server cannot listen at {location}")


def _unbind_path(location: SocketPath) -> None:
    with suppress(OSError):
        os.unlink(location.path)


def _with_real_port(location: HostPort, sockets: Sequence[socket.socket]) -> HostPort:
    return replace(location, port=sockets[0].getsockname()[1])


def _target(location: HostPort) -> tuple[str, int]:
    return location.host, location.port


def _is_public(location: HostPort) -> bool:
    return not location.is_loopback


def _with_tls(location: HostPort) -> HostPort:
    return replace(location, is_tls=True)


def _check_plain_client(location: HostPort, plaintext: bool) -> None:
    if not (location.is_loopback or plaintext):
        before = f"connecting to {location.host} without TLS; use pbs://, or "
        raise fixed_by(ConfigError, before, "plaintext")


def _check_plain_server(location: HostPort, plaintext: bool) -> None:
    if not (location.is_loopback or plaintext):
        before = f"listening on {location.host} without TLS; "
        raise fixed_by(ConfigError, before, "tls or plaintext")


def _check_plain_inherited(location: Inherited, plaintext: bool) -> None:
    host = public_host(location)
    if host and not plaintext:
        before = f"{location} is {host}, without TLS; "
        raise fixed_by(ConfigError, before, "tls or plaintext")


def _check_inherited(location: Inherited, plaintext: bool) -> None:
    public_host(location)


def _cannot_connect(location: Inherited, plaintext: bool) -> None:
    raise ConfigError(f"{location} is an address for serve: it is a socket that listens")


def _first_place(location: Inherited, sockets: Sequence[socket.socket]) -> Location:
    name = sockets[0].getsockname()
    if not is_unix(sockets[0].family):
        return HostPort(name[0], name[1], location.is_tls)
    is_reached = isinstance(name, str) and name.startswith("/") and not location.is_tls
    return SocketPath(name) if is_reached else location


async def _connect_inherited(
    location: Inherited, make_protocol: MakeProtocol, settings: ConnectSettings
) -> StreamTransport:
    raise TypeError(f"a client cannot connect to {location}")


def _refuse_command(location: Command, plaintext: bool) -> None:
    raise ConfigError(
        f"{location} is an address for connect, which runs the command; serve has"
        " pb+unix:///path, or stdio.StandardIO in the command itself"
    )


_PB = Scheme(
    name="pb",
    parse=_host_port,
    connect=_connect_host,
    bind=_bind_host,
    bind_shared=_bind_shared_host,
    real_address=_with_real_port,
    check_client=_check_plain_client,
    check_server=_check_plain_server,
    is_public=_is_public,
    target=_target,
    as_tls=_with_tls,
)
_PBS = Scheme(
    name="pbs",
    parse=_host_port,
    connect=_connect_host,
    bind=_bind_host,
    bind_shared=_bind_shared_host,
    real_address=_with_real_port,
    is_public=_is_public,
    target=_target,
    is_tls=True,
)
_UNIX = Scheme(
    name="pb+unix",
    parse=_socket_path,
    connect=_connect_path,
    bind=_bind_path,
    unbind=_unbind_path,
)
_EXEC = Scheme(
    name="pb+exec",
    parse=_command,
    connect=_connect_command,
    bind=_bind_command,
    check_server=_refuse_command,
)

_INHERITED: list[Scheme[Any]] = [
    Scheme(
        name=f"{base}+{kind}",
        parse=functools.partial(parse_inherited, is_tls=base == "pbs"),
        connect=_connect_inherited,
        bind=bind_inherited,
        bind_shared=bind_inherited,
        # The files of UNIX sockets belong to the program that has made them.
        accept=functools.partial(start_accepting, removes_paths=False),
        real_address=_first_place,
        check_client=_cannot_connect,
        check_server=_check_inherited if base == "pbs" else _check_plain_inherited,
        is_public=is_public,
        is_tls=base == "pbs",
    )
    for base in ("pb", "pbs")
    for kind in ("fd", "systemd")
]

_ROWS: tuple[Scheme[Any], ...] = (_PB, _PBS, _UNIX, _EXEC, *_INHERITED)
for _scheme in _ROWS:
    add_scheme(_scheme)
