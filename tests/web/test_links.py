"""Links of the TypeScript client in Node, at servers that are killed, or cut, or drain."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest
from support.programs import environment
from web.node import NODE, with_built_file
from web.shop import Shop, portal

import broker

SOURCE = Path(__file__).parent / "links.ts"
PROGRAM = ContextVar("PROGRAM", default=SOURCE)
ADDRESS = ContextVar("ADDRESS", default="pb://127.0.0.1:0")
Reaction = Callable[[], Awaitable[object]]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True, params=["source", "built"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Use the client of the sources, over TCP, or the built file, over WebSocket."""
    if request.param == "source":
        yield
        return
    program = PROGRAM.set(with_built_file(SOURCE, tmp_path))
    address = ADDRESS.set("ws://127.0.0.1:0")
    yield
    PROGRAM.reset(program)
    ADDRESS.reset(address)


async def play(scenario: str, addresses: list[str], **reactions: Reaction) -> list[str]:
    """Run a scenario of ``links.ts``; return its lines. Reactions are called at their lines."""
    process = await asyncio.create_subprocess_exec(
        NODE,
        "--no-warnings",
        PROGRAM.get(),
        scenario,
        env=os.environ | {"ADDRESSES": " ".join(addresses)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = []
    try:
        while line := (await process.stdout.readline()).decode().strip():
            said.append(line)
            if line in reactions:
                await reactions[line]()
    finally:
        if process.returncode is None and sys.exc_info()[0] is not None:
            process.kill()
        await process.wait()
    assert process.returncode == 0
    return said


class ShopProcess:
    """A server in a process of its own."""

    def __init__(self) -> None:
        self.address = ADDRESS.get()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it has the same address each time."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "web.shop",
            self.address,
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.address = (await self._process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        """Kill it, as the system does."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def restart(self) -> None:
        """Kill it, and start another one."""
        await self.kill()
        await self.start()


@asynccontextmanager
async def shop_process() -> AsyncIterator[ShopProcess]:
    """Start a server in a process of its own."""
    shop = ShopProcess()
    await shop.start()
    try:
        yield shop
    finally:
        await shop.kill()


async def test_a_server_is_killed_and_started_again() -> None:
    """Calls wait for the next connection; recipes and tasks are made anew on it."""
    async with shop_process() as shop:
        said = await play("killed", [shop.address], kill=shop.restart)
    three = ["shop one", "shop two", "shop three"]
    assert sorted(said[:4]) == sorted(["task begun", *three])
    rest = said[said.index("kill") + 1 :]
    assert rest.count("task begun") == 1
    assert rest.count("task aborted ConnectionLost") == 2
    assert ", ".join([*three, "shop"]) in rest
    assert "true connected" in rest
    assert rest[-1] == "ConnectionLost: not run: the link is closed false"


async def test_a_call_runs_at_most_once_over_cut_connections() -> None:
    """A call with a key whose connection is cut gets its reply on the next one, and ran once."""
    shop = Shop()
    shop.cut = 3
    async with broker.serve(portal(shop), ADDRESS.get(), replies=broker.Replies()) as server:
        said = await play("cut", [server.addresses[0]])
    refused = "TypeError: once needs the avatar, the root or a recipe of a link"
    lost = said.pop(2)
    assert lost.startswith("ConnectionLost: ")
    assert lost.endswith(" true")
    assert said == ["3", "6", "12", refused, refused]
    assert (shop.runs, shop.sold, shop.logins) == (4, 12, 4)


async def test_a_call_is_not_repeated_to_another_run_of_the_server() -> None:
    """A server that was killed has no replies: the call may have run, and the next one runs."""
    async with shop_process() as shop:
        said = await play("restarted", [shop.address], reached=shop.restart)
    assert said == ["reached", "ConnectionLost: the server was restarted true", "3"]


async def test_a_server_without_replies() -> None:
    """A call with a key is not made at a server that keeps no replies."""
    shop = Shop()
    async with broker.serve(portal(shop), ADDRESS.get()) as server:
        said = await play("unkept", [server.addresses[0]])
    assert said == ["TypeError: the server keeps no replies"]
    assert shop.runs == 0


async def test_a_server_drains() -> None:
    """A link moves to the address that the server names; no call fails, also none that runs."""
    first, second = Shop("first"), Shop("second")
    async with (
        broker.serve(portal(first), ADDRESS.get()) as one,
        broker.serve(portal(second), ADDRESS.get()) as two,
    ):
        draining: list[asyncio.Task[None]] = []

        async def drain() -> None:
            closing = one.close(drain=20, elsewhere=[two.addresses[0]])
            draining.append(asyncio.ensure_future(closing))

        async def end() -> None:
            first.release.set()

        said = await play("drained", [one.addresses[0]], reached=drain, moved=end)
        await asyncio.gather(*draining)
    assert said[:-1] == [
        "first one",
        "reached",
        "moving",
        "true second one",
        "moved",
        "hung at first",
    ]
    # Either end may be the first to say goodbye.
    assert said[-1] in ("second one left moved", "second one left draining")


async def test_a_server_drains_without_a_running_call() -> None:
    """A call that the server has not run when it closes is made at the other server."""
    first, second = Shop("first"), Shop("second")
    async with (
        broker.serve(portal(first), ADDRESS.get()) as one,
        broker.serve(portal(second), ADDRESS.get()) as two,
    ):

        async def drain() -> None:
            await one.close(drain=20, elsewhere=[two.addresses[0]])

        said = await play("idle", [one.addresses[0]], drain=drain)
    assert said == ["drain", "second"]


async def test_no_server() -> None:
    """A call waits for its patience, its deadline or its signal; at most 1,000 wait."""
    async with shop_process() as shop:
        said = await play("alone", [shop.address], kill=shop.kill)
    assert said == [
        "kill",
        "ConnectionLost: not run: no connection in 0.2 s false",
        "TimeoutError",
        "ConnectionLost: not run: no connection in 0.03 s false",
        "ConnectionLost: not run: 1000 calls wait for a connection false",
        "2",
        "ConnectionLost: not run: the link is closed false",
    ]


async def test_what_ends_a_link() -> None:
    """A refused login, an error of a task and a signal end it; wrong recipes fail their calls."""
    async with broker.serve(portal(Shop()), ADDRESS.get()) as server:
        said = await play("ends", [server.addresses[0]])
    assert said == [
        "UnauthorizedLogin",
        "RangeError: a task fails failed",
        "RangeError: a task fails",
        "TypeError: this link has a login: use avatar",
        "TypeError: a recipe cannot hold a reference of one connection",
        "BrokenPromise",
        "TypeError: a recipe has returned something that is not a reference",
        "true",
        "aborted",
    ]
