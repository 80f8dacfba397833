"""connect: its connection, and how it ends before there is one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import broker
from broker.client import connect
from broker.core.policy import Policy
from broker.net import sockets
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import Anonymous, UsernamePassword
from cred.error import UnauthorizedLogin
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"


class Echo(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


def portal(realm: Any = None) -> Portal:
    """Return a portal for guests and for alice."""
    make = realm or (lambda avatar_id, mind: broker.Avatar())
    checkers = [AllowAnonymousAccess(), InMemoryUsernamePasswordDatabaseDontUse(alice="secret")]
    return Portal(broker.realm(make), checkers)


async def test_connection() -> None:
    """A connection tells its peer, dialect and counts, and that it is closed."""
    async with broker.serve(Echo(), LOOPBACK) as server:
        connection = await connect(server.addresses[0])
        assert await connection.root.callRemote("echo", 1) == 1
        assert connection.dialect == "msgpack/1"
        assert str(connection.peer.address) == server.addresses[0].removeprefix("pb://")
        assert connection.peer.avatar_id is connection.peer.certificate is None
        assert connection.stats.calls_made == 1
        assert connection.stats.bytes_sent > 0
        assert not connection.is_closed
        await connection.close()
        assert connection.is_closed
        await connection.close()
        await connection.wait_closed()


async def test_leaving_the_block_closes() -> None:
    """The block ends with the connection closed, also after an exception."""
    async with broker.serve(Echo(), LOOPBACK) as server:
        async with connect(server.addresses[0]) as connection:
            pass
        assert connection.is_closed
        with pytest.raises(ZeroDivisionError):
            async with connect(server.addresses[0]) as connection:
                raise ZeroDivisionError
        assert connection.is_closed


async def test_root_and_avatar() -> None:
    """The wrong one of root and avatar raises and names the other."""
    async with broker.serve(portal(), LOOPBACK) as server:
        async with connect(server.addresses[0], Anonymous()) as connection:
            assert isinstance(connection.avatar, broker.RemoteReference)
            with pytest.raises(AttributeError, match=r"use connection\.avatar"):
                _ = connection.root
        async with connect(server.addresses[0]) as connection:
            with pytest.raises(AttributeError, match=r"use connection\.root"):
                _ = connection.avatar


async def test_a_connect_can_be_used_again() -> None:
    """What ``connect`` returns is a plan: awaited twice, it makes two connections."""
    async with broker.serve(Echo(), LOOPBACK) as server:
        plan = connect(server.addresses[0])
        first, second = await plan, await plan
        assert first is not second
        assert len(server.connections) == 2
        await first.close()
        assert await second.root.callRemote("echo", 2) == 2
        await second.close()


async def test_cancelled_while_logging_in() -> None:
    """Cancelling a connect closes the connection that it had begun."""
    entered = asyncio.Event()

    async def slow(avatar_id: Any, mind: Any) -> broker.Avatar:
        entered.set()
        await asyncio.sleep(30)
        return broker.Avatar()

    async with broker.serve(portal(slow), LOOPBACK) as server:
        task = asyncio.create_task(_opened(connect(server.addresses[0], Anonymous())))
        await entered.wait()
        (far,) = server.connections
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await far.wait_closed()


async def test_a_refused_login_closes() -> None:
    """After a refused login nothing stays connected."""
    async with broker.serve(portal(), LOOPBACK) as server:
        with pytest.raises(UnauthorizedLogin):
            await connect(server.addresses[0], UsernamePassword("alice", "wrong"))
        for far in server.connections:
            await far.wait_closed()
        assert server.stats.accepted == server.stats.closed == 1


async def test_server_that_leaves_during_the_login() -> None:
    """A server that goes before the login is done is an error that names the server."""

    def leave(avatar_id: Any, mind: Any) -> broker.Avatar:
        broker.current_call().connection.broker.transport.abortConnection()
        return broker.Avatar()

    async with broker.serve(portal(leave), LOOPBACK) as server:
        address = server.addresses[0]
        with pytest.raises(broker.PBConnectionLost) as caught:
            await connect(address, Anonymous())
    assert str(caught.value) == (f"the connection to {address} ended: the peer cut the connection")


async def test_timeout_of_connecting() -> None:
    """A host that does not answer is given up after ``timeout`` seconds."""
    policy = Policy(insecure_plaintext=True)
    # A backlog of nothing, filled: the kernel answers no further SYN.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        host, port = deaf.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((host, port))
        with pytest.raises(broker.ConnectError, match=r"no answer from 127\.0\.0\.1:\d+ in 0"):
            await connect(f"pb://{host}:{port}", policy=policy, timeout=0.1)
        for filler in fillers:
            filler.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """Where the kernel accepts connections, and nobody says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(("scheme", "step"), [("pb", r"\(offer\)"), ("pbs", r"\(TLS handshake\)")])
async def test_timeout_of_the_first_words(silent: str, scheme: str, step: str) -> None:
    """``timeout`` bounds the offer and the TLS handshake too, and the text says which it was."""
    address = f"{scheme}://{silent}"
    with pytest.raises(
        broker.errors.TimeoutError, match=f"^no connection to {address} in 0.1 s {step}"
    ):
        await connect(address, timeout=0.1)


async def test_timeout_of_a_login() -> None:
    """``timeout`` bounds the login too; the server sees the connection end."""

    async def slow(avatar_id: Any, mind: Any) -> broker.Avatar:
        await asyncio.sleep(30)
        return broker.Avatar()

    async with broker.serve(portal(slow), LOOPBACK) as server:
        with pytest.raises(broker.ConnectError, match=r"in 0\.2 s \(login\)$"):
            await connect(server.addresses[0], Anonymous(), timeout=0.2)
        for far in server.connections:
            await far.wait_closed()


async def test_timeout_of_a_command() -> None:
    """``timeout`` bounds the first words of a command too, which is ended then."""
    with pytest.raises(broker.ConnectError, match=r"in 0\.1 s \(offer\)$"):
        await connect("pb+exec:cat", timeout=0.1)


async def test_timeout_of_the_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """``timeout`` bounds looking the name up."""

    async def never(*args: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(sockets, "_resolve", never)
    with pytest.raises(
        broker.ConnectError,
        match=r"^no connection to a\.example:8787 in 0\.1 s \(name lookup\)$",
    ):
        await connect("pbs://a.example", timeout=0.1)


async def test_a_timeout_of_the_caller_is_its_own(silent: str) -> None:
    """A limit around ``connect`` that comes first ends it as that limit says."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await connect(f"pb://{silent}", timeout=5)


async def _opened(plan: Any) -> Any:
    return await plan
