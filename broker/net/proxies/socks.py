"""SOCKS 4, 4a and 5, by the package python-socks: the extra ``proxy``."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from broker.config_error import ConfigError
from broker.net.proxies.refusal import ENDED, Refusal
from broker.net.proxies.settings import SOCKS5, Proxy
from broker.transport_errors import ConnectError, ConnectionRefusedError, NoRouteError

__all__ = ["request_socks", "require_package"]

# python-socks has a limit of its own. The caller's limit is the one that counts.
_LONG = 1_000_000.0

# The codes of both protocols, which have no number in common.
_CODES: dict[int, tuple[str, type[ConnectError]]] = {
    0x01: ("the proxy failed", ConnectError),
    0x02: ("the proxy's rules do not allow it", ConnectError),
    0x03: ("network unreachable", NoRouteError),
    0x04: ("host unreachable", NoRouteError),
    0x05: ("connection refused", ConnectionRefusedError),
    0x06: ("the server does not answer the proxy", ConnectError),
    0x07: ("the proxy makes no connections", ConnectError),
    0x08: ("the proxy does not know this kind of address", ConnectError),
    0x5B: ("the proxy refused, or cannot reach it", ConnectError),
    0x5C: ("the proxy cannot verify the user", ConnectError),
    0x5D: ("the proxy does not accept the user", ConnectError),
}
# The texts of python-socks for errors without a code.
_CLOSED = "Connection closed unexpectedly"
_WRONG_PASSWORD = "Username and password authentication failure"  # noqa: S105
_NO_METHOD = "No acceptable authentication methods were offered"


def require_package() -> None:
    """Import python-socks.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import python_socks.async_.asyncio  # noqa: F401
    except ImportError:
        raise ConfigError(
            "a SOCKS proxy needs the package python-socks: install perspective-broker[proxy]"
        ) from None


async def request_socks(proxy: Proxy, sock: socket.socket, host: str, port: int) -> None:
    """Ask a SOCKS proxy to connect a socket to a server, and resolve its name.

    Exactly the bytes of the answer are read from the socket.

    Args:
        proxy: its settings.
        sock: connected to the proxy; it does not block.
        host, port: the server; the host is in ASCII.

    Raises:
        Refusal: the proxy does not connect, or does not speak SOCKS.
        OSError: the connection to the proxy broke.
    """
    # Imported only when needed: it is optional.
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as Requester

    reached: Any = _Reached(sock)
    requester = Requester(
        ProxyType.SOCKS5 if proxy.kind == SOCKS5 else ProxyType.SOCKS4,
        proxy.host,
        proxy.port,
        proxy.user,
        proxy.password,
        rdns=True,
        forward=reached,
        loop=asyncio.get_running_loop(),
    )
    try:
        await requester.connect(host, port, timeout=_LONG)
    except ProxyError as exc:
        raise _refusal(exc, exc.error_code, proxy) from None
    except ValueError:
        # A name in the answer that is not text.
        raise Refusal("the proxy does not answer in SOCKS") from None


class _Reached:
    """Takes the place of a proxy before the proxy, to which the socket is connected already."""

    def __init__(self, sock: socket.socket):
        self._sock = sock

    async def connect(self, **kwargs: object) -> socket.socket:
        return self._sock


def _refusal(exc: Exception, code: int | None, proxy: Proxy) -> Refusal:
    if code is not None:
        return Refusal(*_CODES.get(code, (f"the proxy refused with the code {code}", ConnectError)))
    text = str(exc)
    if text == _CLOSED:
        # SOCKS 5 has an answer for a login that is refused, but some proxies just close.
        hint = "does it need a user and a password?" if proxy.user is None else "wrong password?"
        return Refusal(f"{ENDED}; {hint}" if proxy.kind == SOCKS5 else ENDED)
    if text == _NO_METHOD:
        wanted = "a user and a password" if proxy.user is None else "another way to log in"
        return Refusal(f"the proxy needs {wanted}")
    if text == _WRONG_PASSWORD:
        return Refusal("the proxy does not accept this user and password")
    return Refusal("the proxy does not answer in SOCKS")
