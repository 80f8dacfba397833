"""Published names of `twisted.internet.endpoints`: addresses to listen at or connect to."""

from __future__ import annotations

from broker.reactor.endpoints.classes import (
    HostnameEndpoint,
    NoProtocol,
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from broker.reactor.endpoints.proxies import SOCKS4, SOCKS5, HTTPConnect
from broker.reactor.endpoints.strings import clientFromString, quoteStringArgument, serverFromString
from broker.reactor.endpoints.web import WebSocketClientEndpoint, WebSocketServerEndpoint

__all__ = [
    "SOCKS4",
    "SOCKS5",
    "HTTPConnect",
    "HostnameEndpoint",
    "NoProtocol",
    "SSL4ClientEndpoint",
    "SSL4ServerEndpoint",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TCP6ClientEndpoint",
    "TCP6ServerEndpoint",
    "UNIXClientEndpoint",
    "UNIXServerEndpoint",
    "WebSocketClientEndpoint",
    "WebSocketServerEndpoint",
    "clientFromString",
    "connectProtocol",
    "quoteStringArgument",
    "serverFromString",
    "wrapClientTLS",
]
