"""A connection that speaks in lines: bounds what comes in and what waits to go out; logs in.

Theory of operation. A task takes one line after the other, inside a visit of the PortalLogins. The
lines of a client that sends too fast wait, and so do those of a client that does not read its
answers; when too many wait, the connection ends. A client with more than 64 KiB unsent gets no
events until it has read; what it has missed is counted, and it is told so. It is cut off after 30
seconds, or above 1 MiB: nobody else waits for a client that reads slowly. The lines of one turn of
the loop are sent together, since a call of the system costs more than a line.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import broker
from broker.net.sockets import bind_stream, start_accepting
from broker.net.transports import HIGH_WATER, StreamTransport
from cred import LoginFailed, UsernamePassword
from examples.chat.model import Guest, IGuest, Listener, Town
from examples.chat.pace import Pace

__all__ = ["LineConnection", "LinePort", "encoded"]

LONGEST_OUT = 512
"""The most bytes of a line that is written, with its CR LF."""

MOST_WAITING = 100
"""How many lines of a client may wait until the rate lets them through."""

MOST_TOGETHER = 64
"""Lines that are sent together at most."""

MOST_UNSENT = 1024 * 1024
"""Bytes that a client has not read, above which it is disconnected at once."""

STALLED = 30.0
"""Seconds after which a client is disconnected that leaves 64 KiB unread."""

CLOSING = 2.0
"""Seconds that clients have to read the last lines when the server is closed."""

# They end a line, or control a terminal. \x01 is left: IRC marks with it what somebody does.
_CONTROLS = dict.fromkeys(
    [code for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029) if code != 1], " "
)

logger = logging.getLogger("examples.chat")


def encoded(line: str) -> bytes:
    """Return a line as it is sent: at most 512 bytes; control characters become spaces.

    All that a front end of lines writes is made here.
    """
    data = line.translate(_CONTROLS).encode("utf-8", "replace")
    if len(data) > LONGEST_OUT - 2:
        # A part of a character at the end goes too.
        data = data[: LONGEST_OUT - 2].decode("utf-8", "ignore").encode()
    return data + b"\r\n"


class TooFast(Exception):
    """A client sends more than may wait."""


class LineConnection:
    """One connection of a client that speaks in lines: the receiver of a transport's data.

    Args:
        town: the chat.
        logins: the logins of all front ends.
        front_end: its name, in the list of who is where and in the audit log: ``"irc"``.

    Attributes:
        guest: the user, once logged in.
        longest_line: the most bytes of a line that comes in, with its end.
    """

    longest_line: ClassVar[int] = 512

    def __init__(self, town: Town, logins: broker.PortalLogins, front_end: str):
        self.town = town
        self.guest: Guest | None = None
        self.transport: StreamTransport
        self._logins = logins
        self._front_end = front_end
        self._pace = Pace(town.rate)
        self._visit: Any = None
        self._rest = b""
        self._lines: deque[str] = deque()
        self._came = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._task: asyncio.Task[None] | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._missed = 0
        self._unsent: list[bytes] = []
        self._is_leaving = False

    # What a front end defines.

    async def begin(self) -> None:
        """Greet the client."""

    async def take(self, line: str) -> None:
        """Handle one line of the client, without its end."""
        raise NotImplementedError

    def hears(self, event: str, room: str, who: str, text: str) -> None:
        """Tell the client of an event; see `examples.chat.model`."""
        raise NotImplementedError

    def catch_up(self, missed: int) -> None:
        """Tell the client that it has missed so many events, since it has read nothing."""
        raise NotImplementedError

    def say_goodbye(self, why: str, *, is_kicked: bool) -> None:
        """Tell the client why the connection ends.

        Args:
            why: the reason.
            is_kicked: whether the client should not connect again by itself.
        """
        self.write_line(why)

    # What a front end uses.

    async def log_in(self, name: str, password: str) -> Guest:
        """Log in past the throttle and the audit log; LoginFailed if it is refused."""
        credentials = UsernamePassword(name, password)
        mind = Listener(self._hears, self._front_end)
        login = await self._visit.login(credentials, mind, IGuest, mechanism=self._front_end)
        guest: Guest = login.avatar
        self.guest = guest
        return guest

    @property
    def is_private(self) -> bool:
        """Whether a password may be sent here: inside TLS, or on this machine."""
        return self.transport.is_private

    def write_line(self, line: str) -> None:
        """Write a line; see `encoded`."""
        self.write(encoded(line))

    def write(self, *lines: bytes) -> None:
        """Write lines that `encoded` has made."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += lines
        if len(self._unsent) >= MOST_TOGETHER:
            self._flush()

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if not data:
            return
        self.transport.write(data)
        unsent = self.transport.unsent
        if unsent > MOST_UNSENT:
            self._cut_off()
        elif unsent > HIGH_WATER and self._stalled is None:
            self._has_room.clear()
            self._stalled = asyncio.get_running_loop().call_later(STALLED, self._cut_off)

    def leave(self, why: str, *, is_kicked: bool = False) -> None:
        """End the connection once the client has read what was written.

        Args:
            why: the reason, for the client and for the people in its rooms.
            is_kicked: whether the server has ended the session of the user.
        """
        if not self._is_leaving:
            self._is_leaving = True
            if self.guest is not None:
                self.guest.leave(why)
            self.say_goodbye(why, is_kicked=is_kicked)
            self._flush()
            self.transport.leave()
            # Wakes the task, which ends then.
            self._came.set()

    # What the transport calls.

    def makeConnection(self, transport: StreamTransport) -> None:
        """Begin the visit."""
        self.transport = transport
        transport.on_drained = self._drained
        # A client whose machine has gone is noticed.
        transport.watch_peer(120.0, 60.0)
        self._task = asyncio.create_task(self._run())

    def dataReceived(self, data: bytes) -> None:
        """Take lines; a line that is too long, or too many of them, end the connection."""
        try:
            self._split(data)
        except TooFast as error:
            self.leave(str(error))
        self._came.set()

    def connectionLost(self, reason: object) -> None:
        """End the visit, which logs the guest out."""
        self._is_leaving = True
        if self._stalled is not None:
            self._stalled.cancel()
        self._has_room.set()
        if self._visit is not None:
            self._visit.close()
        if self._task is not None:
            self._task.cancel()

    def _hears(self, event: str, room: str, who: str, text: str) -> None:
        """Pass an event on; count it instead while the client does not read.

        What the guest has done itself is passed on, since a client learns from it where it is.
        """
        is_own = self.guest is not None and who == self.guest.name
        if self._stalled is None or is_own:
            self.hears(event, room, who, text)
        else:
            self._missed += 1

    def _split(self, data: bytes) -> None:
        if self._is_leaving:
            return
        *whole, rest = (self._rest + data).split(b"\n")
        for line in whole:
            if len(line) >= self._longest(line):
                raise TooFast("that line is too long")
            if len(self._lines) >= MOST_WAITING:
                raise TooFast("too many lines; please write more slowly")
            self._lines.append(line.removesuffix(b"\r").decode("utf-8", "replace"))
        if len(rest) >= self._longest(rest):
            raise TooFast("that line is too long")
        self._rest = rest

    def _longest(self, line: bytes) -> int:
        """Return how many bytes a line may have, with its end."""
        return self.longest_line

    async def _run(self) -> None:
        try:
            self._visit = self._logins.arrive(self.transport)
            async with self._visit:
                await self.begin()
                while not self._is_leaving:
                    await self._has_room.wait()
                    if self._lines:
                        await asyncio.sleep(self._pace.wait())
                        if not self._is_leaving:
                            await self.take(self._lines.popleft())
                    else:
                        self._came.clear()
                        await self._came.wait()
        except broker.LoginExpired as error:
            # The user was kicked or disabled, after which no client should come back by itself.
            self.leave(str(error), is_kicked=True)
        except (LoginFailed, broker.PBConnectionLost) as error:
            # Of the end of the visit: no login came in time, or the server is closed.
            self.leave(str(error))
        except Exception:
            logger.exception("a connection of %s failed", self._front_end)
            self.leave("internal error")

    def _drained(self) -> None:
        self._has_room.set()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        missed, self._missed = self._missed, 0
        if missed and not self._is_leaving:
            self.catch_up(missed)

    def _cut_off(self) -> None:
        self._is_leaving = True
        self.transport.abortConnection()


class LinePort:
    """A port at which a front end listens.

    Args:
        make: makes the receiver of a connection.
        host, port: where to listen; port 0 for a free one.
        tls: settings of ``TLS.server``.

    Attributes:
        port: the real port.

    Raises:
        CannotListenError: the port is in use.
    """

    def __init__(
        self,
        make: Callable[[], LineConnection],
        host: str,
        port: int,
        tls: broker.TLS | None = None,
    ):
        sockets = bind_stream(host, port)
        self.port: int = sockets[0].getsockname()[1]
        self._make = make
        self._open: weakref.WeakSet[LineConnection] = weakref.WeakSet()
        self._listener = start_accepting(sockets, self._accept, tls=tls)

    async def close(self) -> None:
        """Accept no more connections, end those that are open, and wait until they have ended.

        A client that does not close its side is cut off after `CLOSING` seconds.
        """
        self._listener.close()
        open_ones = [each for each in self._open if not each.transport.has_ended]
        for each in open_ones:
            each.leave("the server is shutting down")
        await asyncio.gather(*(each.transport.wait_ended(CLOSING) for each in open_ones))

    def _accept(self, address: object) -> LineConnection:
        connection = self._make()
        self._open.add(connection)
        return connection
