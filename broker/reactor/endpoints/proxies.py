"""Endpoints that connect through a proxy, to which another endpoint connects.

They have no counterpart in Twisted. They need a reactor of this library, whose connectors know
proxies.
"""

from __future__ import annotations

from typing import ClassVar

from broker.net.proxies import settings
from broker.net.proxies.choice import check_target
from broker.reactor.endpoints.classes import TCP4ClientEndpoint
from broker.reactor.engine.reactor import Reactor
from broker.reactor.typed import ClientEndpoint

__all__ = ["SOCKS4", "SOCKS5", "HTTPConnect", "ProxiedEndpoint"]


class ProxiedEndpoint(TCP4ClientEndpoint):
    """A server that a proxy connects to; a subclass knows the kind of proxy.

    The timeout and the local address are those of ``proxyEndpoint``. The timeout includes the
    answer of the proxy. The proxy looks up the name of the host. `wrapClientTLS` puts TLS over this
    endpoint, between this end and the server.

    Args:
        proxyEndpoint: connects to the proxy: a TCP4ClientEndpoint, TCP6ClientEndpoint or
            HostnameEndpoint.
        host: the name or numeric address of the server.
        port: its TCP port.
        username, password: for the proxy; None without a login.

    Raises:
        TypeError: ``proxyEndpoint`` is of another kind, or has a reactor of another library.
        ConfigError: a ValueError: this kind of proxy cannot reach the host, or cannot send the user
            name or the password; or python-socks is missing.
    """

    _kind: ClassVar[str]

    def __init__(
        self,
        proxyEndpoint: ClientEndpoint,
        host: str,
        port: int,
        username: str | None = None,
        password: str | None = None,
    ):
        below = proxyEndpoint
        if not isinstance(below, TCP4ClientEndpoint) or isinstance(below, ProxiedEndpoint):
            raise TypeError(f"a proxy is reached by a TCP endpoint, not by {below!r}")
        if not isinstance(getattr(below._reactor.connectTCP, "__self__", None), Reactor):
            raise TypeError("a proxy needs a reactor of this library, such as broker.reactor")
        super().__init__(below._reactor, host, port, below._timeout, below._bindAddress)
        proxy = settings.Proxy(self._kind, below._host, below._port, username, password)
        check_target(settings.checked(proxy, "the proxy"), (host, port))
        self._settings = {**below._settings, "proxy": proxy}


class HTTPConnect(ProxiedEndpoint):
    """A server behind an HTTP proxy, by its method CONNECT."""

    _kind = settings.HTTP


class SOCKS5(ProxiedEndpoint):
    """A server behind a SOCKS 5 proxy."""

    _kind = settings.SOCKS5


class SOCKS4(ProxiedEndpoint):
    """A server behind a SOCKS 4 proxy; to one with a name, the proxy must know SOCKS 4a.

    SOCKS 4 has no password and no IPv6.
    """

    _kind = settings.SOCKS4A
