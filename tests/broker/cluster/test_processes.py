"""Nodes that are processes, with the real server of an engine: killed, paused, started again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.cluster_node import NodeProcess
from support.clusters import Certificates
from support.topics_worlds import WORLDS, World, running_world

pytestmark = pytest.mark.timeout(120)

LEASE = 1.5


@pytest.fixture(params=[kind for kind in WORLDS if kind != "memory"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The server of each engine that has one."""
    folder = tmp_path / "server"
    folder.mkdir()
    with running_world(request.param, folder) as world:
        yield world


@asynccontextmanager
async def nodes(
    server: World, folder: Path, count: int, lease: float = LEASE
) -> AsyncIterator[list[NodeProcess]]:
    """Run nodes as processes."""
    Certificates(folder)
    made: list[NodeProcess] = []
    try:
        starting = (NodeProcess.start(server.url, folder, lease) for _ in range(count))
        made += await asyncio.gather(*starting)
        yield made
    finally:
        for node in made:
            await node.kill()


async def test_a_killed_node(server: World, tmp_path: Path) -> None:
    """When the node of a name is killed, the next asker gets a new object, at one node."""
    async with nodes(server, tmp_path, 3) as (one, other, third):
        pid = str(one.process.pid)
        assert await one.ask("activate", "a") == f"1 {pid}"
        assert await other.ask("activate", "a") == f"2 {pid}"
        assert await third.ask("count", "a") == f"3 {pid}"
        await one.kill()
        # Both ask while the lease of the dead node still holds, and one of them gets the name.
        answers = await asyncio.gather(other.ask("activate", "a"), third.ask("activate", "a"))
        counts, pids = zip(*(answer.split() for answer in answers), strict=True)
        assert sorted(counts) == ["1", "2"]
        assert set(pids) < {str(other.process.pid), str(third.process.pid)}


async def test_nobody_activates(server: World, tmp_path: Path) -> None:
    """The name of a killed node that nobody activates is told to be nobody's, within two leases."""
    async with nodes(server, tmp_path, 2) as (one, other):
        assert int(await one.ask("export", "a")) > 0
        assert await other.ask("count", "a") == f"1 {one.process.pid}"
        await one.kill()
        assert await other.ask("count", "a") == "NoSuchObject: no node has 'a'"


async def test_a_race_of_processes(server: World, tmp_path: Path) -> None:
    """Of three processes that ask for the same names at once, one makes each object."""
    async with nodes(server, tmp_path, 3, lease=20.0) as members:
        for name in (f"r.{n}" for n in range(20)):
            answers = await asyncio.gather(*(node.ask("activate", name) for node in members))
            counts, pids = zip(*(answer.split() for answer in answers), strict=True)
            assert (sorted(counts), len(set(pids))) == (["1", "2", "3"], 1)


async def test_a_paused_node(server: World, tmp_path: Path) -> None:
    """A node that was stopped for longer than its lease does not serve what another has taken."""
    async with nodes(server, tmp_path, 3) as (one, other, third):
        first = int(await one.ask("export", "a"))
        assert await other.ask("count", "a") == f"1 {one.process.pid}"
        os.kill(one.process.pid, signal.SIGSTOP)
        try:
            while not (taken := await third.ask("export", "a")).isdigit():
                assert taken.startswith("NameTaken"), taken
        finally:
            os.kill(one.process.pid, signal.SIGCONT)
        assert int(taken) > first
        assert await one.ask("number", "a") == "None"
        for node in (one, other):
            assert (await node.ask("count", "a")).endswith(f" {third.process.pid}")


async def test_the_server_restarts(server: World, tmp_path: Path) -> None:
    """A server that is away for less than a lease is not noticed; numbers go on after it."""
    async with nodes(server, tmp_path, 2, lease=20.0) as (one, other):
        first = int(await one.ask("export", "a"))
        await asyncio.to_thread(server.kill)
        other.send("count", "a")
        await asyncio.to_thread(server.start)
        assert await other.answer() == f"1 {one.process.pid}"
        assert int(await one.ask("number", "a")) == first
        assert int(await other.ask("export", "b")) > first


async def test_the_server_is_away(server: World, tmp_path: Path) -> None:
    """Without the server, nodes say so in time, and serve no names after their leases."""
    async with nodes(server, tmp_path, 2) as (one, other):
        first = int(await one.ask("export", "a"))
        await asyncio.to_thread(server.kill)
        answer = await other.ask("count", "a")
        assert answer.startswith("Disconnected: the directory of names cannot be used"), answer
        while await one.ask("number", "a") != "None":
            await asyncio.sleep(0.05)
        await asyncio.to_thread(server.start)
        # The node has its name again, by a new claim.
        while (again := await one.ask("number", "a")) == "None":
            await asyncio.sleep(0.05)
        assert int(again) > first
        assert await other.ask("count", "a") == f"1 {one.process.pid}"
