"""A network in memory: servers at addresses, which clients reach by `broker.connect`."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import pytest

import broker
from broker.connecting import Connecting
from broker.connection.broker import Broker
from broker.net.transports import StreamTransport
from broker.stopping import NO_NOTICE, Notice
from broker.testing.ends import MemoryServer
from broker.testing.flow import Profile
from broker.testing.network import Wire, network_loop

POLICY = broker.STRICT.but(insecure_plaintext=True)


class MemoryNet:
    """The network of one test.

    Attributes:
        dialled: how often each address was dialled.
        times: the times of the loop at which anything was dialled.
        wires: the connections, by the client's broker.
        cuts: after how many bytes each of the next connections is cut; None for one that is not.
    """

    def __init__(self) -> None:
        self.dialled: Counter[str] = Counter()
        self.times: list[float] = []
        self.wires: dict[Broker, Wire] = {}
        # Seconds that bytes travel.
        self.delay = 0.0
        self.cuts: list[int | None] = []
        self.failures: dict[str, list[BaseException]] = {}
        self._servers: dict[str, MemoryServer] = {}
        self._ports = itertools.count(40_000)

    def serve(
        self,
        address: str,
        target: Any,
        policy: broker.Policy = POLICY,
        notice: Notice = NO_NOTICE,
        replies: broker.Replies | None = None,
    ) -> MemoryServer:
        """Serve a target at an address."""
        server = MemoryServer(target, policy, lambda end: None, replies)
        server._notice = notice
        if server._logins is not None:
            server._logins.begin_serving(server)
        self._servers[address] = server
        return server

    def crash(self, address: str) -> None:
        """Cut all connections of a server, which is gone then."""
        server = self._servers.pop(address, None)
        if server is None:
            return
        server._is_closing = True
        self.cut(address)

    def cut(self, address: str) -> None:
        """Cut all connections of a server, which goes on."""
        for end, wire in list(self.wires.items()):
            if wire.address == address:  # type: ignore[attr-defined]
                wire.cut()
                del self.wires[end]

    async def reach(self, end: Broker, connecting: Connecting) -> None:
        """Connect a client's end: what takes the place of `broker.connecting.reach`."""
        address = str(connecting.place.location)
        loop = asyncio.get_running_loop()
        self.dialled[address] += 1
        self.times.append(loop.time())
        if self.failures.get(address):
            raise self.failures[address].pop(0)
        server = self._servers.get(address)
        if server is None or server.is_closing:
            raise broker.ConnectionRefusedError(None, f"connection refused by {address}")
        wire = Wire(
            network_loop(loop),
            random.Random(0),
            Profile(),
            ("client", "server"),
            (
                lambda: StreamTransport(lambda _: end, loop),
                lambda: StreamTransport(server.accept, loop),
            ),
            next(self._ports),
        )
        wire.address = address  # type: ignore[attr-defined]
        self.wires[end] = wire
        wire.delay = self.delay
        connecting.reached()
        after = self.cuts.pop(0) if self.cuts else None
        wire.begin()
        if after is not None:
            wire.cut_after(after)


def memory_net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """Return a network that all clients of this test use."""
    net = MemoryNet()
    monkeypatch.setattr("broker.client.reach", net.reach)
    return net
