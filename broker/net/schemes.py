"""Addresses as users write them.

``pb://host:port``; ``pbs://host:port`` for TLS; ``pb+unix:///path`` for a UNIX socket; and
``pb+exec:command args`` for the standard streams of a child process.
"""

from __future__ import annotations

import functools
import shlex
from typing import Any, ClassVar, TypeAlias
from urllib.parse import SplitResult, quote, unquote, urlsplit

from msgspec import Struct

from broker.errors import ConfigError, WrongType
from broker.net.host_names import ascii_name
from broker.net.socket_addresses import is_loopback

__all__ = [
    "DEFAULT_PORT",
    "Command",
    "HostPort",
    "Location",
    "SocketPath",
    "parse_address",
]

DEFAULT_PORT = 8787
EXAMPLE = "write pb://127.0.0.1:8787, or pbs://broker.example for TLS"


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
        return f"{'pbs' if self.is_tls else 'pb'}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be at the other end."""
        return is_loopback(self.host)


class SocketPath(Struct, frozen=True):
    """A UNIX socket.

    Attributes:
        path: its absolute path.
    """

    path: str
    is_tls: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"pb+unix://{quote(self.path)}"


class Command(Struct, frozen=True):
    """A program to run, with a connection over its standard input and output.

    Attributes:
        arguments: its command line, the program first.
    """

    arguments: tuple[str, ...]
    is_tls: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"pb+exec:{shlex.join(self.arguments)}"


Location: TypeAlias = HostPort | SocketPath | Command


def parse_address(address: Any) -> Location:
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
    scheme, _, rest = address.partition(":")
    match scheme:
        case "pb" | "pbs":
            return _host_port(address)
        case "pb+unix":
            return _socket_path(address)
        case "pb+exec":
            return _command(address, rest)
    raise ConfigError(f"address {address!r} is not understood; {EXAMPLE}")


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


def _command(address: str, text: str) -> Command:
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as exc:
        raise ConfigError(f"address {address!r} is not a command line: {exc}") from None
    if not arguments or "\0" in text:
        raise ConfigError(f"address {address!r} names no program; write pb+exec:command args")
    return Command(arguments)
