"""One inspection of all processes: sums, routes and joined streams, of servers in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.prompts import Terminal
from support.runner import Runner

import broker
from broker.commands import operating
from broker.commands.all_processes import AllProcesses, Member, process_of
from broker.commands.top_screen import head_of
from broker.errors import Error, ServerBusy
from broker.inspection.contract import ORDERS, Administration, Inspection
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

COUNT = 3

MODULE = """
import asyncio, os
import broker

class Echo(broker.Root):
    def remote_pid(self):
        return os.getpid()

    async def remote_wait(self, seconds):
        await asyncio.sleep(seconds)
        return "waited"

    def remote_die(self):
        os._exit(3)
"""


class Shop(broker.Root):
    """Answers, and returns objects."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_things(self, count: int) -> list[Any]:
        """Return new objects."""
        return [broker.Referenceable() for _ in range(count)]


@asynccontextmanager
async def cluster(
    folder: Path, targets: Callable[[], Any] = Shop
) -> AsyncIterator[tuple[list[broker.Server], AllProcesses, list[str]]]:
    """Servers as the processes of one server have them; yields them, and their inspection."""
    admins = [f"pb+unix://{folder}/admin.{each}" for each in range(1, COUNT + 1)]
    servers = []
    for index, admin in enumerate(admins, 1):
        servers.append(await broker.serve(targets(), "pb://127.0.0.1:0", admin=admin))
        servers[-1].number_from(index, COUNT)
    stopped: list[str] = []
    members = [Member(index, admin) for index, admin in enumerate(admins, 1)]
    every = AllProcesses(members, lambda: stopped.append("stopped"))
    try:
        yield servers, every, stopped
    finally:
        await every.close()
        for server in servers:
            await server.close(drain=0)


def test_numbers() -> None:
    """The number of a connection tells its process."""
    assert [process_of(each, 3) for each in (1, 2, 3, 4, 5, 6, 7)] == [1, 2, 3, 1, 2, 3, 1]


async def test_a_number_is_given_once(tmp_path: Path) -> None:
    """A server that has connections keeps their numbers."""
    async with (
        broker.serve(Shop(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]),
    ):
        with pytest.raises(RuntimeError):
            server.number_from(2, 3)


async def test_the_model(tmp_path: Path) -> None:
    """Connections, references and sums agree with what the clients of all processes have."""
    async with cluster(tmp_path) as (servers, every, _):
        held: dict[int, list[Any]] = {}
        connections = {}
        for turn in range(4):
            for index, server in enumerate(servers):
                number = turn * COUNT + index + 1
                connections[number] = await broker.connect(server.addresses[0])
                held[number] = await connections[number].root.callRemote("things", number % 5)
        rows = await every.connections()
        assert {row.number: row.exports for row in rows} == {
            number: len(things) for number, things in held.items()
        }
        assert all(row.process == process_of(row.number, COUNT) for row in rows)
        assert [row.number for row in rows] == sorted(connections)
        now = await every.server(history=True)
        assert (now.open, now.accepted, now.state) == (12, 12, "serving")
        assert [(each.number, each.open) for each in now.processes] == [(1, 4), (2, 4), (3, 4)]
        assert f"3 processes of {now.pid}" in head_of(now, "").plain
        for order in ORDERS:
            assert len(await every.connections(order=order, most=5)) == 5
        one = await every.connection(7)
        assert (one.number, one.process) == (7, 1)
        assert one.exported_types == {"Referenceable": 2}
        assert await every.kick(number=5, reason="bye") == 1
        await connections[5].wait_closed()
        assert "bye" in str(connections[5].broker.reason)
        assert [row.number for row in await every.connections(most=4)] == [1, 2, 3, 4]
        assert await every.kick(number=5) == 0
        for wrong in (99, 0, -1):
            with pytest.raises(Error, match="there is no open connection"):
                await every.connection(wrong)
        for bad in ({"order": "x"}, {"most": 0}):
            with pytest.raises(Error):
                await every.connections(**bad)
        with pytest.raises(Error):
            await every.kick()
        for each in connections.values():
            await each.close()


async def test_kick_by_user(tmp_path: Path) -> None:
    """All connections of a user end, in each process."""

    def portal() -> Portal:
        checker = InMemoryUsernamePasswordDatabaseDontUse(alice="a", bob="b")
        return Portal(broker.realm(lambda name, mind: broker.Avatar()), [checker])

    async with cluster(tmp_path, portal) as (servers, every, _):
        alices = [
            await broker.connect(server.addresses[0], UsernamePassword("alice", "a"))
            for server in servers[:2]
        ]
        async with broker.connect(servers[2].addresses[0], UsernamePassword("bob", "b")) as bob:
            assert await every.kick(user="alice") == 2
            for each in alices:
                await each.wait_closed()
            assert not bob.is_closed
            assert [row.user for row in await every.connections()] == ["bob"]


