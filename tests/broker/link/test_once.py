"""Calls of a link in ``broker.once``: they run once, over restarts and cuts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections import Counter
from typing import Any

import pytest
from support.linked import A, Office, linked, restart, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.testing.clock import virtual_clock

REPLIES = broker.Replies()
NO_REFERENCE = "once needs the avatar, a named object or a recipe of a Link"


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


def serve(net: MemoryNet, office: Office, **settings: Any) -> Any:
    """Serve an office that keeps replies."""
    return net.serve(A, office, replies=settings.pop("replies", REPLIES), **settings)


@pytest.mark.parametrize("name", ["root", "recipe"])
async def test_a_call_that_may_have_run_is_made_again(net: MemoryNet, name: str) -> None:
    """It has run once, and its caller gets the result; a recipe is another object then."""
    office = Office("here")
    serve(net, office)
    with virtual_clock():
        async with linked() as link:
            target = link.root if name == "root" else link.recipe(lambda root: root)
            async with broker.once():
                running = target.callRemote("wait")
            while not office.waits:
                await asyncio.sleep(0)
            for _ in range(3):
                net.cut(A)
                await turns()
                while link.connection is None:
                    await asyncio.sleep(0.1)
            office.gate.set()
            assert await running == "here"
            assert office.waits == 1
            assert net.dialled[A] == 4


async def test_another_instance(net: MemoryNet) -> None:
    """After a restart of the server the call is not made again: it may have run."""
    office = Office()
    serve(net, office)
    with virtual_clock():
        async with linked() as link:
            async with broker.once():
                running = link.root.callRemote("wait")
            while not office.waits:
                await asyncio.sleep(0)
            net.crash(A)
            await turns()
            serve(net, office)
            with pytest.raises(
                broker.PBConnectionLost, match=r"^the server was restarted$"
            ) as caught:
                await running
            assert caught.value.may_have_run
            assert office.waits == 1
            office.gate.set()


async def test_a_server_that_keeps_no_replies_any_more(net: MemoryNet) -> None:
    """For a call that may have run it is another server; for another call it is the wrong one."""
    office = Office()
    serve(net, office)
    with virtual_clock():
        async with linked() as link:
            async with broker.once():
                running = link.root.callRemote("wait")
            while not office.waits:
                await asyncio.sleep(0)
            net.crash(A)
            await turns()
            async with broker.once():
                waiting = link.root.callRemote("echo", 1)
            net.serve(A, office)
            with pytest.raises(broker.PBConnectionLost, match=r"^the server was restarted$"):
                await running
            with pytest.raises(broker.ConfigError, match=r"^the server keeps no replies$"):
                await waiting
            office.gate.set()
    assert office.log == []


async def test_too_late(net: MemoryNet) -> None:
    """The reply is kept for a time, which counts from when the call was first sent."""
    office = Office()
    serve(net, office, replies=broker.Replies(seconds=120))
    with virtual_clock():
        async with linked(retry=broker.Retry(first=1.0, most=1.0)) as link:
            async with broker.once():
                running = link.root.callRemote("wait")
            while not office.waits:
                await asyncio.sleep(0)
            net.failures[A] = [broker.ConnectionRefusedError()] * 1000
            net.cut(A)
            await asyncio.sleep(130)
            net.failures[A].clear()
            text = r"^sent 13\d s ago; replies are kept for 120 s$"
            with pytest.raises(broker.PBConnectionLost, match=text) as caught:
                await running
            assert caught.value.may_have_run
            office.gate.set()


@pytest.mark.parametrize("how", ["patience", "timeout", "close", "end", "recipe"])
async def test_that_a_call_may_have_run(net: MemoryNet, how: str) -> None:
    """Also if it waits in vain for a connection, or the link ends."""
    office = Office()
    serve(net, office)
    with virtual_clock():
        link = linked(patience=20.0)
        with contextlib.suppress(broker.ConfigError):
            async with link:
                room = await link.root.recipe("room", "x")
                target = room if how == "recipe" else link.root
                limit = 10.0 if how == "timeout" else 1000.0
                async with broker.timeout(limit), broker.once():
                    running = target.callRemote(
                        "say" if how == "recipe" else "wait", *["hi"][: how == "recipe"]
                    )
                if how == "recipe":
                    net.wires[next(iter(net.wires))].stall("to_client")
                await turns()
                net.failures[A] = [broker.ConnectionRefusedError()] * 1000
                if how == "end":
                    net.failures[A] = [broker.ConfigError("no")]
                if how == "recipe":
                    office.is_closed_to_rooms = True
                    net.failures[A] = []
                net.cut(A)
                await turns()
                if how == "close":
                    await link.close()
                with pytest.raises(broker.PBConnectionLost) as caught:
                    await running
                assert caught.value.may_have_run
                expected = {
                    "patience": "may have run: no connection in 20 s",
                    "timeout": "may have run: no connection in 10 s",
                    "close": "may have run: not made again",
                    "end": "no",
                    "recipe": "no rooms today",
                }
                assert expected[how] in str(caught.value)
                office.gate.set()


async def test_what_cannot_be_repeated(net: MemoryNet) -> None:
    """The result of a call, and a reference of one connection: a ConfigError, before it is sent."""
    office = Office()
    serve(net, office)
    async with linked() as link:
        promise = link.root.callRemote("room", "x")
        assert link.connection is not None
        for reference in (promise, promise[0], link.connection.root):
            async with broker.once():
                with pytest.raises(broker.ConfigError, match=NO_REFERENCE):
                    reference.callRemote("say", "hi")
        await promise
        async with broker.once():
            link.root.send("echo", "one way")
            link.root.callRemote("echo", "one way too", pbanswer=False)
            room = link.root.recipe("room", "y")
            assert await room.callRemote("say", "hi") == "y: hi"
    assert "x: hi" not in office.log
    assert "echo one way too" in office.log


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("pb", r"^the peer keeps no replies \('pb'\)$"),
        ("msgpack/1", "^the server keeps no replies$"),
    ],
)
async def test_a_server_without_replies(net: MemoryNet, dialect: str, text: str) -> None:
    """The error comes before anything is sent, also for a call that has waited."""
    office, policy = Office(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    link = linked(policy=policy)
    async with broker.once():
        waiting = link.root.callRemote("echo", 1)
        async with link:
            for call in (waiting, link.root.callRemote("echo", 2)):
                with pytest.raises(broker.ConfigError, match=text):
                    await call
    assert office.log == []


async def test_a_lost_result(net: MemoryNet) -> None:
    """A reference in the reply belongs to one connection; the method does not run again."""
    office = Office()
    serve(net, office)
    with virtual_clock():
        async with linked() as link:
            wire = next(iter(net.wires.values()))
            await link.root.callRemote("echo", 1)
            wire.stall("to_client")
            async with broker.once():
                call = link.root.callRemote("room", "x")
            while "room x" not in office.log:
                await asyncio.sleep(0)
            net.cut(A)
            with pytest.raises(broker.ResultLost):
                await call
    assert office.log.count("room x") == 1


async def test_the_server_forgets(net: MemoryNet) -> None:
    """The link tells which outcomes it has, also of calls that have failed or were cancelled."""
    office = Office()
    server = serve(net, office)
    async with linked() as link, broker.once():
        for number in range(50):
            await link.root.callRemote("echo", number)
            with pytest.raises(broker.NoSuchMethod):
                await link.root.callRemote("nothing")
            stuck = link.root.callRemote("wait")
            await turns(5)
            stuck.cancel()
            with pytest.raises(broker.defer.CancelledError):
                await stuck
            assert server._replies.count <= 5
        del stuck
        gc.collect()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("share", [0.0, 0.2])
async def test_a_thousand_cuts(net: MemoryNet, share: float) -> None:
    """Under load: no call is lost, and none runs twice, while the server lives.

    If it is restarted, the calls that may have run say so.
    """
    dice = random.Random(21)
    office = Office()
    net.delay = 0.002
    serve(net, office)
    made = 0
    answered: set[int] = set()
    unknown: set[int] = set()
    is_over = False

    async def work(link: Any, target: Any) -> None:
        nonlocal made
        while not is_over:
            made += 1
            number = made
            try:
                async with broker.once():
                    assert await target.callRemote("count", number) == number
                answered.add(number)
            except broker.PBConnectionLost as error:
                assert error.may_have_run
                assert str(error) == "the server was restarted"
                unknown.add(number)
            await asyncio.sleep(dice.random() * 0.02)

    with virtual_clock():
        retry = broker.Retry(first=0.02, most=0.05)
        async with linked(retry=retry) as one, linked(retry=retry) as other:
            targets = [one.root, other.recipe(lambda root: root), other.root]
            workers = [asyncio.create_task(work(one, each)) for each in targets * 4]
            for _ in range(1000):
                await asyncio.sleep(dice.random() * 0.05)
                if dice.random() < share:
                    net.crash(A)
                    await asyncio.sleep(dice.random() * 0.02)
                    serve(net, office)
                else:
                    net.cut(A)
            is_over = True
            await asyncio.gather(*workers)
    assert made > 5000
    assert max(office.ran.values()) == 1
    assert answered | unknown == set(range(1, made + 1))
    assert answered <= set(office.ran)
    assert bool(unknown) == bool(share)


class Gated(broker.Root):
    """A root whose method can be stopped in the middle."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    async def remote_buy(self, what: str) -> str:
        """Count that it has run."""
        self.begun.set()
        await self.gate.wait()
        self.ran[what] += 1
        return f"{what} {self.ran[what]}"


