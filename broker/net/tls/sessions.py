"""The sessions that a client may resume: kept for each server, offered once, and never too long.

Theory of operation
===================

A server that gives session tickets lets a client skip the certificates in its next handshake: the
ticket proves that both ends have met. OpenSSL then verifies no certificate. A resumed connection is
as safe as a full one by these rules:

- Only a session of TLS 1.3 is kept, and only of a connection whose certificate was verified. Each
  connection still agrees on new keys, so its channel binding is its own.
- A session is kept with the context that verified it. New files of CAs make a new context
  (`broker.net.tls.reloading`), which gets no session of the old one. Two settings share nothing.
- A session is offered to the server of the same name and port only. The name or the pin is compared
  again with the certificate that the session has.
- Each certificate of the verified chain must still be valid. With a pin dates do not count, as in a
  full handshake.
- A day after the full handshake the certificates are verified again, whatever has been resumed
  since then.
- A session is offered once, so connections cannot be linked by it (RFC 8446, appendix C.4). A
  server that accepts it gives another one.
- A server that gives tickets and accepts none is offered none for an hour: offering a session costs
  a tenth of a handshake. OpenSSL has such servers: those of `TLS.server` without ``tickets``.
- A client that has a certificate of its own keeps no session: the server would not verify the
  certificate again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from cryptography import x509
from OpenSSL import SSL

__all__ = [
    "MAX_AGE",
    "MAX_REFUSALS",
    "MAX_SERVERS",
    "PAUSE",
    "KeptSession",
    "Resumption",
    "Server",
    "Sessions",
]

MAX_SERVERS = 64
"""The number of servers for which one settings object keeps a session."""

MAX_AGE = 24 * 60 * 60.0
"""Seconds from a full handshake during which its session, and those that follow, are resumed."""

MAX_REFUSALS = 2
"""The number of refused sessions in a row after which a server is offered none for a while."""

PAUSE = 60 * 60.0
"""How long that is, in seconds."""

Server: TypeAlias = tuple[str | None, int | None]
"""Host and port; None if they are not known."""


class KeptSession(NamedTuple):
    """A session that may be offered.

    Attributes:
        session: of OpenSSL.
        chain: the verified chain of the server, its own certificate first.
        verified_at: when that was, in seconds since the epoch.
        until: when the first certificate of the chain expires; infinite if dates do not count.
    """

    session: SSL.Session
    chain: tuple[x509.Certificate, ...]
    verified_at: float
    until: float


class _Known:
    """What is known of one server."""

    __slots__ = ("refusals", "refused_at", "session")

    def __init__(self) -> None:
        self.session: KeptSession | None = None
        # The sessions in a row that the server has refused, and when it refused the last one.
        self.refusals = 0
        self.refused_at = 0.0


class Sessions:
    """The sessions of one settings object.

    Its connections may be in several threads: each step is one operation of a dict.

    Args:
        clock: returns the time in seconds since the epoch.
    """

    __slots__ = ("_context", "_servers", "clock")

    def __init__(self, clock: Callable[[], float] = time.time):
        self.clock = clock
        self._context: SSL.Context | None = None
        self._servers: dict[Server, _Known] = {}

    def __len__(self) -> int:
        """Return the number of sessions."""
        return sum(each.session is not None for each in list(self._servers.values()))

    def take(self, server: Server, context: SSL.Context) -> KeptSession | None:
        """Return the session of a server, and forget it; None without one that may be used.

        Args:
            server: the server.
            context: of the new connection. Another one than before ends all sessions.
        """
        if context is not self._context:
            self._context, self._servers = context, {}
        known = self._servers.get(server)
        if known is None or known.session is None:
            return None
        kept, known.session = known.session, None
        now = self.clock()
        is_usable = kept.verified_at <= now < kept.verified_at + MAX_AGE and now <= kept.until
        return kept if is_usable else None

    def wants(self, server: Server, context: SSL.Context, *, is_refused: bool | None) -> bool:
        """Return whether a new session of this server is to be kept.

        Args:
            server: the server.
            context: of its connection; nothing is kept for an older one.
            is_refused: whether it has refused the session that was offered; None if none was.
        """
        if context is not self._context:
            return False
        known = self._servers.get(server)
        if known is None or is_refused is None:
            return known is None or not self._is_avoided(known)
        known.refusals = known.refusals + 1 if is_refused else 0
        known.refused_at = self.clock()
        return not self._is_avoided(known)

    def keep(self, server: Server, session: KeptSession) -> None:
        """Keep a session in the place of an older one; forget the oldest if there are too many."""
        known = self._servers.pop(server, None) or _Known()
        known.session = session
        self._servers[server] = known
        for oldest in list(self._servers)[:-MAX_SERVERS]:
            self._servers.pop(oldest, None)

    def _is_avoided(self, known: _Known) -> bool:
        is_recent = 0 <= self.clock() - known.refused_at < PAUSE
        return known.refusals >= MAX_REFUSALS and is_recent


class Resumption:
    """The session that one connection of a client offers, and the one that it keeps.

    Args:
        sessions: of the settings.
        server: where the client connects to.
        context: the context of the connection.
        has_dates: whether the dates of certificates count.
    """

    __slots__ = ("_context", "_has_dates", "_offered", "_server", "_sessions")

    def __init__(
        self, sessions: Sessions, server: Server, context: SSL.Context, *, has_dates: bool = True
    ):
        self._sessions = sessions
        self._server = server
        self._context = context
        self._has_dates = has_dates
        self._offered: KeptSession | None = None

    def offer(self, connection: SSL.Connection) -> None:
        """Offer the session of this server, if there is one; before the handshake."""
        self._offered = self._sessions.take(self._server, self._context)
        if self._offered is not None:
            connection.set_session(self._offered.session)

    def chain_of(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...] | None:
        """Return the chain of the session that was offered; None if it is not of this peer."""
        kept = self._offered
        return None if kept is None or kept.chain[0] != certificate else kept.chain

    def keep(self, connection: SSL.Connection, *, is_resumed: bool) -> None:
        """Keep the session of a connection that the server has given a ticket for."""
        is_refused = None if self._offered is None else not is_resumed
        if not self._sessions.wants(self._server, self._context, is_refused=is_refused):
            return
        session = connection.get_session()
        if session is None or connection.get_protocol_version() < SSL.TLS1_3_VERSION:
            return
        if is_resumed and self._offered is not None:
            kept = self._offered._replace(session=session)
        else:
            chain = tuple(connection.get_verified_chain(as_cryptography=True) or ())
            if not chain:
                return
            ends = [each.not_valid_after_utc.timestamp() for each in chain if self._has_dates]
            until = min(ends, default=float("inf"))
            kept = KeptSession(session, chain, self._sessions.clock(), until)
        self._sessions.keep(self._server, kept)
