"""The states of a link: each reader gets the newest one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from broker.link.states import Connecting, Failed, State, States


def state(number: int) -> Connecting:
    """A state with a number."""
    return Connecting(number, 0.0, None)


async def all_of(reading: AsyncIterator[State]) -> list[State]:
    """What a reader gets until the end."""
    return [each async for each in reading]


async def test_a_quick_reader() -> None:
    """It gets each state in its order, and ends with the link."""
    states = States()
    reading = asyncio.create_task(all_of(states.read()))
    for number in range(3):
        states.tell(state(number))
        for _ in range(3):
            await asyncio.sleep(0)
    states.end()
    assert await reading == [state(0), state(1), state(2)]


async def test_a_slow_reader() -> None:
    """It gets the newest state in place of all that came before; no state waits for it."""
    states = States()
    reader = states.read()
    for number in range(100):
        states.tell(state(number))
    assert await anext(reader) == state(99)
    for number in range(100, 200):
        states.tell(state(number))
    assert await anext(reader) == state(199)
    states.tell(Failed(KeyError("x")))
    states.end()
    assert [type(each) for each in await all_of(reader)] == [Failed]


async def test_equal_states_are_told_again() -> None:
    """A state that equals the one before is another state."""
    states = States()
    reader = states.read()
    states.tell(state(0))
    assert await anext(reader) == state(0)
    states.tell(state(0))
    assert await anext(reader) == state(0)


async def test_after_the_end() -> None:
    """There is no other state; a new reader gets the last one."""
    states = States()
    states.tell(state(0))
    states.end()
    states.tell(state(1))
    assert states.newest == state(0)
    assert await all_of(states.read()) == [state(0)]


async def test_a_reader_that_goes() -> None:
    """A reader that is cancelled does not disturb the others."""
    states = States()
    gone = asyncio.create_task(all_of(states.read()))
    stays = asyncio.create_task(all_of(states.read()))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    states.tell(state(0))
    states.end()
    assert await stays == [state(0)]