async def test_a_process_that_has_gone(tmp_path: Path) -> None:
    """It is out of the view, which tells so; the others are shown; it comes back."""
    async with cluster(tmp_path) as (servers, every, _):
        clients = [await broker.connect(server.addresses[0]) for server in servers]
        watch = every.watch(0.1)
        assert (await anext(watch)).open == 3
        await servers[1].close(drain=0)
        now = await anext(watch)
        assert (now.open, now.state) == (2, "degraded: process 2")
        assert [each.number for each in now.processes] == [1, 3]
        health = await every.health()
        assert (health.is_ready, health.state) == (False, "degraded: process 2")
        for act in (every.connection(2), every.kick(number=2), anext(every.tap(2))):
            with pytest.raises(Error, match="process 2 of connection 2 does not run"):
                await act
        admin = f"pb+unix://{tmp_path}/admin.2"
        servers[1] = await broker.serve(Shop(), "pb://127.0.0.1:0", admin=admin)
        assert (await anext(watch)).state == "serving"
        await watch.aclose()
        for each in clients:
            await each.close()


async def test_a_process_that_is_about_to_go(tmp_path: Path) -> None:
    """While its socket for operators drains, it is left out as one that has gone."""
    async with cluster(tmp_path) as (servers, every, _):
        assert (await every.server()).open == 0
        is_asked = asyncio.Event()

        async def slow() -> None:
            is_asked.set()
            await asyncio.sleep(0.9)

        servers[1].health.add("slow", slow)
        async with broker.connect(f"pb+unix://{tmp_path}/admin.2") as operator:
            asking = operator.root.callRemote("health")
            await is_asked.wait()
            ending = asyncio.create_task(servers[1]._end_inspection())
            await operator.wait_draining()
            assert (await every.server()).state == "degraded: process 2"
            with pytest.raises(Error, match="process 2 of connection 2 does not run"):
                await every.connection(2)
            await asking
        await ending


async def test_checks(tmp_path: Path) -> None:
    """A check that fails in one process makes the whole not ready."""
    async with cluster(tmp_path) as (servers, every, _):

        async def good() -> None:
            pass

        async def bad() -> None:
            raise OSError

        for server in servers:
            server.health.add("disk", good)
        assert (await every.health()).checks == {"disk": ""}
        servers[2].health.add("disk", bad)
        health = await every.health()
        assert (health.state, health.checks) == ("degraded: disk", {"disk": "OSError (process 3)"})


async def test_tap_and_watchers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tap has the entries of its connection; there are few watchers at once."""
    async with cluster(tmp_path) as (servers, every, _):
        connection = await broker.connect(servers[1].addresses[0])
        (far,) = servers[1].accepted
        entries = []

        async def read() -> None:
            async for entry in every.tap(2):
                entries.append(entry)

        reading = asyncio.create_task(read())
        while far.session.tracing is None:
            await asyncio.sleep(0)
        await connection.root.callRemote("echo", "secret")
        await connection.close()
        await reading
        assert ("call", "echo") in [(each.kind, each.name) for each in entries]
        assert "secret" not in repr(entries)
        monkeypatch.setattr("broker.commands.all_processes.MOST_WATCHERS", 0)
        with pytest.raises(ServerBusy):
            await anext(every.watch())
        with pytest.raises(Error):
            await anext(every.watch(0.01))


async def test_drain(tmp_path: Path) -> None:
    """All processes drain, after the parent was told not to start any again."""
    async with cluster(tmp_path) as (servers, every, stopped):
        for wrong in ((-1,), (5, -1)):
            with pytest.raises(Error):
                await every.drain(*wrong)
        client = await broker.connect(servers[1].addresses[0])
        await every.drain(5, 7)
        assert stopped == ["stopped"]
        await client.wait_closed()
        assert client.draining is not None and client.draining.after == 7
        for server in servers:
            await asyncio.wait_for(server._closed.wait(), 20)
        with pytest.raises(Error, match="no process of this server answers"):
            await every.server()
        assert (await every.health()).state == "draining"


# With real processes.


@pytest.fixture
def serving(tmp_path: Path, start: Callable[..., Any]) -> tuple[Any, str, str]:
    """Start three processes; return the parent, the address and the socket for operators."""
    (tmp_path / "served.py").write_text(MODULE)
    admin = f"pb+unix://{tmp_path}/admin"
    options = ("--processes", str(COUNT), "--admin", admin, "--manhole")
    process = start("serve", "served:Echo", "pb://127.0.0.1:0", *options)
    line = process.stdout.readline()
    assert line.startswith("serving at "), process.communicate()
    return process, line.split()[-1], admin


async def run(name: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command of operators; return status, output and errors."""
    result = await asyncio.to_thread(Runner().invoke, getattr(operating, name), arguments)
    return result.exit_code, result.stdout, result.stderr


