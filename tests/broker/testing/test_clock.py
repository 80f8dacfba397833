"""The virtual clock: timers take no time, and come in their order."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
import uvloop
from support.club import Club

import broker
from broker.testing.clock import VirtualClock, virtual_clock
from broker.testing.connected_pair import pair


async def test_time_jumps() -> None:
    """Two hours of sleep take no time, and the clock of the loop shows them."""
    begun, real = asyncio.get_running_loop().time(), time.monotonic()
    with virtual_clock() as clock:
        await asyncio.sleep(7200)
        assert asyncio.get_running_loop().time() - begun == pytest.approx(7200, abs=1)
        assert clock.elapsed == pytest.approx(7200, abs=0.01)
        assert clock.time() == asyncio.get_running_loop().time()
    assert time.monotonic() - real < 60


async def test_timers_keep_their_order() -> None:
    """Timers of different tasks run in the order of their times."""
    log: list[int] = []

    async def note(seconds: int) -> None:
        await asyncio.sleep(seconds)
        log.append(seconds)

    with virtual_clock():
        await asyncio.gather(*map(note, (300, 1, 60, 5)))
    assert log == [1, 5, 60, 300]


async def test_advance() -> None:
    """The test moves the clock itself: what is due runs in the next turns, and not before."""
    log: list[str] = []
    with virtual_clock() as clock:
        loop = asyncio.get_running_loop()
        loop.call_later(60, log.append, "minute")
        loop.call_later(3600, log.append, "hour")
        clock.advance(59)
        await asyncio.sleep(0)
        assert log == []
        clock.advance(1)
        for _ in range(3):
            await asyncio.sleep(0)
        assert log == ["minute"]
        assert clock.elapsed == pytest.approx(60, abs=0.01)


async def test_time_stands_while_work_is_ready() -> None:
    """A thousand turns of the loop take less than a second of its clock."""
    with virtual_clock() as clock:
        timer = asyncio.create_task(asyncio.sleep(1))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert clock.elapsed < 0.1
        assert not timer.done()
        await timer


async def test_deadlines_and_timers_of_a_connection() -> None:
    """Deadlines of calls, pings and delays of the network go by this clock."""
    with virtual_clock() as clock:
        async with pair(Club()) as made:
            assert await made.client.root.callRemote("sleep", 1000) == pytest.approx(1000, abs=0.1)
            with pytest.raises(broker.CallTimeout):
                async with broker.timeout(20):
                    await made.client.root.callRemote("wait")
            assert clock.elapsed == pytest.approx(1020, abs=0.1)
            made.network.stall()
            await made.client.wait_closed()
            assert isinstance(made.client.broker.reason, broker.PBConnectionLost)
            assert "no data from peer" in str(made.client.broker.reason)
    assert clock.elapsed < 1200


async def test_timers_that_outlive_the_block() -> None:
    """A timer that is left comes in the real time that it had left; time does not go back."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    with virtual_clock():
        await asyncio.sleep(5000)
        loop.call_later(0.01, done.set)
        inside = loop.time()
    begun = loop.time()
    assert inside <= begun < inside + 20
    await done.wait()
    assert loop.time() - begun < 20


async def test_one_block_after_the_other() -> None:
    """A loop may have a virtual clock again, which goes on where its time is."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(3):
        with virtual_clock() as clock:
            await asyncio.sleep(1000)
            assert clock.elapsed == pytest.approx(1000, abs=0.1)
    assert 3000 <= loop.time() - begun < 3100


async def test_sockets_are_read() -> None:
    """A socket that is ready is read before time jumps."""
    one, other = socket.socketpair()
    with one, other, virtual_clock() as clock:
        one.setblocking(False)
        other.setblocking(False)
        other.send(b"x")
        read = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(one, 10), 60)
        assert read == b"x"
        assert clock.elapsed < 1


def test_run() -> None:
    """Without a running loop, the clock runs a coroutine in a loop of its own."""

    async def sleep() -> str:
        await asyncio.sleep(86400 * 3)
        return "done"

    with virtual_clock() as clock:
        assert clock.run(sleep()) == "done"
        assert clock.elapsed == pytest.approx(86400 * 3, abs=0.1)
        # Each run has a loop of its own.
        assert clock.run(sleep()) == "done"
        assert clock.elapsed == pytest.approx(86400 * 3, abs=0.1)


async def test_misuse() -> None:
    """Two clocks of one loop, time that goes back, and a clock without a loop are refused."""
    with virtual_clock() as clock:
        with pytest.raises(RuntimeError, match="already"), virtual_clock():
            raise KeyError
        with pytest.raises(RuntimeError, match="already"):
            clock.run(asyncio.sleep(1))
        with pytest.raises(ValueError, match="not negative"):
            clock.advance(-1)
        with pytest.raises(ValueError, match="not negative"):
            clock.advance(float("nan"))
    with pytest.raises(RuntimeError, match="no loop"):
        clock.advance(1)
    with pytest.raises(RuntimeError, match="make another one"), clock:
        raise KeyError
    assert "VirtualClock" in repr(VirtualClock())


def test_other_loops() -> None:
    """The loop of uvloop has a clock that cannot be replaced: the error says so."""

    async def enter() -> None:
        with virtual_clock():
            raise KeyError

    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(RuntimeError, match=r"asyncio's own loops, not for uvloop"),
    ):
        runner.run(enter())


async def test_timers_from_before_keep_the_real_time() -> None:
    """A time limit from before the block ends a test that sleeps without an end, and no sooner."""
    begun = time.monotonic()
    with pytest.raises(TimeoutError), virtual_clock() as clock:
        # Set in the block: this one is virtual.
        async with asyncio.timeout(5):
            await asyncio.Event().wait()
    assert clock.elapsed == pytest.approx(5, abs=0.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            with virtual_clock() as clock:
                while True:
                    await asyncio.sleep(10)
    assert clock.elapsed > 10
    assert time.monotonic() - begun >= 0.05


async def test_a_real_timer_wakes_a_loop_without_others() -> None:
    """It also ends a wait for what never comes."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            with virtual_clock():
                await asyncio.Event().wait()


async def test_a_connection_that_outlives_the_block() -> None:
    """Its clock goes on with the real time, and it is closed as any other."""
    with virtual_clock() as clock:
        made = await pair(Club())
        await made.client.root.callRemote("sleep", 100)
        inside = clock.time()
    assert clock.elapsed == pytest.approx(100, abs=0.1)
    while clock.time() - inside < 0.01:
        await asyncio.sleep(0)
    assert clock.time() - inside < 50
    assert await made.client.root.callRemote("sleep", 0.01) < 50
    await made.close()
    assert made.client.is_closed
