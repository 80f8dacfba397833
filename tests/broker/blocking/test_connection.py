"""``blocking.connect``, and the connection that it returns."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.shop import DIALECTS, Shop, policy_of, shop

import broker
import cred
from broker import blocking


class User(broker.Avatar):
    """An avatar."""

    def __init__(self, name: str, mind: Any):
        self.name = name
        self.mind = mind

    def perspective_name(self) -> str:
        """Return the user."""
        return self.name

    async def perspective_ask(self) -> Any:
        """Call the mind."""
        return await self.mind.callRemote("hear", broker.callback(print))


class Mind(broker.Referenceable):
    """The object of the client."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def remote_hear(self, value: Any) -> str:
        """Note the value."""
        self.heard.append(value)
        return "heard"


@broker.realm
def users(avatar_id: str, mind: Any) -> User:
    """Make an avatar."""
    return User(avatar_id, mind)


def portal() -> Any:
    """A portal with one user."""
    checker = cred.checkers.InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    return cred.portal.Portal(users, [checker])


def credentials(password: str) -> Any:
    """Of alice."""
    return cred.credentials.UsernamePassword("alice", password)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_login(dialect: str) -> None:
    """With credentials the connection has an avatar; the server may call the mind."""
    policy = policy_of(dialect)
    mind = Mind()
    with (
        blocking.serve(portal(), "pb://127.0.0.1:0", policy=policy) as server,
        blocking.connect(
            server.addresses[0], credentials("wonderland"), mind=mind, policy=policy
        ) as connection,
    ):
        assert connection.avatar.callRemote("name") == "alice"
        assert connection.avatar.callRemote("ask") == "heard"
        # A method in the loop's thread gets the references of the async form.
        assert type(mind.heard[0]) is broker.RemoteReference
        with pytest.raises(AttributeError, match=r"use connection\.avatar"):
            _ = connection.root
        assert [peer.avatar_id for peer in (each.peer for each in server.connections)] == ["alice"]
        with pytest.raises(cred.error.LoginFailed):
            blocking.connect(server.addresses[0], credentials("wrong"), policy=policy)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_attributes(dialect: str) -> None:
    """It has the attributes of the async one, and shows its state."""
    with shop(dialect) as (_, connection):
        assert connection.dialect == dialect
        assert not connection.is_closed
        assert connection.stats.calls_made == 0
        there = str(connection.peer.address)
        assert repr(connection) == f"<blocking.Connection to {there}, {dialect}>"
        with pytest.raises(AttributeError, match=r"use connection\.root"):
            _ = connection.avatar
    assert connection.is_closed
    assert repr(connection) == f"<blocking.Connection to {there}, closed>"
    connection.close()
    connection.wait_closed()
    connection.serve_callbacks()


def test_errors_of_connect() -> None:
    """The errors are those of broker.connect; nothing warns of an await that is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(broker.ConfigError):
            blocking.connect("nowhere://a")
        with pytest.raises(broker.ConnectError):
            blocking.connect("pb://127.0.0.1:1")
        with blocking.timeout(0), pytest.raises(broker.CallTimeout):
            blocking.connect("pb://127.0.0.1:1")
        gc.collect()


def test_an_interrupt_when_it_is_open() -> None:
    """A connection that was made when the interrupt came is closed."""
    with shop() as (_, connection):
        address = str(connection.peer.address)
        own = connection._background
        connecting = broker.connect(f"pb://{address}")
        made: list[Any] = []

        def opened(found: Any) -> Any:
            made.append(found)

            async def close(seconds: float) -> None:
                await found.close()

            return close

        wait = own.wait

        def interrupted(make: Any) -> Any:
            wait(make)
            raise KeyboardInterrupt

        own.wait = interrupted  # type: ignore[method-assign]
        try:
            with pytest.raises(KeyboardInterrupt):
                own.open(connecting, opened)
        finally:
            del own.wait  # type: ignore[method-assign]
        own.wait(made[0].wait_closed)
        assert made[0] not in own.opened


def test_run() -> None:
    """run takes any awaitable of the loop: a coroutine, a call, a Deferred."""
    with shop() as (_, connection):
        there = connection.connection.root

        async def work() -> list[Any]:
            return await asyncio.gather(*(there.callRemote("echo", n) for n in range(10)))

        assert connection.run(work()) == list(range(10))
        # A reference of the async form can be called in any thread: the loop makes the call.
        assert connection.run(there.callRemote("echo", 1)) == 1
        assert there.callRemote("hear", 1, pbanswer=False) is None
        there.send("hear", 2)
        assert connection.run(there.callRemote("hear", 3)) is None


def test_run_of_what_is_not_awaitable() -> None:
    """Another value is a TypeError."""
    with shop() as (_, connection), pytest.raises(TypeError):
        connection.run(3)  # type: ignore[arg-type]


def test_iterate() -> None:
    """iterate takes any async iterable, such as a call that returns a stream."""
    with shop() as (_, connection):
        calls = connection.connection.root.callRemote("rows", 3)
        assert list(connection.iterate(calls)) == [0, 1, 2]

        async def squares(count: int) -> AsyncIterator[int]:
            async for row in connection.connection.root.callRemote("rows", count):
                yield row * row

        assert list(connection.iterate(squares(4))) == [0, 1, 4, 9]
        broken = connection.connection.root.callRemote("fail", "x")
        with pytest.raises(broker.Error, match="x"):
            list(connection.iterate(broken))
        not_a_stream = connection.connection.root.callRemote("echo", 1)
        with pytest.raises(TypeError, match="'echo' returned int, not a stream"):
            list(connection.iterate(not_a_stream))


def test_an_error_leaves_the_block() -> None:
    """An error in the block closes the connection, and is raised."""
    with pytest.raises(KeyError), shop() as (_, connection):
        raise KeyError
    assert connection.is_closed


def test_what_is_closed_is_forgotten() -> None:
    """A closed connection or server is not kept for the exit of the interpreter."""
    with shop() as (_, connection):
        own = connection._background
        assert connection.connection in own.opened
    assert connection.connection not in own.opened


def test_wait_closed() -> None:
    """wait_closed and serve_callbacks return when the peer has closed the connection."""
    here = Shop()
    for name in ("wait_closed", "serve_callbacks"):
        with blocking.serve(here, "pb://127.0.0.1:0") as server:
            connection = blocking.connect(server.addresses[0])
            thread = threading.Thread(target=getattr(connection, name))
            thread.start()
        thread.join(20)
        assert not thread.is_alive()
        assert connection.is_closed


def test_calls_that_wait_when_it_ends() -> None:
    """A thread that waits gets PBConnectionLost when another closes the connection."""
    with shop() as (here, connection):
        errors: list[BaseException] = []

        def work() -> None:
            try:
                connection.root.callRemote("slow")
            except broker.PBConnectionLost as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        here.until("began")
        connection.close()
        thread.join(20)
        assert len(errors) == 1
