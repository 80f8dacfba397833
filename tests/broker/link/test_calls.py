"""Calls of a link: they wait within bounds, and are made again only if they have not run."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

import pytest
from support.linked import A, Office, linked, restart, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.link.waiting import MOST_WAITING
from broker.testing.clock import virtual_clock

DIALECTS = ["msgpack/1", "pb"]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


async def test_patience(net: MemoryNet) -> None:
    """A call waits so many seconds for a connection, and has surely not run then."""
    net.serve(A, Office())
    with virtual_clock() as clock:
        async with linked(patience=30.0) as link:
            net.crash(A)
            await turns()
            began = clock.elapsed
            with pytest.raises(broker.PBConnectionLost) as caught:
                await link.root.callRemote("echo", 1)
            assert clock.elapsed - began == pytest.approx(30.0, abs=0.1)
            assert str(caught.value) == "not run: no connection in 30 s"
            assert not caught.value.may_have_run


async def test_the_rest_of_a_timeout(net: MemoryNet) -> None:
    """A call waits no longer than its ``broker.timeout``, also if nobody awaits it."""
    net.serve(A, Office())
    with virtual_clock() as clock:
        async with linked() as link:
            net.crash(A)
            await turns()
            began = clock.elapsed
            with pytest.raises((broker.CallTimeout, broker.PBConnectionLost)):
                async with broker.timeout(5):
                    await link.root.callRemote("echo", 1)
            assert clock.elapsed - began == pytest.approx(5.0, abs=0.1)
            async with broker.timeout(3):
                unawaited = link.root.callRemote("echo", 1)
            with pytest.raises(broker.PBConnectionLost, match=r"not run: no connection in 3 s"):
                await unawaited


async def test_the_deadline_goes_with_the_call(net: MemoryNet) -> None:
    """A call that has waited has the rest of its time on the connection."""
    office = Office()
    net.serve(A, office)
    with virtual_clock() as clock:
        async with linked() as link:
            net.crash(A)
            await turns()
            began = clock.elapsed
            asyncio.get_running_loop().call_later(5, net.serve, A, office)
            with pytest.raises(broker.CallTimeout):
                async with broker.timeout(60):
                    await link.root.callRemote("wait")
            assert office.waits == 1
            assert clock.elapsed - began == pytest.approx(60.0, abs=0.2)


async def test_the_most_waiting_calls(net: MemoryNet) -> None:
    """A thousand calls wait; one more fails at once; those that were cancelled do not count."""
    office = Office()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            net.crash(A)
            await turns()
            calls = [link.root.callRemote("echo", number) for number in range(MOST_WAITING)]
            for _ in range(2):
                with pytest.raises(broker.PBConnectionLost) as caught:
                    await link.root.callRemote("echo", "one more")
                assert str(caught.value) == "not run: 1000 calls wait for a connection"
                assert not caught.value.may_have_run
            cancelled = calls.pop()
            cancelled.cancel()
            with pytest.raises(broker.defer.CancelledError):
                await cancelled
            calls.append(link.root.callRemote("echo", "in its place"))
            net.serve(A, office)
            await asyncio.gather(*calls)
            assert office.log == [f"echo {each}" for each in [*range(999), "in its place"]]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_has_run_is_raised(net: MemoryNet, dialect: str) -> None:
    """A call that may have run is not made again."""
    office, policy = Office(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    with virtual_clock():
        async with linked(policy=policy) as link:
            running = link.root.callRemote("wait")
            while not office.waits:
                await asyncio.sleep(0)
            await restart(net, office, policy=policy)
            with pytest.raises(broker.PBConnectionLost) as caught:
                await running
            assert caught.value.may_have_run
            await link.root.callRemote("echo", 1)
            assert office.waits == 1


async def test_what_was_never_sent_is_made_again(net: MemoryNet) -> None:
    """Calls that had not left when the connection ended are made on the next one, in order."""
    office = Office()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            assert await link.root.callRemote("echo", "first") == "first"
            connection = link.connection
            assert connection is not None
            # The transport is closing, and takes no more.
            connection.broker.port.abortConnection()
            unsent = [link.root.callRemote("count", number) for number in range(50)]
            assert link.connection is connection
            assert await asyncio.gather(*unsent) == list(range(50))
            assert link.connection is not connection
            assert dict(office.ran) == dict.fromkeys(range(50), 1)
            assert list(office.ran) == list(range(50))


async def test_one_way_calls(net: MemoryNet) -> None:
    """They are made on a connection, and dropped without one."""
    office = Office()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            link.root.send("echo", "a")
            assert link.root.callRemote("echo", "b", pbanswer=False) is None
            await turns()
            net.crash(A)
            await turns()
            link.root.send("echo", "lost")
            assert link.root.callRemote("echo", "lost too", pbanswer=False) is None
            net.serve(A, office)
            assert await link.root.callRemote("echo", "c") == "c"
            assert office.log == ["echo a", "echo b", "echo c"]


async def test_cancelling(net: MemoryNet) -> None:
    """A call that is cancelled while it waits is not made; one that runs is cancelled there."""
    office = Office()
    ended: list[str] = []

    class Careful(Office):
        """Notes what is cancelled."""

        async def remote_wait(self) -> str:
            """Wait until it is cancelled."""
            office.waits += 1
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")
            return ""

    net.serve(A, Careful())
    with virtual_clock():
        async with linked() as link:
            running = asyncio.ensure_future(link.root.callRemote("wait"))
            while not office.waits:
                await asyncio.sleep(0)
            running.cancel()
            await turns()
            assert ended == ["cancelled"]
            net.crash(A)
            await turns()
            waiting = asyncio.ensure_future(link.root.callRemote("wait"))
            await turns()
            waiting.cancel()
            net.serve(A, Careful())
            await link.root.callRemote("echo", 1)
            assert office.waits == 1


@pytest.mark.parametrize("error", ["NoSuchMethod", "WrongArguments", "CannotJelly"])
async def test_errors_of_calls(net: MemoryNet, error: str) -> None:
    """An error that is not of the connection is raised, as by any reference."""
    net.serve(A, Office())
    calls: dict[str, tuple[Any, ...]] = {
        "NoSuchMethod": ("nothing",),
        "WrongArguments": ("echo", 1, 2, 3),
        "CannotJelly": ("echo", object()),
    }
    async with linked() as link:
        with pytest.raises(getattr(broker, error)):
            await link.root.callRemote(*calls[error])


async def test_a_remote_error_of_another_connection(net: MemoryNet) -> None:
    """A method that lost a connection of its own is not called again, and neither is a relay's."""

    class Relay(Office):
        """Fails as a caller of others does."""

        def remote_relay(self, kind: str) -> None:
            """Raise it."""
            self.log.append(kind)
            if kind == "PBConnectionLost":
                raise broker.PBConnectionLost("another", may_have_run=False)
            raise getattr(broker, kind)("another")

    relay = Relay()
    net.serve(A, relay)
    async with linked() as link:
        for kind in ("PBConnectionLost", "DeadReferenceError", "ServerDraining"):
            with pytest.raises(broker.RemoteError) as caught:
                await link.root.callRemote("relay", kind)
            assert kind in caught.value.type_name
    assert relay.log == ["PBConnectionLost", "DeadReferenceError", "ServerDraining"]


