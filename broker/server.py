"""``serve``: a server that is to be started, from its settings."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from broker.core.policy import STRICT, Policy
from broker.given import check_flags, check_given
from broker.interceptors import Interceptor, checked_interceptors
from broker.login.server import check_target
from broker.net.forwarded import X_FORWARDED_FOR
from broker.net.schemes import Location, parse_address
from broker.net.tls.settings import TLS
from broker.net.web_settings import WebSettings, web_settings
from broker.observers import Observer, checked_observers
from broker.opening import Opening
from broker.replies import Replies, checked_replies
from broker.running_server import Server
from broker.server_addresses import (
    admin_location,
    check_admin_page,
    check_debug,
    check_locations,
    check_manhole,
    http_location,
    locations_of,
)
from broker.server_pages import PageSettings
from broker.stopping import DRAIN, checked_drain, checked_notice

__all__ = ["Serve", "serve"]


class Serve(Opening[Server]):
    """A server to be started: ``await`` it, or use it in ``async with``.

    A Serve that is never awaited causes a RuntimeWarning, as a coroutine does.
    """

    makes = "server"

    def __init__(
        self,
        make: Callable[[], Server],
        target: Any,
        locations: Sequence[Location],
        tls: TLS | None,
        web: WebSettings,
        *,
        sockets: Sequence[socket.socket] = (),
        admin: Location | None = None,
        manhole: Mapping[str, object] | None = None,
    ):
        self._make = make
        self._target = target
        self._locations = tuple(locations)
        self._tls = tls
        self._web = web
        # Kept, so that their descriptors stay valid until the server has duplicates.
        self._sockets = sockets
        self._admin = admin
        self._manhole = manhole
        self._is_awaited = False

    @property
    def locations(self) -> tuple[Location, ...]:
        """The parsed addresses."""
        return self._locations

    def _call(self) -> str:
        addresses = ", ".join(f"'{location}'" for location in self._locations)
        return f"serve({type(self._target).__name__}, {addresses})"

    def _description(self) -> str:
        return f"of {type(self._target).__name__} at {_listed(self._locations)}"

    async def _open(self) -> Server:
        server = self._make()
        await server.listen(self._locations, self._tls, self._web, self._admin, self._manhole)
        return server

    async def _close(self, opened: Server, error: BaseException | None) -> None:
        await opened.close(drain=None if error is None else 0)


def serve(
    target: Any,
    *addresses: str,
    tls: TLS | None = None,
    policy: Policy = STRICT,
    drain: float = DRAIN,
    after: float = 0.0,
    elsewhere: Sequence[str] = (),
    debug: bool = False,
    replies: Replies | None = None,
    origins: Iterable[str] = (),
    trusted_proxies: Iterable[str] = (),
    forwarded: str = X_FORWARDED_FOR,
    listen: bool = True,
    sockets: Sequence[socket.socket] = (),
    reuse_port: bool = False,
    admin: str | None = None,
    manhole: Mapping[str, object] | None = None,
    http: str | None = None,
    admin_page: bool = False,
    observers: Sequence[Observer] = (),
    interceptors: Sequence[Interceptor] = (),
) -> Serve:
    """Serve an object, or a portal, at one or more addresses.

    Args:
        target: a Root, whose methods every peer may call; or a Portal, which peers log in to; or a
            PortalLogins, whose portal has other front ends too.
        addresses: ``pb://host:port``, or ``pbs://host:port`` for TLS; port 0 takes a free one. Or
            ``ws://host:port/path`` for WebSocket, or ``wss://host:port/path`` with TLS; that needs
            the extra ``ws``. Or ``pb+unix:///path`` for a UNIX socket, which replaces a dead one
            at that path. Or ``pb+fd:3`` for a listening socket that the process was started with,
            and ``pb+systemd:NAME`` for those that systemd has passed under that name, each also
            with ``pbs`` for TLS. The default is the loopback address at port 8787, unless
            ``sockets`` are given.
        tls: the certificate of the server, for ``pbs://`` and ``wss://``.
        policy: what is allowed.
        drain: seconds that calls have to end when the server is closed; see `Server.close`.
        after: seconds after which clients may come again when the server is closed; 0 if that is
            not known.
        elsewhere: addresses of servers that take over then, at most 8. A client goes there only if
            its program names that host too.
        debug: send clients the text and the traceback of every exception: the settings
            ``show_all_errors`` and ``unsafe_tracebacks`` of the policy. Only at loopback addresses
            and UNIX sockets, and without ``trusted_proxies``.
        replies: how long, and how many, replies are kept for clients that repeat a call of
            ``broker.once`` on another connection. None keeps none: such calls are refused at the
            client.
        origins: the web pages that may connect by WebSocket, such as ``https://broker.example``;
            a request without an origin is not from a page, and is always taken.
        trusted_proxies: addresses and networks of proxies, such as ``10.0.0.0/8``, and ``unix`` for
            UNIX sockets. Each connection from them must say for whom it is: by a header of HTTP at
            a WebSocket address, and by the PROXY protocol, version 1 or 2, at other addresses.
            Limits then count the real client, and ``peer.address`` is that of the client.
        forwarded: the one header of HTTP that the proxies set: ``X-Forwarded-For`` or
            ``Forwarded``.
        listen: False to listen nowhere: connections come by `Server.attach`.
        sockets: listening sockets to serve at as well, with TLS if ``tls`` is given. The server
            uses duplicates of them, and closes only these.
        reuse_port: whether other processes with this option may listen at the same ports, so that
            the kernel gives each connection to one of them (SO_REUSEPORT).
        admin: ``pb+unix:///path`` of a socket for operators, with `broker.inspector` of the server
            as its root, and without a login: the mode of the socket is 0600, so that only the user
            of this process can connect. ``pb top`` and other commands use it.
        manhole: the names at a Python prompt inside this process, which the socket of ``admin`` has
            then; ``server`` is one of them. See `broker.Manhole`: who can connect to the socket can
            do everything that the process can do. None for no prompt.
        http: ``http://127.0.0.1:9100`` for a port with the pages ``/health``, ``/ready`` and
            ``/metrics``; that needs the extra ``ws``. Calls are counted for the metrics then, by
            the observer `broker.prometheus.Metrics`. Only a loopback address, unless the policy has
            ``insecure_plaintext``.
        admin_page: whether the HTTP port, and each WebSocket port at a loopback address, has the
            page ``/admin``, which shows the server live. Users in the group ``operators`` can log
            in to it.
        observers: are told of connections, logins and calls; see `Observer`.
        interceptors: run around each call of a client; see `Interceptor`. With observers or
            interceptors calls take the general path, which is slower.

    Returns:
        An object to ``await``, or to use in ``async with``, for a Server. The end of the block
        closes it when its calls have ended; after an exception at once.

    Raises:
        ConfigError: an address is not understood, or is public and without TLS, or lacks ``tls``;
            or ``debug`` is set and an address is public; or ``drain`` or ``after`` is negative;
            or ``elsewhere`` is not a list of addresses; or a portal has no checkers; or ``manhole``
            is given without ``admin``; or ``admin_page`` is set without a login, or without a port
            for it.
        CannotListenError: a port is in use, or the process may not open it.
        TypeError: ``target`` is neither a Root nor a Portal.
        WrongType: a TypeError and a ConfigError: ``target`` is a class, or another argument is of
            the wrong type.
    """
    check_given(policy, tls)
    kept = checked_replies(replies)
    notice = checked_notice(after, elsewhere)
    for address in notice.elsewhere:
        parse_address(address)
    check_flags(debug=debug, listen=listen, reuse_port=reuse_port, admin_page=admin_page)
    web = web_settings(origins, trusted_proxies, forwarded)
    locations = locations_of(addresses, sockets, tls, listen=listen)
    check_target(target)
    check_locations(locations, tls, policy, is_shared=reuse_port)
    if debug:
        check_debug(locations, web.proxies)
        policy = policy.but(show_all_errors=True, unsafe_tracebacks=True)
    pages = PageSettings(http_location(http, policy), admin_page)
    if admin_page:
        check_admin_page(target, locations, pages.http)
    make = partial(
        Server,
        target,
        policy,
        checked_drain(drain),
        notice,
        kept,
        shares_ports=reuse_port,
        observers=_with_metrics(checked_observers(observers), http),
        interceptors=checked_interceptors(interceptors),
        pages=pages,
    )
    at = None if admin is None else admin_location(admin)
    check_manhole(manhole, at)
    return Serve(make, target, locations, tls, web, sockets=sockets, admin=at, manhole=manhole)


def _with_metrics(observers: tuple[Observer, ...], http: str | None) -> tuple[Observer, ...]:
    """Return the observers of a server, with one that counts for the metrics of an HTTP port."""
    if http is None:
        return observers
    # Imported here: most servers have none.
    from broker.prometheus import Metrics

    has_metrics = any(isinstance(each, Metrics) for each in observers)
    return observers if has_metrics else (*observers, Metrics())


def _listed(places: Sequence[object]) -> str:
    return ", ".join(str(place) for place in places)
