"""Methods of the client that the server calls, in the loop and in a thread."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from support.shop import DIALECTS, Ear, shop

import broker
from broker import blocking


class Client(broker.Referenceable):
    """What the server calls.

    Attributes:
        names: the threads in which the methods ran.
    """

    def __init__(self, connection: blocking.Connection) -> None:
        self.connection = connection
        self.names: list[str] = []
        self.order: list[int] = []
        self.may_go = threading.Event()
        self.began = threading.Event()

    def _note(self) -> None:
        self.names.append(threading.current_thread().name)

    def remote_plain(self, number: int = 0) -> int:
        """Note it."""
        self._note()
        self.order.append(number)
        return number

    async def remote_later(self, number: int = 0) -> int:
        """Note it, in a coroutine."""
        self._note()
        await asyncio.sleep(0)
        return number

    def remote_waits(self, there: Any) -> Any:
        """Call the server, and wait."""
        self._note()
        return there.callRemote("echo", [broker.current_call().peer is not None])

    def remote_stuck(self) -> None:
        """Wait until it may go on."""
        self.began.set()
        self.may_go.wait(20)

    def remote_awaitable(self, kind: str = "") -> Any:
        """Return an awaitable."""
        return self._fails(kind) if kind else self.remote_later(5)

    async def _fails(self, kind: str) -> None:
        self.remote_raises(kind)

    def remote_raises(self, kind: str) -> None:
        """Raise."""
        kinds: dict[str, BaseException] = {
            "error": broker.Error("no"),
            "exit": SystemExit(),
            "stop": StopIteration(),
            "type": TypeError("wrong"),
            "arguments": broker.WrongArguments("those of another call"),
        }
        raise kinds[kind]

    def remote_copied(self, value: Any) -> Any:
        """Return what it got, and its types."""
        return [type(value[0]).__name__, value[0]]


THREAD = "broker.blocking callbacks"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_in_the_loop(dialect: str) -> None:
    """Without serve_callbacks the methods run in the loop's thread."""
    with shop(dialect) as (_, connection):
        client = Client(connection)
        for name in ("plain", "later"):
            assert connection.root.callRemote("call_back", client, name, 3) == 3
        assert client.names == ["broker.blocking"] * 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_in_a_thread(dialect: str) -> None:
    """With a thread, plain methods run in it, in their order, and may call the server."""
    with shop(dialect) as (_, connection):
        client = Client(connection)
        # Called before, and kept, so that the quick path knows its methods.
        connection.root.callRemote("keep", client)
        assert connection.root.callRemote("call_back", client, "plain", 3) == 3
        client.names.clear()
        client.order.clear()
        connection.serve_callbacks(in_thread=True)
        connection.serve_callbacks(in_thread=True)
        assert connection.root.callRemote("call_often", client, "plain", 50) == list(range(50))
        assert client.order == list(range(50))
        assert set(client.names) == {THREAD}
        client.names.clear()
        me = connection.root.callRemote("me")[0]
        assert connection.root.callRemote("call_back", client, "waits", me) == [True]
        assert connection.root.callRemote("call_back", client, "later", 4) == 4
        assert connection.root.callRemote("call_back", client, "awaitable") == 5
        assert client.names == [THREAD, "broker.blocking", "broker.blocking"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_references_in_arguments(dialect: str) -> None:
    """The arguments of a method in the thread have References, and its results may have them."""
    with shop(dialect) as (_, connection):
        client = Client(connection)
        connection.serve_callbacks(in_thread=True)
        me = connection.root.callRemote("me")[0]
        name, there = connection.root.callRemote("call_back", client, "copied", [me])
        assert name == "Reference"
        assert there == me


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_errors(dialect: str, in_thread: bool) -> None:
    """The peer gets the same errors from methods in the thread as from those in the loop."""
    with shop(dialect) as (here, connection):
        connection.root.callRemote("keep", Client(connection))
        there = blocking.Reference(here.kept[0])
        if in_thread:
            connection.serve_callbacks(in_thread=True)
        with pytest.raises(broker.Error, match="no"):
            there.callRemote("raises", "error")
        with pytest.raises(broker.NoSuchMethod):
            there.callRemote("absent")
        with pytest.raises(broker.WrongArguments, match="plain: takes from 1 to 2 positional"):
            there.callRemote("plain", 1, 2, 3)
        for kind in ("type", "arguments"):
            with pytest.raises(broker.RemoteError):
                there.callRemote("raises", kind)
        with pytest.raises(broker.RemoteError):
            there.callRemote("awaitable", "arguments")
        assert there.callRemote("plain", 1) == 1


def test_exits_in_the_thread() -> None:
    """SystemExit and StopIteration in a method end its call, and the thread goes on."""
    with shop() as (here, connection):
        connection.root.callRemote("keep", Client(connection))
        there = blocking.Reference(here.kept[0])
        connection.serve_callbacks(in_thread=True)
        for kind in ("exit", "stop"):
            with pytest.raises(broker.RemoteError):
                there.callRemote("raises", kind)
        assert there.callRemote("plain", 1) == 1


def test_async_methods_do_not_wait_for_the_thread() -> None:
    """While a plain method waits in the thread, the loop runs async ones."""
    with shop() as (here, connection):
        client = Client(connection)
        connection.serve_callbacks(in_thread=True)
        connection.root.send("call_back", client, "stuck")
        assert client.began.wait(20)
        assert connection.root.callRemote("call_back", client, "later", 4) == 4
        client.may_go.set()
        assert here.heard == []


def test_a_cancelled_call_does_not_run() -> None:
    """A call that its caller has cancelled while it waited for the thread is not made."""
    with shop() as (here, connection):
        client = Client(connection)
        connection.serve_callbacks(in_thread=True)
        connection.root.callRemote("keep", client)
        there = blocking.Reference(here.kept[0])
        connection.root.send("call_back", client, "stuck")
        assert client.began.wait(20)
        with blocking.timeout(0.05), pytest.raises(broker.CallTimeout):
            there.callRemote("plain", 1)
        client.may_go.set()
        assert there.callRemote("plain", 2) == 2
        assert client.order == [2]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_functions_and_contracts(dialect: str) -> None:
    """broker.callback and servants run in the thread, too."""

    class MyEar:
        def heard(self, text: str) -> None:
            names.append(threading.current_thread().name)

    names: list[str] = []
    with shop(dialect) as (_, connection):
        connection.serve_callbacks(in_thread=True)
        named = broker.callback(lambda: threading.current_thread().name)
        assert connection.root.callRemote("call_back", named, "call") == THREAD
        ear = broker.servant(Ear)(MyEar())
        assert connection.root.callRemote("call_back", ear, "heard", "x") is None
        assert names == [THREAD]


def test_the_thread_ends() -> None:
    """The thread ends with the connection."""
    with shop() as (_, connection):
        connection.serve_callbacks(in_thread=True)
        (thread,) = [one for one in threading.enumerate() if one.name == THREAD]
    thread.join(20)
    assert not thread.is_alive()
