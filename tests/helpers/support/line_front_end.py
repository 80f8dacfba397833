"""A front end of lines on asyncio streams, beside PB: a name, a password, then lines."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from zope.interface import Interface

import broker
from broker import pb
from cred import LoginFailed, UsernamePassword

__all__ = [
    "Guest",
    "IGuest",
    "Lines",
    "Member",
    "Records",
    "Wire",
    "audited",
    "heed",
    "realm_of",
    "serving_lines",
]


class IGuest(Interface):  # type: ignore[misc]
    """The avatar of a client of lines."""


class Records:
    """What the avatars of all front ends have done."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.gone: list[str] = []


class Guest:
    """The avatar of a client of lines."""

    def __init__(self, records: Records, name: str, mind: Any):
        self.records, self.name, self.mind = records, name, mind
        records.here.append(f"lines {name}")

    async def logout(self) -> None:
        """Note that the user has gone."""
        self.records.gone.append(f"lines {self.name}")


class Member(broker.Avatar):
    """The avatar of a PB client."""

    def __init__(self, records: Records, name: str):
        self.records, self.name = records, name
        records.here.append(f"pb {name}")

    def perspective_whoami(self) -> str:
        """Return the name."""
        return self.name

    def logout(self) -> None:
        """Note that the user has gone."""
        self.records.gone.append(f"pb {self.name}")


def realm_of(records: Records) -> Any:
    """A realm of both kinds of avatars."""

    async def guest(avatar_id: Any, mind: Any) -> Guest:
        await asyncio.sleep(0)
        return Guest(records, str(avatar_id), mind)

    return broker.realm(
        {pb.IPerspective: lambda avatar_id: Member(records, str(avatar_id)), IGuest: guest}
    )


class Lines:
    """Serves lines: each connection is a visit.

    Args:
        logins: of the portal.
    """

    def __init__(self, logins: broker.PortalLogins):
        self.logins = logins

    async def opened(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection; its last line is the reason of the end."""
        try:
            async with self.logins.arrive(writer) as visit:
                await self._talk(visit, reader, writer)
        except (LoginFailed, broker.Error, broker.PBConnectionLost) as error:
            self._say(writer, f"! {type(error).__name__}: {error}")
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _talk(
        self, visit: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        login = None
        while line := await reader.readline():
            name, _, rest = line.decode().rstrip("\r\n").partition(" ")
            if name == "login":
                user, _, password = rest.partition(" ")
                credentials = UsernamePassword(user, password)
                try:
                    login = await visit.login(credentials, self, IGuest, mechanism="lines")
                except (LoginFailed, broker.Error) as error:
                    self._say(writer, f"- {type(error).__name__}: {error}")
                else:
                    groups = ",".join(sorted(login.groups))
                    self._say(writer, f"+ {login.avatar.name} [{groups}]")
            elif name == "logout" and login is not None:
                login.logout()
                self._say(writer, "+ bye")

    def _say(self, writer: asyncio.StreamWriter, line: str) -> None:
        if not writer.transport.is_closing():
            writer.write(f"{line}\n".encode())


class Wire:
    """A client of lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, tls: ssl.SSLContext | None = None) -> Wire:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    async def ask(self, line: str) -> str:
        """Send a line, and return the next one."""
        self.writer.write(f"{line}\n".encode())
        return await self.next()

    async def next(self) -> str:
        """Return the next line; empty at the end."""
        return (await self.reader.readline()).decode().rstrip("\n")

    async def close(self) -> None:
        """Close, and read to the end."""
        self.writer.close()
        while await self.reader.read(1 << 16):
            pass


@asynccontextmanager
async def serving_lines(
    logins: broker.PortalLogins, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve lines; gives the port."""
    server = await asyncio.start_server(Lines(logins).opened, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def audited(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    """Return the result, user, mechanism and reason of each line of the audit log."""
    lines = [
        json.loads(each.getMessage()) for each in caplog.records if each.name == "broker.audit"
    ]
    return [(ln["result"], ln["user"], ln["how"], ln.get("reason", "")) for ln in lines]


def heed(caplog: pytest.LogCaptureFixture) -> None:
    """Turn the audit log on."""
    caplog.set_level(logging.INFO, "broker.audit")