async def test_calls_without_a_handler(net: MemoryNet, caplog: pytest.LogCaptureFixture) -> None:
    """Those that find no connection in time make one record, and those that wait at the end too."""
    net.serve(A, Office())
    with virtual_clock():
        async with linked(patience=5.0) as link:
            net.crash(A)
            await turns()
            for _ in range(12):
                link.root.callRemote("echo", 1)
            await asyncio.sleep(6)
            gc.collect()
            net.serve(A, Office())
            await asyncio.sleep(100)
            net.crash(A)
            await turns()
            for _ in range(7):
                link.root.callRemote("echo", 1)
    gc.collect()
    told = [record.getMessage() for record in caplog.records if record.name == "broker.defer"]
    text = "calls without a handler: not run, for want of a connection"
    assert told == [f"12 {text}", f"7 {text}"]


@pytest.mark.timeout(120)
async def test_a_thousand_restarts(net: MemoryNet) -> None:
    """Under load, no call runs twice, and each that was not answered says whether it may have run.

    A call that fails with ``may_have_run`` False fails for want of time alone, of which there is
    enough: there is none.
    """
    dice = random.Random(20)
    office = Office()
    # So that calls are on their way when a connection is cut.
    net.delay = 0.002
    net.serve(A, office)
    made = 0
    answered: set[int] = set()
    unknown: set[int] = set()
    is_over = False

    async def work(link: Any) -> None:
        nonlocal made
        while not is_over:
            made += 1
            number = made
            try:
                assert await link.root.callRemote("count", number) == number
                answered.add(number)
            except broker.PBConnectionLost as error:
                assert error.may_have_run
                unknown.add(number)
            await asyncio.sleep(dice.random() * 0.02)

    with virtual_clock():
        retry = broker.Retry(first=0.02, most=0.05)
        async with linked(retry=retry) as one, linked(retry=retry) as other:
            workers = [asyncio.create_task(work(link)) for link in (one, other) * 5]
            for _ in range(1000):
                await asyncio.sleep(dice.random() * 0.05)
                net.crash(A)
                if dice.random() < 0.5:
                    await asyncio.sleep(dice.random() * 0.02)
                net.serve(A, office)
            is_over = True
            await asyncio.gather(*workers)
    assert max(office.ran.values()) == 1
    assert answered <= set(office.ran)
    assert set(office.ran) <= answered | unknown
    assert answered | unknown == set(range(1, made + 1))
    assert len(answered) > len(unknown) > 0
