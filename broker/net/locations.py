"""The places of addresses: one record for each kind, and how each is parsed.

``broker.net.schemes`` has the table that says what a client and a server do with each.
"""

from __future__ import annotations

import re
from typing import ClassVar, Protocol
from urllib.parse import SplitResult, quote, unquote, urlsplit

from msgspec import Struct

from broker.errors import ConfigError
from broker.net.host_names import ascii_name
from broker.net.socket_addresses import is_loopback

__all__ = [
    "DEFAULT_PORT",
    "EXAMPLE",
    "Command",
    "HostPort",
    "Location",
    "SocketPath",
    "WebPlace",
    "command",
    "host_port",
    "socket_path",
    "web_place",
]

DEFAULT_PORT = 8787
EXAMPLE = "write pb://127.0.0.1:8787, or pbs://broker.example for TLS"
_WEB_EXAMPLE = "write ws://127.0.0.1:8788/pb, or wss://broker.example/pb for TLS"

# What a request line may have as its path: no spaces, and nothing that is not ASCII.
_PATH = re.compile(r"/[!-~]*")


class Location(Protocol):
    """A parsed address; ``str()`` gives an address that can be parsed again."""

    @property
    def scheme(self) -> str:
        """The name of its scheme."""


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


class WebPlace(Struct, frozen=True):
    """A path on a TCP port that speaks WebSocket.

    Attributes:
        host: a name, as it was written, or a numeric address.
        port: the TCP port; None if the address has none.
        path: the path of the request, which begins with a slash.
        is_tls: whether the connection uses TLS.
    """

    host: str
    port: int | None
    path: str
    is_tls: bool

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """The host, and the port if the address has one: the header ``Host`` of a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """The name of its scheme."""
        return "wss" if self.is_tls else "ws"

    @property
    def port_to_reach(self) -> int:
        """The port; that of HTTP or HTTPS if the address has none."""
        if self.port is None:
            return 443 if self.is_tls else 80
        return self.port

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
        # Imported here: most programs run no commands.
        from shlex import join

        return f"{self.scheme}:{join(self.arguments)}"


def _split(address: str, example: str = EXAMPLE) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        # A bracket is missing, or the brackets do not contain an IPv6 address.
        raise ConfigError(f"address {address!r} is not understood; {example}") from None


def _split_with_port(address: str, example: str) -> tuple[SplitResult, str, int | None]:
    """Split an address that has a host; return the host too, and the port, None if it has none."""
    parts = _split(address, example)
    try:
        port = parts.port
    except ValueError:
        raise ConfigError(f"address {address!r} has no valid port; {example}") from None
    if not parts.hostname:
        raise ConfigError(f"address {address!r} is not understood; {example}")
    ascii_name(parts.hostname)
    return parts, parts.hostname, port


def host_port(address: str) -> HostPort:
    """Parse ``pb://host:port``.

    Raises:
        ConfigError: the address is not valid.
    """
    parts, host, port = _split_with_port(address, EXAMPLE)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"address {address!r} says more than host and port; {EXAMPLE}")
    return HostPort(host, DEFAULT_PORT if port is None else port, parts.scheme == "pbs")


def web_place(address: str) -> WebPlace:
    """Parse ``ws://host:port/path``.

    Raises:
        ConfigError: the address is not valid.
    """
    parts, host, port = _split_with_port(address, _WEB_EXAMPLE)
    if parts.query or parts.fragment or parts.username is not None or "?" in address:
        raise ConfigError(f"address {address!r} says more than host, port and path; {_WEB_EXAMPLE}")
    path = parts.path or "/"
    if not _PATH.fullmatch(path):
        raise ConfigError(f"address {address!r}: write the path in ASCII, with %20 for a space")
    return WebPlace(host, port, path, parts.scheme == "wss")


def socket_path(address: str) -> SocketPath:
    """Parse ``pb+unix:///path``.

    Raises:
        ConfigError: the address is not valid.
    """
    parts = _split(address)
    path = unquote(parts.path)
    is_absolute = path.startswith("/") and not path.endswith("/") and "\0" not in path
    if parts.netloc or parts.query or parts.fragment or not is_absolute:
        raise ConfigError(
            f"address {address!r} names no socket; write pb+unix:///path/of/socket, with three"
            " slashes, and %3F for a question mark"
        )
    return SocketPath(path)


def command(address: str) -> Command:
    """Parse ``pb+exec:command args``.

    Raises:
        ConfigError: the address is not valid.
    """
    text = address.partition(":")[2]
    try:
        # Imported here: most programs run no commands.
        from shlex import split

        arguments = tuple(split(text))
    except ValueError as exc:
        raise ConfigError(f"address {address!r} is not a command line: {exc}") from None
    if not arguments or "\0" in text:
        raise ConfigError(f"address {address!r} names no program; write pb+exec:command args")
    return Command(arguments)
