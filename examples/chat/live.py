"""The admin's page as a PB client: the token by which it logs in, and what it may call.

The cookie of an admin's session logs nobody in by PB, since a browser sends it for pages of others
too. The page asks for a token, which is good for one login within seconds.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

from zope.interface import implementer

import broker
from cred import Identity, UnauthorizedLogin
from cred.checkers import ICredentialsChecker
from cred.interfaces import IBearerToken
from examples.chat.model import ADMINS, Town
from examples.chat.web_sessions import WebSession

__all__ = ["Live", "PageAdmin", "PageTokens", "Watcher"]

TOKEN_SECONDS: Final = 30.0
"""The seconds in which a token must be used."""

MOST_TOKENS: Final = 1_000
"""The most tokens that wait; a new one ends the oldest."""

PAUSE: Final = 0.1
"""The least seconds from one list of people to the next."""


class PageAdmin(Identity):
    """An admin whose page has logged in, and the session of the browser."""

    session: WebSession


@implementer(ICredentialsChecker)
class PageTokens:
    """Makes the tokens of pages, and checks them.

    Args:
        clock: returns seconds; only differences count.
    """

    credentialInterfaces = (IBearerToken,)

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        # By token, the oldest first.
        self._tokens: dict[str, tuple[WebSession, float]] = {}

    def make(self, session: WebSession) -> str:
        """Return a new token of an admin's session."""
        while len(self._tokens) >= MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        token = secrets.token_urlsafe(32)
        self._tokens[token] = session, self._clock() + TOKEN_SECONDS
        return token

    def requestAvatarId(self, credentials: Any) -> PageAdmin:
        """Return the admin of a token, once.

        Raises:
            UnauthorizedLogin: there is no such token, it is too old, or the session has ended.
        """
        session, ends = self._tokens.pop(credentials.token, (None, 0.0))
        if session is None or self._clock() > ends or session.visit.is_ended:
            raise UnauthorizedLogin("this token is not valid")
        admin = PageAdmin(session.name, [ADMINS])
        admin.session = session
        return admin


class Live(NamedTuple):
    """What live pages need.

    Attributes:
        server: gets the WebSockets; its portal has a checker with the tokens.
        tokens: for the admin's page.
    """

    server: broker.Server
    tokens: PageTokens


class Watcher(broker.Avatar):
    """What the admin's page may call; its connection ends with the session of the browser.

    The admin does not enter the chat by it.
    """

    def __init__(self, town: Town, session: WebSession):
        self._town = town
        self._connection = broker.current_call().connection
        self._closing: asyncio.Task[None] | None = None
        self._ended = session.visit.ended
        self._ended.addCallbacks(self._close, lambda failure: None)

    def _close(self, reason: object) -> None:
        self._closing = asyncio.create_task(self._connection.close())

    def logout(self) -> None:
        """Forget the session: the connection has ended."""
        self._ended.cancel()

    async def perspective_people(self) -> AsyncIterator[list[list[Any]]]:
        """Yield who is where, now and after each change.

        Each person is a list: name, front end, the time of coming in seconds since 1970, and the
        rooms.
        """
        changed = asyncio.Event()
        end = self._town.watch(changed.set)
        try:
            while True:
                changed.clear()
                yield [[*each[:3], list(each.rooms)] for each in self._town.where()]
                await asyncio.sleep(PAUSE)
                await changed.wait()
        finally:
            end()
