"""The web pages of the chat, served with users in a store, and a browser for them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

import broker
from broker.login.visits import Visit
from cred import UsernamePassword
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User, UserStore
from examples.chat.live import Live, PageTokens
from examples.chat.main import make_logins
from examples.chat.model import IGuest, Listener, Town
from examples.chat.web_pages import Pages, serve_pages

__all__ = ["Answer", "Browser", "House", "live_chat_pages", "serving_chat_pages"]

PASSWORD = "wonderland"
VERIFIER = str(ScramVerifier.of_password(PASSWORD, 10_000))


class Answer(NamedTuple):
    """What a server has answered, without following it."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def alert(self) -> str:
        """The error that the page shows, as HTML."""
        found = re.search('<p class="said error" role="alert">(.*?)</p>', self.text)
        return found[1] if found else ""

    @property
    def notice(self) -> str:
        """What the page says was done, as HTML."""
        found = re.search('<p id="ok" class="said" role="status">(.*?)</p>', self.text)
        return found[1] if found else ""


class Browser:
    """A client with cookies, which sends forms as a browser does.

    Args:
        address: of the pages.
        session: the client of aiohttp.
    """

    def __init__(self, address: str, session: aiohttp.ClientSession):
        self.address = address
        self.session = session

    async def get(self, path: str, **headers: str) -> Answer:
        """Get a page."""
        return await self.send("GET", path, headers=headers)

    async def post(self, path: str, **fields: str) -> Answer:
        """Send a form of the pages themselves."""
        headers = {"Origin": self.address, "Sec-Fetch-Site": "same-origin"}
        return await self.send("POST", path, data=fields, headers=headers)

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send any request."""
        url = self.address + path
        options.setdefault("ssl", False)
        async with self.session.request(method, url, allow_redirects=False, **options) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.text())

    async def log_in(self, name: str = "root") -> None:
        """Log in, and see the admin's page."""
        answer = await self.post("/login", name=name, password=PASSWORD)
        assert (answer.status, answer.headers["Location"]) == (303, "/admin"), answer.alert

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies, by name."""
        return {cookie.key: cookie.value for cookie in self.session.cookie_jar}


class House:
    """A chat whose pages are served, with the admin ``root`` and the user ``alice``.

    Attributes:
        town, logins, store, pages, tokens: of the chat.
        server: of live pages.
        heard: the events that guests have heard.
    """

    def __init__(self, folder: Path):
        self.town = Town()
        self.store: UserStore = open_store(f"sql:sqlite:///{folder}/chat.sqlite", create=True)
        self.store.add(User("root", VERIFIER, frozenset({"admins"})))
        self.store.add(User("alice", VERIFIER))
        self.tokens = PageTokens()
        self.logins = make_logins(self.town, StoreChecker(self.store), self.tokens)
        self.heard: list[tuple[str, str, str, str]] = []
        self.pages: Pages
        self.server: broker.Server

    @property
    def socket(self) -> str:
        """The address of the WebSocket."""
        return f"ws{self.pages.address.removeprefix('http')}/pb"

    async def come_in(self, name: str, password: str = PASSWORD) -> Visit:
        """Log a guest in, by another front end."""

        def hears(event: str, room: str, who: str, text: str, /) -> None:
            self.heard.append((event, room, who, text))

        visit = self.logins.arrive("127.0.0.1", is_private=True)
        credentials = UsernamePassword(name, password)
        await visit.login(credentials, Listener(hears, "lines"), IGuest, mechanism="lines")
        return visit

    @asynccontextmanager
    async def browser(self, address: str = "") -> AsyncIterator[Browser]:
        """Open another browser."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            yield Browser(address or self.pages.address, session)


@asynccontextmanager
async def serving_chat_pages(folder: Path, **options: Any) -> AsyncIterator[tuple[House, Browser]]:
    """Serve the pages; gives the chat, and a browser."""
    house = House(folder)
    async with _serving(house, **options) as browser:
        yield house, browser


@asynccontextmanager
async def live_chat_pages(folder: Path, **options: Any) -> AsyncIterator[tuple[House, Browser]]:
    """Serve the pages with PB by WebSocket; gives the chat, and a browser."""
    house = House(folder)
    async with (
        broker.serve(house.logins, listen=False) as server,
        _serving(house, live=Live(server, house.tokens), **options) as browser,
    ):
        house.server = server
        yield house, browser


@asynccontextmanager
async def _serving(house: House, **options: Any) -> AsyncIterator[Browser]:
    options = {"port": 0, **options}
    house.pages = await serve_pages(house.town, house.logins, house.store, **options)
    try:
        async with house.browser() as browser:
            yield browser
    finally:
        await house.pages.close()
        await house.logins.close()
        house.store.close()
