"""The schemes of addresses: one row each, with all that a client and a server need to know of it.

``pb://host:port``; ``pbs://host:port`` for TLS; ``ws://host:port/path`` and ``wss://…`` for
WebSocket; ``pb+unix:///path`` for a UNIX socket; ``pb+exec:command args`` for the standard streams
of a child process; and ``pb+fd:3`` and ``pb+systemd:NAME``, or ``pbs+…`` for TLS, for listening
sockets that the process was started with.

To add a scheme, write its `Location` and a `Scheme` for it, and call `add_scheme` before the first
address is used. `broker.connect` and `broker.serve` then take addresses with the new name.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import ConfigError, WrongType
from broker.fixes import fixed_by
from broker.net.accepting import AcceptSettings, ConnectSettings, accept_streams
from broker.net.inherited import (
    bind_inherited,
    cannot_connect,
    check_inherited,
    check_plain_inherited,
    connect_inherited,
    is_public,
    parse_inherited,
    place_to_reach,
)
from broker.net.listener import Listener
from broker.net.locations import (
    DEFAULT_PORT,
    EXAMPLE,
    Command,
    HostPort,
    Location,
    SocketPath,
    WebPlace,
    command,
    host_port,
    socket_path,
    web_place,
)
from broker.net.sockets import bind_stream, bind_unix, connect_stream, connect_unix
from broker.net.transports import MakeProtocol, StreamTransport
from broker.net.web_scheme import (
    accept_web,
    bind_shared_web,
    bind_web,
    check_web_client,
    check_web_server,
    connect_web,
    web_target,
)

__all__ = [
    "DEFAULT_PORT",
    "AcceptSettings",
    "Command",
    "ConnectSettings",
    "HostPort",
    "Location",
    "Scheme",
    "SocketPath",
    "WebPlace",
    "add_scheme",
    "parse_address",
    "remove_scheme",
    "scheme_of",
]

Place = TypeVar("Place", bound=Location)
OnPort = TypeVar("OnPort", HostPort, WebPlace)


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
        accept: ``accept(location, sockets, make_protocol, settings)`` accepts connections on them;
            settings are AcceptSettings.
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
    accept: Callable[[Place, Sequence[socket.socket], MakeProtocol, AcceptSettings], Listener] = (
        accept_streams
    )
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
    # Imported here: most programs run no command.
    from broker.net.pipes.children import connect_command

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


def _with_real_port(location: OnPort, sockets: Sequence[socket.socket]) -> OnPort:
    return replace(location, port=sockets[0].getsockname()[1])


def _target(location: HostPort) -> tuple[str, int]:
    return location.host, location.port


def _is_public(location: HostPort | WebPlace) -> bool:
    return not location.is_loopback


def _with_tls(location: OnPort) -> OnPort:
    return replace(location, is_tls=True)


def _check_plain_client(location: HostPort, plaintext: bool) -> None:
    if not (location.is_loopback or plaintext):
        before = f"connecting to {location.host} without TLS; use pbs://, or "
        raise fixed_by(ConfigError, before, "plaintext")


def _check_plain_server(location: HostPort, plaintext: bool) -> None:
    if not (location.is_loopback or plaintext):
        before = f"listening on {location.host} without TLS; "
        raise fixed_by(ConfigError, before, "tls or plaintext")


def _refuse_command(location: Command, plaintext: bool) -> None:
    raise ConfigError(
        f"{location} is an address for connect, which runs the command; serve has"
        " pb+unix:///path, or stdio.StandardIO in the command itself"
    )


_PB = Scheme(
    name="pb",
    parse=host_port,
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
    parse=host_port,
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
    parse=socket_path,
    connect=_connect_path,
    bind=_bind_path,
    unbind=_unbind_path,
)
_EXEC = Scheme(
    name="pb+exec",
    parse=command,
    connect=_connect_command,
    bind=_bind_command,
    check_server=_refuse_command,
)

_WS = Scheme(
    name="ws",
    parse=web_place,
    connect=connect_web,
    bind=bind_web,
    bind_shared=bind_shared_web,
    accept=accept_web,
    real_address=_with_real_port,
    check_client=check_web_client,
    check_server=check_web_server,
    is_public=_is_public,
    target=web_target,
    as_tls=_with_tls,
)
_WSS = Scheme(
    name="wss",
    parse=web_place,
    connect=connect_web,
    bind=bind_web,
    bind_shared=bind_shared_web,
    accept=accept_web,
    real_address=_with_real_port,
    check_client=check_web_client,
    check_server=check_web_server,
    is_public=_is_public,
    target=web_target,
    is_tls=True,
)
_INHERITED: list[Scheme[Any]] = [
    Scheme(
        name=f"{base}+{kind}",
        parse=functools.partial(parse_inherited, is_tls=base == "pbs"),
        connect=connect_inherited,
        bind=bind_inherited,
        bind_shared=bind_inherited,
        # The files of UNIX sockets belong to the program that has made them.
        accept=functools.partial(accept_streams, removes_paths=False),
        real_address=place_to_reach,
        check_client=cannot_connect,
        check_server=check_inherited if base == "pbs" else check_plain_inherited,
        is_public=is_public,
        is_tls=base == "pbs",
    )
    for base in ("pb", "pbs")
    for kind in ("fd", "systemd")
]

_ROWS: tuple[Scheme[Any], ...] = (_PB, _PBS, _WS, _WSS, _UNIX, _EXEC, *_INHERITED)
for _scheme in _ROWS:
    add_scheme(_scheme)
