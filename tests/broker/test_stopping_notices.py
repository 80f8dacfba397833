"""Notices of a server that drains: when and where clients may come again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import broker
from broker.stopping import NO_NOTICE, Notice, checked_notice, close_all, drained
from broker.testing import pair
from cred import UsernamePassword
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"
OTHERS = ("pbs://b.example", "pb://127.0.0.1:9")
DIALECTS = ["msgpack/1", "pb"]


class Slow(broker.Root):
    """Has a method that answers when it is told to."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.release = asyncio.Event()

    async def remote_slow(self) -> str:
        """Wait."""
        self.reached.set()
        await self.release.wait()
        return "done"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("way", ["serve", "close"])
async def test_a_notice(dialect: str, way: str) -> None:
    """It comes at once in ``msgpack/1``; its fields are those of the refusals in all dialects."""
    root, policy = Slow(), broker.STRICT.but(dialects=(dialect,))
    notice: dict[str, Any] = {"after": 2.5, "elsewhere": list(OTHERS)}
    at_first = notice if way == "serve" else {"after": 9.0, "elsewhere": ["pb://other"]}
    server = await broker.serve(root, LOOPBACK, policy=policy, **at_first)
    connection = await broker.connect(server.addresses[0], policy=policy)
    running = connection.root.callRemote("slow")
    await root.reached.wait()
    assert connection.draining is None
    closing = asyncio.create_task(server.close(**({} if way == "serve" else notice)))
    if dialect == "msgpack/1":
        assert await connection.wait_draining() == Notice(2.5, OTHERS)
        assert await connection.wait_draining() == connection.draining
    for _ in range(2):
        with pytest.raises(broker.ServerDraining) as caught:
            await connection.root.callRemote("slow")
        assert (caught.value.after, tuple(caught.value.elsewhere)) == (2.5, OTHERS)
    assert not closing.done()
    root.release.set()
    assert await running == "done"
    await closing
    await connection.wait_closed()


async def test_the_last_notice_counts() -> None:
    """A server may say it again, with other fields."""
    root = Slow()
    server = await broker.serve(root, LOOPBACK)
    connection = await broker.connect(server.addresses[0])
    running = connection.root.callRemote("slow")
    await root.reached.wait()
    first = asyncio.create_task(server.close(after=1.0))
    assert await connection.wait_draining() == Notice(1.0)
    second = asyncio.create_task(server.close(after=2.0))
    while connection.draining != Notice(2.0):
        await asyncio.sleep(0)
    with pytest.raises(broker.ServerDraining) as caught:
        await connection.root.callRemote("slow")
    assert caught.value.after == 2.0
    root.release.set()
    await asyncio.gather(running, first, second)
    await connection.wait_closed()


async def test_a_connection_that_ends_without_a_notice() -> None:
    """``wait_draining`` returns None then, for each that waits."""
    server = await broker.serve(Slow(), LOOPBACK)
    connection = await broker.connect(server.addresses[0])
    waits = [asyncio.create_task(connection.wait_draining()) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()
    await server.close(drain=0)
    assert await asyncio.gather(*waits[1:]) == [None, None]
    assert await connection.wait_draining() is None


async def test_a_login_while_the_server_drains() -> None:
    """It is refused with the same fields."""
    root = Slow()
    users = InMemoryUsernamePasswordDatabaseDontUse(ann=b"x")

    class Avatar(broker.Avatar):
        """Waits."""

        async def perspective_slow(self) -> str:
            """Wait."""
            return await root.remote_slow()

    target = Portal(broker.realm(lambda who, mind: Avatar()), [users])
    server = await broker.serve(target, LOOPBACK, after=4.0, elsewhere=OTHERS)
    address = server.addresses[0]
    async with broker.connect(address, UsernamePassword("ann", "x")) as connection:
        running = connection.avatar.callRemote("slow")
        await root.reached.wait()
        # Without credentials there is no login yet.
        late = await broker.connect(address)
        closing = asyncio.create_task(server.close())
        await late.wait_draining()
        logins: Any = server._logins
        with pytest.raises(broker.ServerDraining) as caught:
            logins.check_open()
        assert (caught.value.after, caught.value.elsewhere) == (4.0, OTHERS)
        root.release.set()
        assert await running == "done"
        await closing


async def test_the_codes_of_goodbyes() -> None:
    """The error of the connection, and that of its calls, tell the code of the peer's goodbye."""
    for code in ("kicked", "replaced", "slow", "closing", "unheard-of"):
        root = Slow()
        server = await broker.serve(root, LOOPBACK)
        connection = await broker.connect(server.addresses[0])
        running = connection.root.callRemote("slow")
        await root.reached.wait()
        server.connections[0].broker.leave(code, "a reason")
        with pytest.raises(broker.PBConnectionLost) as caught:
            await running
        reason: Any = connection.broker.reason
        assert (caught.value.goodbye, reason.goodbye) == (code, code)
        assert broker.is_transient(caught.value) == (code != "replaced")
        await server.close(drain=0)


async def test_a_call_on_its_way_to_a_server_that_has_drained() -> None:
    """It has not run, and says so: the goodbye comes behind the answers of all calls that have."""
    async with pair(Slow()) as ends:
        ends.network.to_server.delay = 1.0
        call = ends.client.root.callRemote("slow")
        await drained([ends.server.broker], 5.0)
        await close_all([ends.server.broker], 5.0, "the end", at_once=False)
        with pytest.raises(broker.PBConnectionLost, match="the end") as caught:
            await call
        assert (caught.value.goodbye, caught.value.may_have_run) == ("draining", False)


@pytest.mark.parametrize(
    ("after", "elsewhere"),
    [
        (-1, ()),
        ("1", ()),
        (True, ()),
        (float("nan"), ()),
        (float("inf"), ()),
        (2**31, ()),
        (0, "pb://b"),
        (0, [3]),
        (0, ["pb://b"] * 9),
        (0, ["pb://" + "b" * 256]),
        (0, None),
    ],
)
async def test_wrong_notices(after: Any, elsewhere: Any) -> None:
    """What the wire cannot carry is refused, by ``serve`` and by ``close``."""
    with pytest.raises(broker.ConfigError):
        checked_notice(after, elsewhere)
    with pytest.raises(broker.ConfigError):
        broker.serve(Slow(), LOOPBACK, after=after, elsewhere=elsewhere)
    with pytest.raises(broker.ConfigError, match="not understood"):
        broker.serve(Slow(), LOOPBACK, elsewhere=["nonsense"])


def test_no_notice() -> None:
    """By default nothing is known."""
    assert checked_notice(0, []) == NO_NOTICE == Notice(0.0, ())
