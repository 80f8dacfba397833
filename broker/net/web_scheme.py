"""What the schemes ``ws://`` and ``wss://`` do: the functions of their rows."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from importlib.util import find_spec

from broker.errors import ConfigError
from broker.fixes import fixed_by
from broker.net.accepting import AcceptSettings, ConnectSettings
from broker.net.listener import Listener
from broker.net.locations import WebPlace
from broker.net.sockets import bind_stream
from broker.net.transports import MakeProtocol, StreamTransport

__all__ = [
    "accept_web",
    "bind_shared_web",
    "bind_web",
    "check_web",
    "check_web_client",
    "check_web_server",
    "connect_web",
    "web_target",
]


async def connect_web(
    location: WebPlace, make_protocol: MakeProtocol, settings: ConnectSettings
) -> StreamTransport:
    """Connect to a path by WebSocket; see `Scheme.connect`."""
    # Imported here: most programs use no WebSocket, and the extra may be missing.
    from broker.net.websocket.sockets import connect_websocket

    return await connect_websocket(location, make_protocol, settings)


def bind_web(location: WebPlace) -> Sequence[socket.socket]:
    """Return listening sockets; see `Scheme.bind`."""
    return bind_stream(location.host, location.port_to_reach)


def bind_shared_web(location: WebPlace) -> Sequence[socket.socket]:
    """Return sockets at a port where other processes listen too; see `Scheme.bind_shared`."""
    return bind_stream(location.host, location.port_to_reach, reuse_port=True)


def accept_web(
    location: WebPlace,
    sockets: Sequence[socket.socket],
    make_protocol: MakeProtocol,
    settings: AcceptSettings,
) -> Listener:
    """Accept WebSockets on listening sockets; see `Scheme.accept`."""
    from broker.net.websocket.sockets import accept_websockets

    return accept_websockets(location, sockets, make_protocol, settings)


def check_web(location: WebPlace) -> None:
    """Check that the extra ``ws`` is there.

    Raises:
        ConfigError: it is missing.
    """
    if find_spec("websockets") is None:
        raise ConfigError(
            f"{location.scheme}:// needs the extra ws: pip install 'perspective-broker[ws]'"
        )


def check_web_client(location: WebPlace, plaintext: bool) -> None:
    """Check that a client may use the location.

    Raises:
        ConfigError: it may not, or the extra ``ws`` is missing.
    """
    check_web(location)
    if not (location.is_tls or location.is_loopback or plaintext):
        before = f"connecting to {location.host} without TLS; use wss://, or "
        raise fixed_by(ConfigError, before, "plaintext")


def check_web_server(location: WebPlace, plaintext: bool) -> None:
    """Check that a server may use the location.

    Raises:
        ConfigError: it may not, or the extra ``ws`` is missing.
    """
    check_web(location)
    if location.port is None:
        address = f"{location.scheme}://{location.host}"
        example = f"{location.scheme}://127.0.0.1:8788/pb"
        raise ConfigError(f"address '{address}{location.path}' has no port; write {example}")
    if not (location.is_tls or location.is_loopback or plaintext):
        before = f"listening on {location.host} without TLS; "
        raise fixed_by(ConfigError, before, "wss or plaintext")


def web_target(location: WebPlace) -> tuple[str, int]:
    """Return the host and the port that a proxy connects to."""
    return location.host, location.port_to_reach