@pytest.mark.parametrize("when", ["before", "while"])
async def test_cut_at_every_byte(net: MemoryNet, when: str) -> None:
    """Two connections are cut after so many bytes, with the method running or not: it runs once."""
    whole = 0
    with virtual_clock():
        byte = 0
        while not whole or byte <= whole + 1:
            shop = Gated()
            serve(net, shop)
            net.cuts = [] if not whole else [byte, byte]
            async with linked(retry=broker.Retry(first=0.01, most=0.02)) as link:
                if when == "before":
                    shop.gate.set()
                async with broker.once():
                    call = link.root.callRemote("buy", "apple")
                while not shop.begun.is_set():
                    await asyncio.sleep(0)
                if when == "while" and whole:
                    net.cut(A)
                    await turns(20)
                shop.gate.set()
                assert await call == "apple 1", byte
                assert shop.ran == {"apple": 1}, byte
                if not whole:
                    whole = next(iter(net.wires.values())).carried
                else:
                    byte += 1
            net.crash(A)
    assert whole > 200


async def test_restart_between_calls(net: MemoryNet) -> None:
    """A call that had not begun when the server was restarted is made at the new one."""
    office = Office()
    serve(net, office)
    with virtual_clock():
        async with linked() as link, broker.once():
            assert await link.root.callRemote("echo", 1) == 1
            net.crash(A)
            await turns()
            waiting = link.root.callRemote("echo", 2)
            await turns()
            serve(net, office)
            assert await waiting == 2
            await restart(net, office)
            with pytest.raises(broker.ConfigError):
                await link.root.callRemote("echo", 3)
    assert office.log == ["echo 1", "echo 2"]
