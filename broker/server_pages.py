"""What a server shows over HTTP: its state, its metrics, and the page of operators.

The pages are those of its HTTP port and, at a loopback address, of its WebSocket ports. The page of
operators is a client of its own: its WebSocket is a connection of a second server, whose users are
those of the first, and whose avatar gives the inspection to the members of the group ``operators``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from broker.core.policy import STRICT, Policy
from broker.flavors.avatar import Avatar
from broker.login.groups import allow
from broker.login.pending import PendingConnections, Slot, TooManyPending
from broker.login.portal_logins import PortalLogins
from broker.login.realm import realm
from broker.net.accepting import AcceptSettings
from broker.net.listener import Listener
from broker.net.locations import HostPort
from broker.net.sockets import bind_stream
from broker.net.web_pages import OperatorPages, Page
from cred.portal import Portal

if TYPE_CHECKING:
    from broker.flavors.referenceable import Referenceable
    from broker.running_server import Server

__all__ = [
    "GROUP",
    "MOST_CONNECTIONS",
    "NO_PAGES",
    "SECONDS",
    "SOCKET_PATH",
    "PageSettings",
    "ServerPages",
]

GROUP = "operators"
"""The group whose members can use the page of operators."""

SOCKET_PATH = "/admin/pb"
"""The path of the WebSocket of the page of operators."""

MOST_CONNECTIONS = 16
"""The most connections of the HTTP port that have not become a WebSocket."""

SECONDS = 5.0
"""Seconds for a request at the HTTP port."""

_DRAIN = 1.0
_INDEX = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Perspective Broker</title>
<h1>Perspective Broker</h1>
<ul>
"""
_LINKS = {"/health": "health", "/ready": "readiness", "/metrics": "metrics for Prometheus"}


class PageSettings(Struct, frozen=True):
    """Which pages a server has.

    Attributes:
        http: the place of its HTTP port; or None.
        has_admin: whether it has the page of operators.
    """

    http: HostPort | None = None
    has_admin: bool = False


NO_PAGES = PageSettings()


class Operator(Avatar):
    """The avatar of the page of operators.

    Args:
        give: returns the inspection.
    """

    def __init__(self, give: Callable[[], Referenceable]):
        self._give = give

    @allow(GROUP)
    def perspective_inspector(self) -> Referenceable:
        """Return the inspection."""
        return self._give()


class ServerPages:
    """The pages of one server.

    Args:
        server: the server.
        settings: which pages it has.
        logins: of the users of the server; None without a login.
        make: makes the server of the page of operators.
        give: returns the inspection of the server.
    """

    def __init__(
        self,
        server: Server,
        settings: PageSettings,
        logins: PortalLogins | None,
        make: Callable[[PortalLogins, Policy], Server],
        give: Callable[[], Referenceable],
    ):
        self._server = server
        self._settings = settings
        self._give = give
        self._listener: Listener | None = None
        self._operators: Server | None = None
        if settings.has_admin and logins is not None:
            self._operators = make(_logins_of_operators(logins, give), STRICT)
        most = STRICT.but(max_waiting=MOST_CONNECTIONS, max_waiting_each=MOST_CONNECTIONS)
        self._pending = PendingConnections(most)
        self._arrived: dict[Slot, Callable[[], object]] = {}
        self._checking: asyncio.Future[Any] | None = None
        self.address: str | None = None

    @property
    def shown(self) -> OperatorPages:
        """What a port shows to operators."""
        operators = self._operators
        if operators is None:
            return OperatorPages(self._page)
        return OperatorPages(self._page, SOCKET_PATH, operators._accept)

    def begin(self) -> None:
        """Sample the server from now on, if it has pages that need it: the loop runs."""
        if self._settings.http is not None or self._operators is not None:
            self._give()
        if self._operators is not None:
            self._operators.begin()

    def listen(self, settings: AcceptSettings) -> None:
        """Open the HTTP port, if the server has one.

        Args:
            settings: of the listeners of the server.

        Raises:
            CannotListenError: the port cannot be used.
        """
        place = self._settings.http
        if place is None:
            return
        # Imported here: the extra may be missing.
        from broker.net.websocket.sockets import accept_pages

        sockets = bind_stream(place.host, place.port)
        port = sockets[0].getsockname()[1]
        own = AcceptSettings(
            tls=None,
            handshake_timeout=SECONDS,
            close_timeout=SECONDS,
            log_throttle=settings.log_throttle,
            arrive=self._arrive,
            state=self.state,
            max_pings=settings.max_pings,
            ping_after=settings.ping_after,
            operators=self.shown,
        )
        self._listener = accept_pages(place.host, sockets, own)
        self.address = f"http{str(HostPort(place.host, port, False)).removeprefix('pb')}"

    def state(self) -> str | Awaitable[str]:
        """Return ``"ready"``, or why the server is not; or an awaitable of it."""
        server = self._server
        if server.is_closing:
            return "draining"
        if server.has_checks:
            return self._checked()
        state = "serving" if server.inspector is None else server.inspector.state
        return "ready" if state == "serving" else state

    async def close(self) -> None:
        """Close the HTTP port, and the connections of the page of operators."""
        if self._listener is not None:
            self._listener.close()
        for cut in list(self._arrived.values()):
            cut()
        if self._checking is not None:
            self._checking.cancel()
        if self._operators is not None:
            await self._operators.close(drain=_DRAIN)

    async def _checked(self) -> str:
        """Run the checks of the application, once for all who ask meanwhile."""
        if self._checking is None or self._checking.done():
            self._give()
            inspector = self._server.inspector
            if inspector is None:
                return "draining"
            self._checking = asyncio.ensure_future(inspector.health())
        health = await asyncio.shield(self._checking)
        return "ready" if health.is_ready else str(health.state)

    def _page(self, path: str) -> Page | None:
        if path == "/metrics":
            from broker import prometheus

            return Page(prometheus.CONTENT_TYPE, prometheus.text(self._server).encode())
        if path == "/" and self._settings.http is not None:
            return self._index()
        if self._operators is None:
            return None
        # Imported here: the extra may be missing.
        from broker.net.websocket.pages import admin_page

        return admin_page(path)

    def _index(self) -> Page:
        links = _LINKS if self._operators is None else {"/admin": "the server, live", **_LINKS}
        items = "".join(f'<li><a href="{path}">{name}</a>\n' for path, name in links.items())
        return Page("text/html; charset=utf-8", f"{_INDEX}{items}</ul>\n".encode())

    def _arrive(self, address: object, cut: Callable[[], object]) -> Callable[[], object] | None:
        """Count a connection of the HTTP port; see `broker.net.filters.Arrive`."""
        try:
            slot = self._pending.enter(address, lambda refusal: cut())
        except TooManyPending:
            return None
        self._arrived[slot] = cut
        return partial(self._leave, slot)

    def _leave(self, slot: Slot) -> None:
        self._arrived.pop(slot, None)
        slot.leave()


def _logins_of_operators(logins: PortalLogins, give: Callable[[], Referenceable]) -> PortalLogins:
    """Return the same logins with the avatar of an operator for each user.

    They have the users, the limits, the audit log and the sessions of the server, also after those
    have changed.
    """
    portal = Portal(realm(lambda avatar_id, mind: Operator(give)), throttle=logins.throttle)
    portal.checkers = logins.portal.checkers
    made = PortalLogins(portal, policy=logins.policy, clock=logins.clock)
    made.audit, made.pending, made.sessions = logins.audit, logins.pending, logins.sessions
    return made
