"""The handlers of the chat's web pages; `examples.chat.web_pages` lists them and starts them."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Final

from aiohttp import web

import broker
from cred import LoginFailed, UsernamePassword
from cred.scram_verifier import ScramVerifier
from cred.users import NoSuchUser, StoreError, User, UserChanged, UserExists, UserStore
from cred.workers import LOGINS, QueueFull
from examples.chat.errors import ChatError
from examples.chat.live import Live
from examples.chat.model import IAdmin, Town
from examples.chat.names import check_password, check_person
from examples.chat.web_guard import (
    HEADERS,
    LONGEST_BODY,
    HourlyLimit,
    Refused,
    Site,
    put_off,
    read_form,
)
from examples.chat.web_html import (
    People,
    admin_page,
    error_page,
    log_in_page,
    sign_up_page,
    talk_page,
    welcome_page,
)
from examples.chat.web_port import WebPort
from examples.chat.web_sessions import WebSession, WebSessions
from examples.chat.web_socket import WebSockets

__all__ = ["SIGN_UPS_AN_HOUR", "WebHandlers"]

SIGN_UPS_AN_HOUR: Final = 10
"""The most sign-ups of one source in any hour."""

USERS_A_PAGE: Final = 100

HERE: Final = Path(__file__).parent

FILES: Final[dict[str, tuple[Path, str]]] = {
    "/style.css": (HERE / "style.css", "text/css"),
    "/icon.svg": (HERE / "icon.svg", "image/svg+xml"),
}
CLIENT: Final = Path(broker.__file__).parent / "web" / "static"
SCRIPTS: Final = {
    # The first one loads the others.
    "/broker.js": CLIENT / "broker.js",
    "/broker-login.js": CLIENT / "broker-login.js",
    "/broker-served.js": CLIENT / "broker-served.js",
    "/broker-again.js": CLIENT / "broker-again.js",
    "/talk.js": HERE / "pages" / "talk.js",
    "/admin.js": HERE / "pages" / "admin.js",
}
FILES.update((path, (file, "text/javascript")) for path, file in SCRIPTS.items())

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger("examples.chat")


class WebHandlers:
    """The handlers of all requests."""

    def __init__(
        self,
        town: Town,
        logins: broker.PortalLogins,
        store: UserStore,
        site: Site,
        sessions: WebSessions,
        sign_ups: HourlyLimit,
        live: Live | None,
    ):
        self.town, self.logins, self.store = town, logins, store
        self.site, self.sessions, self.sign_ups = site, sessions, sign_ups
        self.port: WebPort
        self.live = live
        self.sockets = None if live is None else WebSockets(live.server, site)
        self._adding = threading.Lock()
        # A browser takes such a name from this host only, by https only, and for all paths.
        self._cookie = "__Host-session" if site.is_tls else "session"

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self.answer], client_max_size=LONGEST_BODY)
        app.on_response_prepare.append(_add_headers)
        app.add_routes(
            [
                web.get("/", self.show_sign_up),
                web.post("/", self.sign_up),
                web.get("/login", self.show_log_in),
                web.post("/login", self.log_in),
                web.post("/logout", self.log_out),
                web.get("/admin", self.show_admin),
                web.post("/admin", self.set_banner),
                web.post("/admin/kick", self.kick),
                web.post("/admin/disable", self.disable),
                web.post("/admin/enable", self.enable),
                *(web.get(path, _show_file) for path in FILES),
            ]
        )
        if self.sockets is not None:
            app.add_routes(
                [
                    web.get("/pb", self.sockets.answer),
                    web.get("/talk", _show_talk),
                    web.post("/admin/token", self.give_token),
                ]
            )
        return app

    async def close_sockets(self) -> None:
        """Close the WebSockets."""
        if self.sockets is not None:
            await self.sockets.close()

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request, and make a page of each error."""
        self.port.asked(request)
        try:
            self.site.check(request)
            return await handler(request)
        except Refused as refusal:
            return _page(error_page(refusal.text), refusal.status, refusal.headers)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            return _page(error_page(error.reason.lower()), error.status, kept)
        except (StoreError, QueueFull) as error:
            logger.warning("a web page could not be made: %s", error)
            return _page(error_page("the server is busy; try again in a minute"), 503)
        except Exception:
            logger.exception("a web page could not be made")
            return _page(error_page("the server made a mistake; its log has more"), 500)

    # Sign-up.

    async def show_sign_up(self, request: web.Request) -> web.Response:
        """Show the form."""
        return _page(sign_up_page())

    async def sign_up(self, request: web.Request) -> web.Response:
        """Add a user to the store."""
        self._check_private(request)
        name, password = await read_form(request, "name", "password")
        try:
            check_person(name)
            # `check_password` counts characters, and a login takes so many bytes at most.
            if len(check_password(password).encode()) > 1024:
                raise ChatError("a password is at most 1024 bytes, and this one has more")
        except ChatError as error:
            return _page(sign_up_page(name, str(error)), 400)
        self.sign_ups.take(self.site.address_of(request))
        try:
            await LOGINS.run(self._add, name, password)
        except UserExists:
            return _page(sign_up_page(name, "that name is taken"), 409)
        except ValueError:
            return _page(sign_up_page(name, "this password has characters it may not have"), 400)
        logger.info("%s has signed up", name)
        return _page(welcome_page(name, self.town.banner, is_live=self.live is not None))

    def _add(self, name: str, password: str) -> None:
        """Add a user, in a thread: the verifier takes 0.14 s, and a database may be slow."""
        verifier = str(ScramVerifier.of_password(password))
        with self._adding:
            # Nobody can pose as another by capital letters.
            if any(user.name.lower() == name.lower() for user in self.store.users()):
                raise UserExists("there is almost the same name")
            self.store.add(User(name, verifier))

    # Logins.

    async def show_log_in(self, request: web.Request) -> web.Response:
        """Show the form to log in."""
        if self._session(request) is not None:
            raise web.HTTPSeeOther("/admin")
        return _page(log_in_page())

    async def log_in(self, request: web.Request) -> web.Response:
        """Log an admin in, and begin a session."""
        self._check_private(request)
        name, password = await read_form(request, "name", "password")
        try:
            session = await self._begin(request, UsernamePassword(name, password))
        except broker.TooManyAttempts as error:
            raise put_off(error.after) from None
        except (broker.ServerBusy, broker.ServerDraining, broker.PBConnectionLost):
            raise Refused(503, "the server is busy; try again in a minute") from None
        except (LoginFailed, broker.LoginExpired) as error:
            return _page(log_in_page(name, str(error)), 403)
        before = self._session(request)
        if before is not None:
            before.visit.close()
        response = web.HTTPSeeOther("/admin")
        response.set_cookie(
            self._cookie, session.token, httponly=True, samesite="Strict", path="/",
            secure=self.site.is_tls, max_age=ceil(self.sessions.seconds),
        )  # fmt: skip
        raise response

    async def _begin(self, request: web.Request, credentials: UsernamePassword) -> WebSession:
        address, is_private = self.site.address_of(request), self.site.is_private(request)
        visit = self.logins.arrive(address, is_private=is_private)
        try:
            login = await visit.login(credentials, None, IAdmin, mechanism="web")
            return self.sessions.begin(visit, login)
        except BaseException:
            visit.close()
            raise

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session."""
        session = self._session(request)
        if session is not None:
            session.visit.close()
        response = web.HTTPSeeOther("/login")
        response.del_cookie(
            self._cookie, path="/", secure=self.site.is_tls, httponly=True, samesite="Strict"
        )
        raise response

    # The admin's page.

    async def show_admin(self, request: web.Request) -> web.Response:
        """Show banner, who is where, and users."""
        session = self._session(request)
        if session is None:
            raise web.HTTPSeeOther("/login")
        number = request.query.get("page", "1")
        if not re.fullmatch("[1-9][0-9]{0,5}", number):
            raise Refused(404, "there is no such page")
        people = await self._people(session, int(number))
        notice, is_live = session.take_notice(), self.live is not None
        text = admin_page(session.name, self.town.banner, people, notice=notice, is_live=is_live)
        return _page(text)

    async def give_token(self, request: web.Request) -> web.Response:
        """Return a token, by which the page of an admin logs in by PB once."""
        assert self.live is not None
        return web.Response(text=self.live.tokens.make(self._admin(request)))

    async def set_banner(self, request: web.Request) -> web.Response:
        """Set the banner."""
        session = self._admin(request)
        (banner,) = await read_form(request, "banner")
        try:
            self._admin(request).login.avatar.set_banner(banner)
        except ChatError as error:
            people = await self._people(session)
            is_live = self.live is not None
            text = admin_page(session.name, banner, people, error=str(error), is_live=is_live)
            return _page(text, 400)
        logger.info("%s has set the banner", session.name)
        raise self._done(session, "The banner is set.")

    async def kick(self, request: web.Request) -> web.Response:
        """End all sessions of a user, on every front end."""
        name, session = await self._named(request)
        logger.info("%s kicks %r", session.name, name)
        session.login.avatar.kick(name)
        raise self._done(session, f"{name} was kicked.")

    async def disable(self, request: web.Request) -> web.Response:
        """Disable a user, and end all sessions of the user."""
        name, session = await self._named(request)
        if name == session.name:
            raise Refused(400, "you cannot disable yourself")
        await self._switch(name, True)
        logger.info("%s has disabled %r", session.name, name)
        session.login.avatar.kick(name, "disabled")
        raise self._done(session, f"{name} is disabled.")

    async def enable(self, request: web.Request) -> web.Response:
        """Let a user log in again."""
        name, session = await self._named(request)
        await self._switch(name, False)
        logger.info("%s has enabled %r", session.name, name)
        raise self._done(session, f"{name} is enabled.")

    async def _switch(self, name: str, is_disabled: bool) -> None:
        def switch() -> None:
            user = self.store.find(name)
            if user is None:
                raise NoSuchUser(name)
            self.store.replace(replace(user, is_disabled=is_disabled), user)

        try:
            await LOGINS.run(switch)
        except NoSuchUser:
            raise Refused(404, "there is no user of that name") from None
        except UserChanged:
            raise Refused(409, "somebody else has changed this user just now") from None

    async def _named(self, request: web.Request) -> tuple[str, WebSession]:
        """Return the name in the form of an admin, and the session, which has not ended."""
        self._admin(request)
        (name,) = await read_form(request, "name")
        return name, self._admin(request)

    async def _people(self, session: WebSession, page: int = 1) -> People:
        def some() -> list[User]:
            first = (page - 1) * USERS_A_PAGE
            return list(islice(self.store.users(), first, first + USERS_A_PAGE + 1))

        users = await LOGINS.run(some)
        after = page + 1 if len(users) > USERS_A_PAGE else None
        return People(session.login.avatar.where(), users[:USERS_A_PAGE], page, after)

    def _done(self, session: WebSession, notice: str) -> web.HTTPSeeOther:
        session.notice = notice
        return web.HTTPSeeOther("/admin")

    def _session(self, request: web.Request) -> WebSession | None:
        return self.sessions.find(request.cookies.get(self._cookie))

    def _admin(self, request: web.Request) -> WebSession:
        session = self._session(request)
        if session is None:
            raise Refused(403, "log in first")
        return session

    def _check_private(self, request: web.Request) -> None:
        if not self.site.is_private(request):
            raise Refused(403, "passwords are taken inside TLS or on this machine only")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


async def _show_file(request: web.Request) -> web.Response:
    file, kind = FILES[request.path]
    return web.Response(body=file.read_bytes(), content_type=kind, charset="utf-8")


async def _show_talk(request: web.Request) -> web.Response:
    return _page(talk_page())


def _page(text: str, status: int = 200, headers: Any = None) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)
