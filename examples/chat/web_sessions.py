"""The sessions of browsers: who is logged in on the chat's web pages, by cookie.

A session keeps the visit of its login open. So it ends when the visit does: at logout, after some
hours, when an admin kicks the user, when the user is disabled, and when the server is closed.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["SESSION_SECONDS", "WebSession", "WebSessions"]

SESSION_SECONDS: Final = 12 * 3600.0
"""The seconds after which a session ends."""

MOST_EACH: Final = 5
"""The most sessions of one user; a new one ends the oldest."""


@dataclass(eq=False)
class WebSession:
    """One login of one browser.

    Attributes:
        token: the value of the cookie.
        visit: a ``Visit`` of `broker.PortalLogins`.
        login: the login on it.
        notice: a text that the next page shows once.
    """

    token: str
    visit: Any
    login: Any
    notice: str = ""

    @property
    def name(self) -> str:
        """The name of the user."""
        return str(self.login.avatar_id)

    def take_notice(self) -> str:
        """Return the notice, and forget it."""
        notice, self.notice = self.notice, ""
        return notice


class WebSessions:
    """All sessions.

    Args:
        seconds: after which a session ends.
    """

    def __init__(self, seconds: float = SESSION_SECONDS):
        self.seconds = seconds
        # By token, the oldest first.
        self._sessions: dict[str, WebSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, visit: Any, login: Any) -> WebSession:
        """Begin the session of a login; it ends with the visit."""
        session = WebSession(secrets.token_urlsafe(32), visit, login)
        of_user = [each for each in self._sessions.values() if each.name == session.name]
        for old in of_user[: max(0, len(of_user) - MOST_EACH + 1)]:
            old.visit.close()
        self._sessions[session.token] = session
        timer = asyncio.get_running_loop().call_later(self.seconds, visit.close)
        visit.ended.addCallback(self._ended, session.token, timer)
        return session

    def find(self, token: str | None) -> WebSession | None:
        """Return the session of a cookie, if it has not ended."""
        return None if token is None else self._sessions.get(token)

    def close(self) -> None:
        """End all sessions."""
        for session in list(self._sessions.values()):
            session.visit.close()

    def _ended(self, reason: object, token: str, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._sessions.pop(token, None)
