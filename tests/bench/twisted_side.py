"""The server or the client of a measurement, with Twisted's Perspective Broker and its reactor."""

from __future__ import annotations

import sys
from typing import Any

import side
import workloads
from twisted.internet import defer, reactor, task, threads
from twisted.spread import pb


class Root(pb.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value

    def remote_length(self, numbers: list[int]) -> int:
        """Return how many there are."""
        return len(numbers)


class Client:
    """Calls the root of a connection."""

    def __init__(self, root: pb.RemoteReference):
        self.call = root.callRemote

    async def together(self, chains: list[Any]) -> None:
        """Run coroutines at the same time."""
        await defer.gatherResults([defer.ensureDeferred(chain) for chain in chains])


async def serve(clock: Any) -> None:
    """Serve until the standard input ends."""
    port = clock.listenTCP(0, pb.PBServerFactory(Root()), interface="127.0.0.1")
    side.say(port.getHost().port)
    await threads.deferToThread(side.wait_for_end)


async def call(clock: Any, number: int) -> None:
    """Run the workloads that the standard input names."""
    factory = pb.PBClientFactory()
    clock.connectTCP("127.0.0.1", number, factory)
    root = await factory.getRootObject()
    side.say(root.broker.currentDialect.decode())
    for name, seconds in side.orders():
        side.say(await workloads.measure(Client(root), name, seconds))
    factory.disconnect()


def main(clock: Any) -> defer.Deferred[None]:
    """Be the side that the command line names."""
    if sys.argv[1] == "server":
        return defer.ensureDeferred(serve(clock))
    return defer.ensureDeferred(call(clock, int(sys.argv[2])))


if __name__ == "__main__":
    task.react(main, (), reactor)
