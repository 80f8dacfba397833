"""Deferreds of this library on Twisted's asyncio reactor, with coroutines of both drivers.

Run as ``on_asyncio_reactor.py``. It prints one JSON line for each scenario: its name and results,
or the traceback of an error.
"""

# ruff: noqa: D101, D102, D103, E402 - the test of a scenario describes it; the reactor comes first

from __future__ import annotations

import asyncio
import json
import traceback

from twisted.internet import asyncioreactor

loop = asyncio.new_event_loop()
asyncioreactor.install(loop)

from twisted.internet import defer as twisted_defer
from twisted.internet import reactor

from broker import defer, pb

HOST = "127.0.0.1"


class Root(pb.Root):
    def __init__(self):
        self.cancelled = []

    async def remote_slowly(self, value):
        await asyncio.sleep(0.001)
        return value

    def remote_later(self, value):
        answer = twisted_defer.Deferred()
        reactor.callLater(0.001, answer.callback, value)
        return answer

    def remote_fail(self):
        raise KeyError("fault")

    def remote_never(self):
        return defer.Deferred(self.cancelled.append)


async def by_task(call):
    """Awaited in an asyncio task, in several ways."""
    seen = [await call("slowly", 1), await call("later", 2)]
    seen.append(await asyncio.create_task(call("later", 3)))
    seen.append(await asyncio.gather(call("later", 4), call("slowly", 5)))
    seen.append(await asyncio.wait_for(call("later", 6), 5))
    seen.append(await call("later", 7).asFuture(asyncio.get_running_loop()))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(call("later", 8))
    seen.append(task.result())
    try:
        await call("fail")
    except pb.RemoteError as error:
        seen.append(error.remoteType == b"builtins.KeyError")
    try:
        await asyncio.wait_for(call("never"), 0.01)
    except TimeoutError:
        seen.append("timed out")
    return seen


def by_twisted(call):
    """Awaited in a coroutine that Twisted drives, which may also await a task's result."""

    async def run():
        seen = [await call("slowly", 1), await call("later", 2)]
        task = asyncio.get_running_loop().create_task(by_task(call))
        seen.append(len(await twisted_defer.Deferred.fromFuture(task)))
        seen.append(await twisted_defer.gatherResults([call("later", 3), call("slowly", 4)]))
        return seen

    return twisted_defer.ensureDeferred(run())


async def by_both(call):
    """One Deferred that an asyncio task, a Twisted coroutine and a Twisted generator wait for."""
    shared = call("later", "shared")

    async def wait():
        return await shared

    @twisted_defer.inlineCallbacks
    def generator():
        return (yield shared)

    task = asyncio.get_running_loop().create_task(wait())
    theirs = twisted_defer.ensureDeferred(wait())
    await asyncio.sleep(0)
    seen = [await theirs.asFuture(asyncio.get_running_loop()), await task]
    seen.append(await generator().asFuture(asyncio.get_running_loop()))
    return seen


async def one_of_both_cancelled(call):
    """If one awaiter is cancelled, the Deferred continues for the other; the last cancels it."""
    shared = call("never")

    async def wait():
        return await shared

    task = asyncio.get_running_loop().create_task(wait())
    theirs = twisted_defer.ensureDeferred(wait())
    await asyncio.sleep(0)
    theirs.cancel()
    seen = [theirs.called, shared.called]
    theirs.addErrback(lambda failure: seen.append(failure.check(defer.CancelledError) is not None))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        seen.append("task cancelled")
    seen.append(shared.called)
    return seen


SCENARIOS = (by_task, by_twisted, by_both, one_of_both_cancelled)


async def main():
    port = reactor.listenTCP(0, pb.PBServerFactory(Root()), interface=HOST)
    factory = pb.PBClientFactory()
    reactor.connectTCP(HOST, port.getHost().port, factory)
    root = await factory.getRootObject()
    for scenario in SCENARIOS:
        running = scenario(root.callRemote)
        if isinstance(running, twisted_defer.Deferred):
            running = running.asFuture(loop)
        try:
            said = {"scenario": scenario.__name__, "seen": await asyncio.wait_for(running, 8)}
        except Exception:
            said = {"scenario": scenario.__name__, "failed": traceback.format_exc()}
        print(json.dumps(said), flush=True)
    factory.disconnect()
    reactor.stop()


reactor.callWhenRunning(lambda: loop.create_task(main()))
reactor.run()
