"""The commands of operators: inspect, health, kick, drain and tap, by the socket and by a login."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.runner import Runner

import broker
from broker.commands import operating
from cred.checkers import AllowAnonymousAccess
from cred.portal import Portal


class Shop(broker.Root):
    """What is served."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[tuple[Any, str, Any]]:
    """A server with one client, and the address of its socket."""
    admin = f"pb+unix://{tmp_path}/admin"
    async with (
        broker.serve(Shop(), "pb://127.0.0.1:0", admin=admin) as server,
        broker.connect(server.addresses[0]) as client,
    ):
        await client.root.callRemote("echo", 1)
        yield server, admin, client


async def run(name: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return status, output and errors."""
    command = getattr(operating, name)
    result = await asyncio.to_thread(Runner().invoke, command, arguments)
    return result.exit_code, result.stdout, result.stderr


async def test_inspect(tmp_path: Path) -> None:
    """It shows the server and its connections, as text and as JSON, or one connection."""
    async with running(tmp_path) as (server, admin, _):
        (address,) = server.addresses
        status, text, errors = await run("inspect", admin)
        assert (status, errors) == (0, "")
        assert text.startswith(f"{address}: serving, up ")
        assert "1 open of 1, 0 slow, 0 held" in text
        assert re.search(r"\n +1 +127\.0\.0\.1:\d+ +- +msgpack/1 +flowing", text)
        status, text, _ = await run("inspect", admin, "--json", "--order", "calls")
        found = json.loads(text)
        assert found["server"]["open"] == len(found["connections"]) == 1
        assert found["connections"][0]["calls_received"] == 1
        status, text, _ = await run("inspect", admin, "1", "--json")
        assert (status, json.loads(text)["number"]) == (0, 1)
        status, text, _ = await run("inspect", admin, "1")
        assert (status, "dialect: msgpack/1\n" in text) == (0, True)
        status, _, errors = await run("inspect", admin, "9")
        assert (status, errors) == (1, "Error: there is no open connection 9\n")


async def test_health(tmp_path: Path) -> None:
    """Status 0 while it is ready, 1 when a check fails, 3 if there is no server."""
    async with running(tmp_path) as (server, admin, _):
        assert await run("health", admin) == (0, "serving\n", "")

        async def bad() -> None:
            raise OSError

        server.health.add("disk", bad)
        assert await run("health", admin) == (1, "degraded: disk\n  disk: OSError\n", "")
        status, text, _ = await run("health", admin, "--json")
        assert (status, json.loads(text)["is_ready"]) == (1, False)
    status, _, errors = await run("health", admin)
    assert (status, errors.startswith("pb health: ")) == (3, True)


async def test_kick(tmp_path: Path) -> None:
    """It ends a connection and prints how many; status 1 if there was none."""
    async with running(tmp_path) as (_, admin, client):
        assert await run("kick", admin, "1", "--reason", "bye") == (0, "1 connection ended\n", "")
        await client.wait_closed()
        assert "bye" in str(client.broker.reason)
        assert await run("kick", admin, "1") == (1, "0 connections ended\n", "")
        assert await run("kick", admin, "--of", "alice") == (1, "0 connections ended\n", "")
        for wrong in ((), ("1", "--of", "alice")):
            assert (await run("kick", admin, *wrong))[0] == 2


async def test_drain(tmp_path: Path) -> None:
    """It ends the server, and gets its answer first."""
    async with running(tmp_path) as (server, admin, client):
        for wrong in ("-1", "nan"):
            for option in ("--drain", "--after"):
                status, _, errors = await run("drain", admin, option, wrong)
                assert (status, f"{option[2:]}=" in errors) == (1, True)
        assert not server.is_closing
        assert await run("drain", admin, "--drain", "5", "--after", "7") == (0, "", "")
        await client.wait_closed()
        assert client.draining is not None and client.draining.after == 7
        await asyncio.wait_for(server._closed.wait(), 20)


async def test_tap(tmp_path: Path) -> None:
    """It prints what happens on a connection until that ends."""
    async with running(tmp_path) as (server, admin, client):
        (far,) = server.accepted
        task = asyncio.create_task(run("tap", admin, "1"))
        while far.session.tracing is None:
            await asyncio.sleep(0.01)
        await client.root.callRemote("echo", "secret")
        await client.close()
        status, text, errors = await task
        assert (status, errors) == (0, "")
        assert re.search(r"\d\.\d{3} in  call echo\n +\d\.\d{3} out answer echo: answered\n", text)
        assert re.search(r"in  bytes \d+ B\n", text)
        assert "secret" not in text


async def test_no_inspection() -> None:
    """A server that gives none is told in words."""
    async with broker.serve(Shop(), "pb://127.0.0.1:0") as server:
        status, _, errors = await run("inspect", server.addresses[0])
        assert status == 1
        assert errors.startswith("NoSuchMethod: this server shows no inspection here: give the")


class Guest(broker.Avatar):
    """Gives the inspection to all."""

    server: Any = None

    def perspective_inspector(self) -> Any:
        """Return it."""
        return broker.inspector(self.server)


@pytest.mark.parametrize("option", ["--anonymous"])
async def test_by_a_login(option: str) -> None:
    """With a login, the avatar gives the inspection."""
    portal = Portal(broker.realm(lambda name, mind: Guest()), [AllowAnonymousAccess()])
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        Guest.server = server
        status, text, _ = await run("health", server.addresses[0], option)
        assert (status, text) == (0, "serving\n")
