"""Crowds: many connections without a login, that stay open, do not affect logged-in clients."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from attacks.attacker import binds, portal, taming
from support.folders import HELPERS
from support.peers import Peer

import broker
import cred
from broker.core.policy import PUBLISHED

CROWDED = HELPERS / "attacks" / "crowded.py"


@binds("B18", policies=(), dialects=())
async def test_no_descriptor_left() -> None:
    """A server without free descriptors serves its connections, logs once, and accepts others
    later.
    """
    with Peer(CROWDED, "8") as peer:
        address = peer.read()
        port = int(address.rpartition(":")[2])

        async def crowd() -> None:
            async with broker.connect(address) as bystander, AsyncExitStack() as others:
                strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
                others.callback(lambda: [writer.close() for _, writer in strangers])
                # At most eight get an offer; then the server cannot accept.
                async with asyncio.timeout(10):
                    while "no connections are accepted" not in peer.stderr():
                        assert await bystander.root.callRemote("echo", "here") == "here"
                assert await bystander.root.callRemote("echo", "still") == "still"
                await others.aclose()
                async with broker.connect(address, timeout=10) as late:
                    assert await late.root.callRemote("echo", "late") == "late"

        await crowd()
        assert peer.stderr().splitlines() == [
            "no connections are accepted for now: too many open files; trying again every 1 s"
        ]


@binds("A9", policies=(), dialects=())
async def test_sixteen_from_an_address(caplog: pytest.LogCaptureFixture) -> None:
    """The seventeenth connection without a login from one address is closed before the offer."""

    async def crowd() -> None:
        server = await broker.serve(portal(), "pb://127.0.0.1:0")
        port = int(server.addresses[0].rpartition(":")[2])
        alice = cred.UsernamePassword("alice", "secret")
        async with broker.connect(server.addresses[0], alice) as first:
            strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(16)]
            for reader, _ in strangers:
                assert await reader.readexactly(1)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
            assert server.stats.limits == {"max_waiting_each": 1}
            strangers.pop()[1].close()
            while len(server.connections) > 16:
                await asyncio.sleep(0)
            async with broker.connect(server.addresses[0], alice) as second:
                assert not second.is_closed
            assert not first.is_closed
            for _, writer in strangers:
                writer.close()
        await server.close(drain=1)

    with taming(caplog) as lines:
        await crowd()
    assert lines == ["refused 127.0.0.1: 16 connections waiting for login"]


async def come_again(host: str, port: int, opened: list[int]) -> None:
    """Be one of a flood: open a connection from an address, and another when it is closed."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
        except OSError:
            await asyncio.sleep(0)
            continue
        opened[0] += 1
        try:
            while await reader.read(4096):
                pass
        except OSError:
            pass
        finally:
            writer.close()


@pytest.mark.timeout(120)
@binds("A9", policies=(), dialects=())
@pytest.mark.parametrize("policy", [broker.STRICT, PUBLISHED], ids=["strict", "published"])
async def test_twenty_addresses_fill_the_lobby(
    policy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """While twenty addresses reconnect without pause, a client from another address logs in at
    once.
    """

    async def crowd() -> None:
        server = await broker.serve(portal(), "pb://127.0.0.1:0", policy=policy)
        port = int(server.addresses[0].rpartition(":")[2])
        opened = [0]
        flood = [
            asyncio.create_task(come_again(f"127.0.0.{2 + number % 20}", port, opened))
            for number in range(320)
        ]
        while server._acceptor.waiting < 256:
            await asyncio.sleep(0)
        alice = cred.UsernamePassword("alice", "secret")
        logins = 0
        while logins < 20 or opened[0] <= 300:
            async with broker.connect(server.addresses[0], alice, timeout=30) as connection:
                assert not connection.is_closed
            logins += 1
        assert server._acceptor.waiting <= 256
        for each in flood:
            each.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        await server.close(drain=0)
        assert server.stats.limits["max_waiting"] > 0

    with taming(caplog):
        await crowd()
