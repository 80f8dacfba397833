"""Ends of connections: who is notified, how calls end, and that nothing remains."""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import broker
from broker.defer import Deferred


class Server(broker.Root):
    """The methods that the tests of this file call."""

    def __init__(self) -> None:
        self.later: list[Deferred[Any]] = []
        self.sleeping = 0
        self.ended: list[str] = []
        self.reached = asyncio.Event()

    def remote_echo(self, value: Any) -> Any:
        return value

    def remote_later(self) -> Any:
        self.later.append(Deferred())
        self.reached.set()
        return self.later[-1]

    async def remote_sleep(self) -> None:
        self.reached.set()
        try:
            await asyncio.sleep(0.05)
            self.ended.append("ran on")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise

    async def remote_call_back(self, callback: Any) -> None:
        try:
            await callback.callRemote("wait")
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise


class Waiting(broker.Referenceable):
    """A client's object that never answers."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    def remote_wait(self) -> Any:
        self.reached.set()
        return Deferred()


@pytest.mark.row("B11")
async def test_pending_calls(face: Any) -> None:
    """Every call without an answer ends with PBConnectionLost, which says that it may have run."""
    root = Server()
    link = await face.connect(await face.serve(root))
    calls = [link.reference.callRemote("later") for _ in range(10)]
    await root.reached.wait()
    link.far.transport.abortConnection()
    for call in calls:
        error = await face.trapped(call, broker.PBConnectionLost)
        assert error.may_have_run is True
    for later in root.later:
        later.callback("nobody is left to hear")
    await link.ended()


async def test_closed_by_the_client(face: Any) -> None:
    """Calls on a connection that the client closes end like this too; nothing keeps running."""
    root = Server()
    link = await face.connect(await face.serve(root))
    calls = [link.reference.callRemote("later") for _ in range(3)]
    await root.reached.wait()
    await link.close()
    for call in calls:
        await face.trapped(call, broker.PBConnectionLost)
    for later in root.later:
        later.callback(None)


async def test_dead_reference(face: Any) -> None:
    """A call on an ended connection raises DeadReferenceError at once; ``send`` is silent."""
    link = await face.connect(await face.serve(Server()))
    await link.close()
    with pytest.raises(broker.DeadReferenceError):
        link.reference.callRemote("echo", 1)
    assert link.reference.send("echo", 1) is None


async def test_notify_on_disconnect(face: Any) -> None:
    """A callback is called once, with the reference, at the end; a removed one is not."""
    link = await face.connect(await face.serve(Server()))
    told: list[Any] = []

    def taken_back(reference: Any) -> None:
        told.append("taken back")

    link.reference.notifyOnDisconnect(told.append)
    link.reference.notifyOnDisconnect(taken_back)
    link.reference.dontNotifyOnDisconnect(taken_back)
    reference = link.reference
    await link.close()
    assert told == [reference]
    assert told[0] is reference


@pytest.mark.row("B11")
async def test_async_method_and_disconnect(face: Any) -> None:
    """An async method whose peer has disconnected is cancelled or continues, as the policy says."""
    root = Server()
    link = await face.connect(await face.serve(root))
    call = link.reference.callRemote("sleep")
    await root.reached.wait()
    link.near.transport.abortConnection()
    await face.trapped(call, broker.PBConnectionLost)
    await link.ended()
    while not root.ended:
        await asyncio.sleep(0.001)
    assert root.ended == ["ran on" if face.is_published else "cancelled"]


async def test_callback_and_disconnect(face: Any) -> None:
    """A server that waits for a client's answer is notified when the client disconnects."""
    root = Server()
    link = await face.connect(await face.serve(root))
    callback = Waiting()
    call = link.reference.callRemote("call_back", callback)
    await callback.reached.wait()
    await link.close()
    await face.trapped(call, broker.PBConnectionLost)
    while not root.ended:
        await asyncio.sleep(0)
    # A cancelled task ends with CancelledError; it sees that error if the policy cancels.
    assert root.ended[0] in ("PBConnectionLost", "CancelledError")


async def test_other_connections_go_on(face: Any) -> None:
    """A connection cut in the middle of calls does not affect another one."""
    root = Server()
    server = await face.serve(root)
    first, second = [await face.connect(server) for _ in range(2)]
    call = first.reference.callRemote("later")
    await root.reached.wait()
    first.near.transport.abortConnection()
    await face.trapped(call, broker.PBConnectionLost)
    await first.ended()
    assert await face.outcome(second.reference.callRemote("echo", 1)) == 1
    root.later[0].callback(None)


async def test_written_calls_leave(face: Any) -> None:
    """Closing first sends what was written before: a one-way call arrives."""
    heard: list[int] = []

    class Hearing(broker.Root):
        def remote_hear(self, number: int) -> None:
            heard.append(number)

    link = await face.connect(await face.serve(Hearing()))
    link.reference.send("hear", 1)
    await link.close()
    assert heard == [1]


@pytest.mark.row("B11")
async def test_many_connections(face: Any) -> None:
    """Twenty connections that are opened, used and closed leave nothing behind."""
    server = await face.serve(Server())
    for _ in range(20):
        link = await face.connect(server)
        assert await face.outcome(link.reference.callRemote("echo", [1])) == [1]
        await link.close()
