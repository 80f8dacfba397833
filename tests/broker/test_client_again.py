"""Programs that connect again: ``async for`` over connect, and ``await`` with a Retry."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.retry import Retry
from broker.stopping import Notice
from broker.testing.clock import virtual_clock
from cred import UsernamePassword
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.error import UnauthorizedLogin
from cred.portal import Portal

A, B, C = "pb://a:1", "pb://b:2", "pb://c:3"


class Echo(broker.Root):
    """Returns what came."""

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


async def test_the_loop(net: MemoryNet) -> None:
    """Each turn has a new connection, after an end, and after a body that is done with it."""
    net.serve(A, Echo())
    turns = []
    with virtual_clock():
        async for connection in broker.connect(A, policy=POLICY):
            turns.append(connection)
            assert await connection.root.callRemote("echo", len(turns)) == len(turns)
            if len(turns) == 1:
                net.crash(A)
                net.serve(A, Echo())
                with pytest.raises(broker.Disconnected):
                    await connection.root.callRemote("echo", 0)
                continue
            if len(turns) == 3:
                break
        assert [connection.is_closed for connection in turns[:2]] == [True, True]
        await turns[2].wait_closed()
    assert len(set(turns)) == 3


async def test_the_loop_waits_until_a_drained_connection_ends(net: MemoryNet) -> None:
    """It does nothing on *draining*; after the end it waits as long as the server has said."""
    server = net.serve(A, Echo(), notice=Notice(40.0))
    with virtual_clock() as clock:
        async for connection in broker.connect(A, policy=POLICY):
            if net.dialled[A] == 1:
                await server.close()
                began = clock.elapsed
                assert connection.draining == Notice(40.0)
                net.serve(A, Echo())
                continue
            assert 40.0 <= clock.elapsed - began <= 40.6
            break
    assert net.dialled[A] == 2


async def test_an_error_leaves_the_loop(net: MemoryNet) -> None:
    """An exception of the body leaves it, and the connection is closed."""
    net.serve(A, Echo())
    kept = []
    with pytest.raises(KeyError):
        async for connection in broker.connect(A, policy=POLICY):
            kept.append(connection)
            raise KeyError("the program's own")
    await kept[0].wait_closed()


async def test_a_refused_login_ends_the_loop(net: MemoryNet) -> None:
    """A wrong password is raised at once, and is not tried again."""
    users = InMemoryUsernamePasswordDatabaseDontUse(ann=b"wonderland")
    net.serve(A, Portal(broker.realm(lambda who, mind: Echo()), [users]))
    with pytest.raises(UnauthorizedLogin):
        async for _ in broker.connect(A, UsernamePassword("ann", "guess"), policy=POLICY):
            raise AssertionError("no connection")
    assert net.dialled[A] == 1


async def test_await_with_retry(net: MemoryNet) -> None:
    """``await`` tries again if there is a Retry, and once if there is none."""
    with virtual_clock() as clock:
        with pytest.raises(broker.ConnectionRefusedError):
            await broker.connect(A, policy=POLICY)
        assert net.dialled[A] == 1
        asyncio.get_running_loop().call_later(20, net.serve, A, Echo())
        connection = await broker.connect(A, policy=POLICY, retry=Retry())
        assert clock.elapsed >= 20
        await connection.close()
        net.crash(A)
        began = clock.elapsed
        with pytest.raises(broker.ConnectionRefusedError):
            await broker.connect(A, policy=POLICY, retry=Retry(give_up_after=90.0))
        assert clock.elapsed - began == pytest.approx(90.0, abs=0.1)


async def test_several_addresses_without_retry(net: MemoryNet) -> None:
    """Each is tried once, within the time limit of all."""
    net.serve(C, Echo())
    for _ in range(5):
        async with broker.connect((A, B, C), policy=POLICY) as connection:
            assert await connection.root.callRemote("echo", 1) == 1
    net.crash(C)
    net.dialled.clear()
    with pytest.raises(broker.ConnectionRefusedError):
        await broker.connect((A, B, C), policy=POLICY)
    assert net.dialled == {A: 1, B: 1, C: 1}


async def test_a_token_that_expires_each_second(net: MemoryNet) -> None:
    """The credentials are asked for anew for each login, by a plain or an async function."""

    class Tokens(InMemoryUsernamePasswordDatabaseDontUse):
        """Takes the password of this second."""

        def requestAvatarId(self, credentials: Any) -> Any:
            """Check it."""
            self.users = {"ann": str(int(asyncio.get_running_loop().time())).encode()}
            return super().requestAvatarId(credentials)

    asked: list[str] = []

    async def later() -> UsernamePassword:
        return now()

    def now() -> UsernamePassword:
        asked.append(str(int(asyncio.get_running_loop().time())))
        return UsernamePassword("ann", asked[-1])

    target = Portal(broker.realm(lambda who, mind: Echo()), [Tokens(), AllowAnonymousAccess()])
    with virtual_clock():
        net.serve(A, target)
        for function in (now, later):
            turns = 0
            async for connection in broker.connect(A, function, policy=POLICY):
                assert connection.peer.mechanism == "SCRAM-SHA-256" or connection.avatar
                turns += 1
                await asyncio.sleep(2)
                if turns == 5:
                    break
    assert len(set(asked)) == len(asked) == 10


async def test_credentials_of_a_service_that_is_down(net: MemoryNet) -> None:
    """A ConnectionError of the function is tried again; another error is raised."""
    users = InMemoryUsernamePasswordDatabaseDontUse(ann=b"wonderland")
    net.serve(A, Portal(broker.realm(lambda who, mind: Echo()), [users]))
    answers: list[Any] = [ConnectionError("x"), TimeoutError("x"), KeyError("no user")]

    async def token() -> UsernamePassword:
        answer = answers.pop(0)
        raise answer

    with virtual_clock(), pytest.raises(KeyError, match="no user"):
        await broker.connect(A, token, policy=POLICY, retry=Retry())
    assert (answers, net.dialled[A]) == ([], 0)


@pytest.mark.timeout(60)
async def test_a_herd(net: MemoryNet) -> None:
    """Two thousand clients of a server that restarts come back spread over the first delay."""
    addresses = (A,)
    with virtual_clock() as clock:
        server = net.serve(A, Echo())
        back: list[float] = []

        async def client() -> None:
            first = True
            async for connection in broker.connect(
                addresses, policy=POLICY, retry=Retry(first=10.0, healthy_after=1.0)
            ):
                if not first:
                    back.append(clock.elapsed)
                    return
                first = False
                await connection.wait_closed()

        tasks = [asyncio.create_task(client()) for _ in range(2000)]
        while len(server.connections) < 2000:
            await asyncio.sleep(1)
        await asyncio.sleep(5)
        crashed = clock.elapsed
        net.crash(A)
        net.serve(A, Echo())
        await asyncio.gather(*tasks)
        spread = [int(each - crashed) for each in back]
    counts = [spread.count(second) for second in range(10)]
    assert sum(counts) >= 1990
    assert all(120 < count < 290 for count in counts)
