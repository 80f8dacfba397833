"""Asks a proxy to connect a socket to a server, within a time limit."""

from __future__ import annotations

import asyncio
import builtins
import errno
import ipaddress
import socket
from contextlib import suppress

from broker.config_error import ConfigError
from broker.net.host_names import ascii_name
from broker.net.proxies.choice import Target
from broker.net.proxies.http_connect import request_http
from broker.net.proxies.refusal import ENDED, Refusal
from broker.net.proxies.settings import HTTP, Proxy
from broker.net.proxies.socks import request_socks
from broker.net.socket_addresses import host_port
from broker.transport_errors import ConnectError, DNSLookupError, TimeoutError

__all__ = ["ask"]


async def ask(
    proxy: Proxy, sock: socket.socket, target: Target, ends: float | None, timeout: float | None
) -> None:
    """Ask a proxy to connect a socket to a server; close the socket if there is an error.

    After this, the next bytes of the socket are those of the server.

    Args:
        proxy: its settings.
        sock: connected to the proxy; it does not block.
        target: the server.
        ends: when to give up, by the clock of the loop; None for no limit.
        timeout: the seconds of that limit, for the text of the error.

    Raises:
        TimeoutError: the proxy does not answer in time.
        ConnectError: the proxy does not connect; the text says why.
        DNSLookupError: the host is not a host name.
    """
    where = host_port(*target)
    try:
        await _ask_by(ends, proxy, sock, target)
    except BaseException as exc:
        sock.close()
        text = f"cannot connect to {where} through {proxy}"
        if isinstance(exc, Refusal):
            raise exc.kind(None, f"{text}: {exc.why}") from None
        if isinstance(exc, _TooLate):
            late = f"no connection to {where} through {proxy} in {timeout:g} s (proxy's answer)"
            raise TimeoutError(errno.ETIMEDOUT, late) from None
        if isinstance(exc, OSError) and not isinstance(exc, DNSLookupError):
            raise ConnectError(exc.errno, f"{text}: {ENDED}") from exc
        raise


class _TooLate(Exception):
    """The time is over."""


async def _ask_by(ends: float | None, proxy: Proxy, sock: socket.socket, target: Target) -> None:
    host = _sent(target[0])
    request = request_http if proxy.kind == HTTP else request_socks
    limit = asyncio.timeout_at(ends)
    try:
        async with limit:
            await request(proxy, sock, host, target[1])
    except builtins.TimeoutError:
        # A TimeoutError of the operating system is passed on.
        if not limit.expired():
            raise
        raise _TooLate from None


def _sent(host: str) -> str:
    """Return a host as it is sent to a proxy: a name in ASCII, or the usual form of an address."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(host))
    try:
        return ascii_name(host)
    except ConfigError as exc:
        raise DNSLookupError(str(exc)) from None