async def test_the_commands(serving: tuple[Any, str, str], tmp_path: Path) -> None:
    """They work on the one socket, whose mode is 0600; drain ends all processes with status 0."""
    process, address, admin = serving
    assert (tmp_path / "admin").stat().st_mode & 0o777 == 0o600
    clients = [await broker.connect(address) for _ in range(12)]
    pids = [await client.root.callRemote("pid") for client in clients]
    assert await run("health", admin) == (0, "serving\n", "")
    _, text, _ = await run("inspect", admin, "--json")
    found = json.loads(text)
    assert found["server"]["open"] == 12 and found["server"]["pid"] == process.pid
    of_process = {each["number"]: each["pid"] for each in found["server"]["processes"]}
    assert sorted(of_process.values()) == sorted({*pids, *of_process.values()})
    shown = sorted(of_process[row["process"]] for row in found["connections"])
    assert shown == sorted(pids)
    _, text, _ = await run("inspect", admin)
    assert "process 1: " in text and "12 open of 12" in text
    number = found["connections"][5]["number"]
    assert await run("kick", admin, str(number)) == (0, "1 connection ended\n", "")
    waiting = next(each for each in clients if not each.is_closed).root.callRemote("wait", 0.5)
    assert await run("drain", admin, "--drain", "20") == (0, "", "")
    assert await waiting == "waited"
    _, errors = await asyncio.to_thread(process.communicate, timeout=20)
    assert process.returncode == 0 and "Traceback" not in errors
    assert not (tmp_path / "admin").exists()


async def test_a_process_that_dies(serving: tuple[Any, str, str]) -> None:
    """It is gone from the view, the rest goes on, and another process takes its place."""
    process, address, admin = serving
    async with broker.connect(admin) as operator:
        inspection: Inspection = operator.root.of(Administration)
        before = {each.pid for each in (await inspection.server()).processes}
        with pytest.raises(broker.PBConnectionLost):
            async with broker.connect(address) as connection:
                pid = await connection.root.callRemote("pid")
                await connection.root.callRemote("die")
        async with asyncio.timeout(30):
            async for now in inspection.watch(0.1):
                pids = {each.pid for each in now.processes}
                assert before - {pid} <= pids
                if len(pids) == COUNT and pid not in pids:
                    break
        # The process for operators, too, is started again.
        shown = (await run("inspect", admin, "--json"))[1]
        assert json.loads(shown)["server"]["state"] in ("serving", "overloaded")
        (operators,) = children(process.pid) - pids
        os.kill(operators, signal.SIGKILL)
        await operator.wait_closed()
    async with asyncio.timeout(30):
        while (await run("health", admin))[0] != 0:
            await asyncio.sleep(0.05)
    process.terminate()
    _, errors = await asyncio.to_thread(process.communicate, timeout=20)
    assert process.returncode == 0
    assert "the process for operators ended (-9)" in errors


def children(pid: int) -> set[int]:
    """Return the children of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(each) for each in text.split()}


async def test_ctrl_c_at_a_terminal(tmp_path: Path) -> None:
    """Ctrl-C, which a terminal sends to all its processes, is the first signal, not the second."""
    (tmp_path / "served.py").write_text(MODULE)
    arguments = ("serve", "served:Echo", "pb://127.0.0.1:0", "--processes", "2")
    with Terminal.of_pb(tmp_path, *arguments) as terminal:
        await asyncio.to_thread(terminal.until, "serving at ")
        address = (await asyncio.to_thread(terminal.until, "\n")).strip()
        async with broker.connect(address) as connection:
            waiting = connection.root.callRemote("wait", 0.5)
            await connection.root.callRemote("pid")
            terminal.type("\x03")
            assert await waiting == "waited"
        assert await asyncio.to_thread(terminal.ended) == 0
        assert "Traceback" not in terminal.shown
