"""The web front end of the chat: pages to sign up, and a page for admins.

=================== =========================================================
``GET /``           the form to sign up
``POST /``          sign up: ``name``, ``password``
``GET /login``      the form to log in, for admins
``POST /login``     log in: ``name``, ``password``
``POST /logout``    log out
``GET /admin``      banner, who is where, users
``POST /admin``     set the banner: ``banner``
``POST /admin/...`` ``kick``, ``disable`` and ``enable`` a user: ``name``
``GET /talk``       the chat itself; its script logs in by PB
``GET /pb``         PB by WebSocket, for ``/talk`` and ``/admin``
=================== =========================================================
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from aiohttp import web

import broker
from broker.net.socket_addresses import host_port
from cred.users import UserStore
from examples.chat.live import Live
from examples.chat.model import Town
from examples.chat.web_guard import HourlyLimit, Site, origins_of
from examples.chat.web_handlers import SIGN_UPS_AN_HOUR, WebHandlers
from examples.chat.web_port import WebPort
from examples.chat.web_sessions import SESSION_SECONDS, WebSessions

__all__ = ["Pages", "serve_pages"]


async def serve_pages(
    town: Town,
    logins: broker.PortalLogins,
    store: UserStore,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    tls: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
    names: Collection[str] = (),
    origins: Collection[str] = (),
    is_behind_proxy: bool = False,
    session_seconds: float = SESSION_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    live: Live | None = None,
) -> Pages:
    """Serve the web pages.

    Args:
        town: the chat.
        logins: of the portal of all front ends; its realm makes an `Admin` for `IAdmin`.
        store: the users of the portal.
        host: the IP address to listen on.
        port: 0 for a free one.
        tls: the certificate; or a function that is called for each connection and returns it, such
            as a `examples.chat.web_tls.RenewedContext`. Without it, passwords are taken from this
            machine only.
        names: host names and IP addresses of this machine, by which browsers find the pages at
            that port; default is ``host``. Needed for ``0.0.0.0``.
        origins: other addresses of the pages for browsers: ``https://chat.example``. Needed behind
            a proxy, and then without ``names``.
        is_behind_proxy: see `examples.chat.web_guard.Site`.
        session_seconds: after which admins are logged out.
        clock: returns seconds, for the limit of sign-ups.
        live: what live pages need; without it there is neither ``/talk`` nor ``/pb``, and the list
            of people on ``/admin`` is that of the request.

    Raises:
        broker.ConfigError: the addresses of the pages for browsers are not known.
        OSError: it cannot listen there.
    """
    _check_names(host, names, origins, is_behind_proxy)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=128)
    real = sock.getsockname()[1]
    own = origins_of(names if names or origins else [host], real, is_tls=tls is not None)
    site = Site(own | frozenset(origins), is_behind_proxy)
    sessions, sign_ups = WebSessions(session_seconds), HourlyLimit(SIGN_UPS_AN_HOUR, clock)
    handlers = WebHandlers(town, logins, store, site, sessions, sign_ups, live)
    seconds = {"shutdown_timeout": 3.0, "keepalive_timeout": 20.0, "lingering_time": 1.0}
    options: dict[str, Any] = {"access_log": None, **seconds}
    runner = web.AppRunner(handlers.app(), **options)
    await runner.setup()
    assert runner.server is not None
    get_tls = partial(_same, tls) if isinstance(tls, ssl.SSLContext) else tls
    handlers.port = WebPort(runner.server, sock, get_tls, has_sources=not is_behind_proxy)
    address = f"{'http' if tls is None else 'https'}://{host_port(host, real)}"
    return Pages(address, runner, handlers, sessions)


def _same(tls: ssl.SSLContext) -> ssl.SSLContext:
    return tls


def _check_names(
    host: str, names: Collection[str], origins: Collection[str], is_behind_proxy: bool
) -> None:
    if is_behind_proxy and not origins:
        raise broker.ConfigError("say what the proxy is for: origins=['https://chat.example']")
    if not names and not origins and host in ("", "0.0.0.0", "::"):
        raise broker.ConfigError("say how browsers find the pages: names=['chat.example']")


class Pages:
    """The web pages, as long as they are served.

    Attributes:
        address: ``https://127.0.0.1:8080``, with the real port.
    """

    def __init__(
        self, address: str, runner: web.AppRunner, handlers: WebHandlers, sessions: WebSessions
    ):
        self.address = address
        self._runner = runner
        self._handlers, self._port = handlers, handlers.port
        self._sessions = sessions

    async def close(self) -> None:
        """Accept no more requests, log all admins out, and close the connections."""
        self._sessions.close()
        await self._port.close()
        await self._handlers.close_sockets()
        await self._runner.cleanup()
        await self._port.cut()
