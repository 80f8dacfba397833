"""``pb top``: the screen, by textual's pilot, with a server that runs in the same loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.widgets import DataTable, Static

import broker
from broker.commands.top_screen import COLUMNS, Details, Question, Top
from broker.inspection.contract import Inspection


class Shop(broker.Root):
    """Answers, and returns objects."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_things(self, count: int) -> list[Any]:
        """Return new objects."""
        return [broker.Referenceable() for _ in range(count)]


@asynccontextmanager
async def running(tmp_path: Path, clients: int) -> AsyncIterator[tuple[Any, Inspection, list[Any]]]:
    """A server with so many clients, and an operator's inspection of it."""
    admin = f"pb+unix://{tmp_path}/admin"
    async with broker.serve(Shop(), "pb://127.0.0.1:0", admin=admin) as server:
        connections = [await broker.connect(server.addresses[0]) for _ in range(clients)]
        async with broker.connect(admin) as operator:
            yield server, operator.root.of(Inspection), connections
        for connection in connections:
            await connection.close()


def numbers(app: Top) -> list[str]:
    """Return the first column."""
    table: DataTable[Any] = app.query_one(DataTable)
    return [str(table.get_row_at(index)[0]) for index in range(table.row_count)]


async def shown(app: Top, pilot: Any, rows: int) -> None:
    """Wait until so many connections are shown."""
    async with asyncio.timeout(20):
        while len(numbers(app)) != rows:
            await pilot.pause(0.02)


async def test_the_table(tmp_path: Path) -> None:
    """Each connection is a row, in the order of the chosen column, and keys change it."""
    async with running(tmp_path, 3) as (server, inspection, connections):
        things = await connections[1].root.callRemote("things", 5)
        app = Top(inspection, server.addresses[0], 0.1)
        async with app.run_test(size=(140, 30)) as pilot:
            await shown(app, pilot, 3)
            assert numbers(app) == ["1", "2", "3"]
            await pilot.press("r")
            assert numbers(app) == ["3", "2", "1"]
            refs = [name for name, _, _ in COLUMNS].index("refs")
            for _ in range(refs):
                await pilot.press("s")
            assert numbers(app)[0] == "2"
            head = str(app.query_one("#head", Static).render())
            assert "3 open of 3" in head and "serving" in head
            await connections[2].close()
            await shown(app, pilot, 2)
        del things


async def test_details_and_kick(tmp_path: Path) -> None:
    """Enter opens the connection under the cursor; k ends it after a question."""
    async with running(tmp_path, 2) as (server, inspection, connections):
        app = Top(inspection, server.addresses[0], 0.1)
        async with app.run_test(size=(140, 40)) as pilot:
            await shown(app, pilot, 2)
            await pilot.press("down", "enter")
            await pilot.pause()
            assert isinstance(app.screen, Details)
            async with asyncio.timeout(20):
                while "round_trip" not in str(app.screen.query_one("#details", Static).render()):
                    await pilot.pause(0.02)
            await pilot.press("escape")
            await pilot.press("k")
            await pilot.pause()
            assert isinstance(app.screen, Question)
            await pilot.press("n")
            assert not connections[1].is_closed
            await pilot.press("k")
            await pilot.pause()
            await pilot.press("y")
            await connections[1].wait_closed()
            await shown(app, pilot, 1)
            assert numbers(app) == ["1"]


async def test_paused(tmp_path: Path) -> None:
    """While it is paused, nothing changes."""
    async with running(tmp_path, 2) as (server, inspection, connections):
        app = Top(inspection, server.addresses[0], 0.1)
        async with app.run_test(size=(100, 20)) as pilot:
            await shown(app, pilot, 2)
            await pilot.press("p")
            await connections[0].close()
            while server.counts[1] < 1:
                await pilot.pause(0.02)
            await app.look()
            assert numbers(app) == ["1", "2"]
            await pilot.press("p")
            await shown(app, pilot, 1)


async def test_a_server_that_ends(tmp_path: Path) -> None:
    """When the server is gone, the screen closes with the error."""
    async with running(tmp_path, 1) as (server, inspection, _):
        app = Top(inspection, server.addresses[0], 0.1)
        async with app.run_test() as pilot:
            await shown(app, pilot, 1)
            await server.close(drain=0)
            async with asyncio.timeout(20):
                while app.is_running and app.lost is None:
                    await pilot.pause(0.02)
        assert isinstance(app.lost, broker.Disconnected)
