"""Puts the chat together: one portal, one database, and all front ends."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import broker
from broker import pb
from broker.net.socket_addresses import host_port
from broker.net.tls.issuing import make_authority, make_server, write_file
from cred import Portal
from cred.checkers import CredentialsChecker
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User, UserExists, UserStore
from examples.chat.archive import SQLArchive
from examples.chat.line_clients.connection import LineConnection, LinePort
from examples.chat.line_clients.irc import IRC
from examples.chat.line_clients.lines import PlainLines
from examples.chat.live import Live, PageAdmin, PageTokens, Watcher
from examples.chat.model import ADMINS, IAdmin, IGuest, Town
from examples.chat.nodes import Nodes
from examples.chat.pace import USUAL_RATE, Rate
from examples.chat.pb_members import Member
from examples.chat.web_tls import RenewedContext

__all__ = ["Chat", "Settings", "make_certificates", "make_logins"]

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "server.pem", "server.key"


@dataclass(frozen=True)
class Settings:
    """What a chat is started with.

    Attributes:
        folder: for the certificates, and the database if it is a file; it is made if it is not
            there, for the owner only.
        store: the address of the database; default ``chat.sqlite`` in the folder.
        host: where the front ends inside TLS listen; the others listen on 127.0.0.1.
        names: the names and addresses that the certificate is for.
        pb, pb_plain, irc, ircs, lines, web: the ports; 0 for a free one. None for ``pb_plain`` if
            PB without TLS is not served.
        rate: how often a guest may say something.
        nats: the URL of a NATS server, if this is one of several nodes; they have one store.
        lease: seconds after which the people of a node that has died are removed.
    """

    folder: Path
    store: str | None = None
    host: str = "127.0.0.1"
    names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    pb: int = 8787
    pb_plain: int | None = 8788
    irc: int = 6667
    ircs: int = 6697
    lines: int = 6668
    web: int = 8080
    rate: Rate = USUAL_RATE
    nats: str | None = None
    lease: float = 10.0


class Chat:
    """A running chat: ``async with Chat(settings) as chat``.

    Attributes:
        town: the model.
        logins: the logins of all front ends.
        store: the users.
        addresses: the address of each front end, by its name: ``pb``, ``pb_plain``, ``irc``,
            ``ircs``, ``lines``, ``web``; each with its real port. No ``web`` without aiohttp, and
            ``pb_plain`` only if it is served.
        admin_password: that of the user ``admin``, who was made now; None if there was one already.
    """

    town: Town
    logins: broker.PortalLogins
    store: UserStore

    def __init__(self, settings: Settings):
        self.addresses: dict[str, str] = {}
        self.admin_password: str | None = None
        self._settings = settings
        self._server: broker.Server
        self._tokens: PageTokens
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def folder(self) -> Path:
        """The folder with the certificates."""
        return self._settings.folder

    async def serve_forever(self) -> None:
        """Serve until SIGINT or SIGTERM comes."""
        await self._server.serve_forever()

    async def _start(self, stack: AsyncExitStack) -> None:
        folder = self._settings.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_certificates(folder, self._settings.names)
        address = self._settings.store or f"sql:sqlite:///{folder / 'chat.sqlite'}"
        self.store = await asyncio.to_thread(partial(open_store, address, create=True))
        stack.callback(self.store.close)
        self.admin_password = await asyncio.to_thread(_make_admin, self.store)
        archive = await asyncio.to_thread(SQLArchive, address)
        stack.push_async_callback(asyncio.to_thread, archive.close)
        self.town = Town(rate=self._settings.rate)
        async with self._joined_by_others(stack):
            await asyncio.to_thread(archive.load, self.town)
        self._tokens = PageTokens()
        self.logins = make_logins(self.town, StoreChecker(self.store), self._tokens)
        await self._start_pb(stack)
        self._start_lines(stack)
        if importlib.util.find_spec("aiohttp") is not None:
            await self._start_web(stack)

    @asynccontextmanager
    async def _joined_by_others(self, stack: AsyncExitStack) -> AsyncIterator[None]:
        """Join the other nodes, if there are any, around the loading of the archive."""
        if self._settings.nats is None:
            yield
            return
        from broker.topics.engines.nats import NatsEngine

        engine = NatsEngine(self._settings.nats, name="chat")
        nodes = Nodes(self.town, broker.Topics(engine, lease=self._settings.lease))
        stack.push_async_callback(nodes.close)
        await nodes.listen()
        # What other nodes tell meanwhile waits.
        yield
        await nodes.start()

    async def _start_pb(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        places = {"pb": f"pbs://{host_port(settings.host, settings.pb)}"}
        if settings.pb_plain is not None:
            places["pb_plain"] = f"pb://127.0.0.1:{settings.pb_plain}"
        tls = broker.TLS.server(settings.folder / CERTIFICATE, settings.folder / KEY)
        serve = broker.serve(self.logins, *places.values(), tls=tls)
        self._server = await stack.enter_async_context(serve)
        self.addresses.update(zip(places, self._server.addresses, strict=True))

    def _start_lines(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        tls = broker.TLS.server(settings.folder / CERTIFICATE, settings.folder / KEY)
        rows: list[tuple[str, type[LineConnection], str, int, broker.TLS | None]] = [
            ("irc", IRC, "127.0.0.1", settings.irc, None),
            ("ircs", IRC, settings.host, settings.ircs, tls),
            ("lines", PlainLines, "127.0.0.1", settings.lines, None),
        ]
        for name, kind, host, port, its_tls in rows:
            at = LinePort(partial(kind, self.town, self.logins, name), host, port, its_tls)
            stack.push_async_callback(at.close)
            self.addresses[name] = host_port(host, at.port)

    async def _start_web(self, stack: AsyncExitStack) -> None:
        from examples.chat.web_pages import serve_pages

        settings = self._settings
        tls = RenewedContext(settings.folder / CERTIFICATE, settings.folder / KEY)
        where: dict[str, Any] = {"host": settings.host, "port": settings.web, "tls": tls}
        live = Live(self._server, self._tokens)
        pages = await serve_pages(
            self.town, self.logins, self.store, **where, names=settings.names, live=live
        )
        stack.push_async_callback(pages.close)
        self.addresses["web"] = pages.address


def make_certificates(folder: Path, names: tuple[str, ...]) -> None:
    """Make a certificate for a server, and the authority that signs it, unless they are there."""
    if (folder / CERTIFICATE).exists() and (folder / KEY).exists():
        return
    # The key of the authority is not kept: it signs nothing else.
    authority = make_authority("chat authority")
    server = make_server(authority, names)
    write_file(folder / AUTHORITY, authority.certificate_pem, is_secret=False)
    write_file(folder / KEY, server.key_pem, is_secret=True)
    write_file(folder / CERTIFICATE, server.certificate_pem, is_secret=False)


def make_logins(town: Town, *checkers: CredentialsChecker) -> broker.PortalLogins:
    """Return the logins of all front ends, by one realm for all of them."""

    def member(avatar_id: Any, mind: Any) -> Member | Watcher:
        if isinstance(avatar_id, PageAdmin):
            return Watcher(town, avatar_id.session)
        return Member(town, avatar_id, mind)

    realm = broker.realm({pb.IPerspective: member, IGuest: town.enter, IAdmin: town.administer})
    logins = broker.PortalLogins(Portal(realm, list(checkers)))
    town.end_sessions = logins.end_sessions
    return logins


def _make_admin(store: UserStore) -> str | None:
    if store.find("admin") is not None:
        return None
    password = secrets.token_urlsafe(12)
    try:
        verifier = ScramVerifier.of_password(password)
        store.add(User("admin", str(verifier), frozenset({ADMINS})))
    except UserExists:
        return None
    return password
