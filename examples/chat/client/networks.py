"""Networks that the client speaks to: what each can do, which ones there are, and reconnecting."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

import broker
from broker.backoff import grown_delay, varied_delay
from cred import LoginFailed
from examples.chat.client.irc_network import IRCNetwork
from examples.chat.client.model import Event
from examples.chat.client.pb_network import PBNetwork

__all__ = ["Kept", "Login", "Network", "NotConnected", "network_of", "nick_of"]

FIRST_DELAY, FACTOR, LONGEST_DELAY, DEVIATION = 0.5, 2.0, 30.0, 0.1
"""Of attempts to connect, in seconds."""

STABLE = 30.0
"""Seconds after which a connection counts as good: the next loss begins with a short delay."""


class NotConnected(Exception):
    """The client is not connected, so it cannot send a message."""


class Network(Protocol):
    """A connection to one network as one user.

    Methods raise an OSError if the connection is lost, and a ``broker.Error`` with a text for the
    user if the server refuses.
    """

    async def connect(self) -> None:
        """Connect and log in; also after the connection was lost.

        Raises:
            OSError: the client is not connected.
            LoginFailed: the server does not let the user in.
        """

    def events(self) -> AsyncIterator[Event]:
        """Yield what happens, until the connection ends.

        The last event is ``offline``, or ``stopped`` if the server does not want the user back.
        """

    async def join(self, room: str) -> None:
        """Go into a room; an event ``room`` follows."""

    async def part(self, room: str) -> None:
        """Leave a room."""

    async def say(self, where: str, text: str) -> None:
        """Say something in a room, or to a person."""

    async def set_topic(self, room: str, text: str) -> None:
        """Set the topic of a room."""

    async def close(self) -> None:
        """Disconnect."""


class Login(NamedTuple):
    """Where a network is, and who logs in there.

    Attributes:
        host, port: of the server.
        is_tls: whether TLS is used.
        nick, password: of the user.
        ca: the file of the trusted authority; None for those of the system.
    """

    host: str
    port: int
    is_tls: bool
    nick: str
    password: str
    ca: str | None = None


class _Row(NamedTuple):
    make: Callable[[Login], Network]
    port: int
    is_tls: bool


def _pb(login: Login) -> Network:
    scheme = "pbs" if login.is_tls else "pb"
    host = f"[{login.host}]" if ":" in login.host else login.host
    tls = broker.TLS.client(ca=login.ca) if login.is_tls and login.ca else None
    return PBNetwork(f"{scheme}://{host}:{login.port}", login.nick, login.password, tls)


def _irc(login: Login) -> Network:
    tls = ssl.create_default_context(cafile=login.ca) if login.is_tls else None
    return IRCNetwork(login.host, login.port, login.nick, login.password, tls)


_ROWS = {
    "pb": _Row(_pb, 8787, False),
    "pbs": _Row(_pb, 8787, True),
    "irc": _Row(_irc, 6667, False),
    "irc+tls": _Row(_irc, 6697, True),
}


def network_of(address: str, nick: str, password: str, ca: str | None = None) -> Network:
    """Return the network of an address such as ``pbs://chat.example``, not yet connected.

    Args:
        address: the scheme, the host, and the port if it is another than usual.
        nick, password: of the user.
        ca: the file of the trusted authority; None for those of the system.

    Raises:
        ConfigError: the address is not understood, or is public and without TLS.
    """
    parts, row = _parsed(address)
    host, port = parts.hostname or "", parts.port or row.port
    return row.make(Login(host, port, row.is_tls, nick, password, ca))


def nick_of(address: str) -> str:
    """Return the name of the user in ``pbs://alice@chat.example``; empty if there is none.

    Raises:
        ConfigError: the address is not understood.
    """
    return _parsed(address)[0].username or ""


def _parsed(address: str) -> tuple[SplitResult, _Row]:
    parts = urlsplit(address)
    row = _ROWS.get(parts.scheme)
    if row is None:
        raise broker.ConfigError(f"{address!r}: begin with one of {', '.join(_ROWS)}")
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise broker.ConfigError(f"{address!r}: write {parts.scheme}://NAME@HOST:PORT")
    if parts.password:
        raise broker.ConfigError("leave the password out of the address; you are asked for it")
    return parts, row


class Kept:
    """A network that connects again by itself, and joins its rooms again.

    Args:
        network: a network that is not connected.
        sleep: waits so many seconds.

    Attributes:
        rooms: those to be in, in the order in which they were joined.
        is_online: whether there is a connection.
    """

    def __init__(
        self, network: Network, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ):
        self.rooms: list[str] = []
        self.is_online = False
        self._network = network
        self._sleep = sleep
        self._failures = 0
        # Seconds that a server has asked us to wait.
        self._not_before = 0.0

    async def events(self) -> AsyncIterator[Event]:
        """Connect, and yield what happens, for as long as the server lets the user in.

        Between connections come ``offline`` and ``online``. The last event is ``stopped``.
        """
        if isinstance(self._network, PBNetwork):
            # A `broker.Link` connects again, and goes into the rooms.
            self._network.begin(self.rooms)
            async for event in self._network.events():
                if event.kind in ("online", "offline", "stopped"):
                    self.is_online = event.kind == "online"
                yield event
            return
        while True:
            event = Event("stopped", text="the connection has ended")
            async for event in self._one_connection():
                yield event
            if event.kind == "stopped":
                return
            delay = varied_delay(
                grown_delay(self._failures, first=FIRST_DELAY, factor=FACTOR, most=LONGEST_DELAY),
                DEVIATION,
            )
            self._failures += 1
            await self._sleep(max(delay, self._not_before))

    async def join(self, room: str) -> None:
        """Go into a room, now or when there is a connection."""
        if room not in self.rooms:
            self.rooms.append(room)
        if self.is_online:
            await self._network.join(room)

    async def part(self, room: str) -> None:
        """Leave a room, and do not go into it again."""
        if room in self.rooms:
            self.rooms.remove(room)
        if self.is_online:
            await self._network.part(room)

    async def say(self, where: str, text: str) -> None:
        """Say something; NotConnected if there is no connection."""
        self._check_online()
        await self._network.say(where, text)

    async def set_topic(self, room: str, text: str) -> None:
        """Set the topic of a room; NotConnected if there is no connection."""
        self._check_online()
        await self._network.set_topic(room, text)

    async def close(self) -> None:
        """Disconnect."""
        self.is_online = False
        await self._network.close()

    def _check_online(self) -> None:
        if not self.is_online:
            raise NotConnected("there is no connection now")

    async def _one_connection(self) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        self._not_before = 0.0
        try:
            await self._network.connect()
        except (OSError, LoginFailed, broker.Error) as error:
            # An error of a socket is worth another try too, but not one of a certificate.
            final = ssl.SSLCertVerificationError | broker.TLSError | LoginFailed
            again = broker.is_transient(error) or not isinstance(error, final)
            if isinstance(error, broker.TooManyAttempts):
                self._not_before = error.after
            yield Event("offline" if again else "stopped", text=str(error))
            return
        began = loop.time()
        self.is_online = True
        try:
            yield Event("online")
            for room in self.rooms:
                await self._join_again(room)
            async for event in self._network.events():
                self.is_online = event.kind not in ("offline", "stopped")
                yield event
        finally:
            self.is_online = False
            if loop.time() - began > STABLE:
                self._failures = 0

    async def _join_again(self, room: str) -> None:
        # The events tell of it.
        with suppress(OSError, broker.Error):
            await self._network.join(room)
