"""Time limits for calls."""

from __future__ import annotations

import asyncio

import pytest

from broker.defer import Deferred
from broker.errors import CallTimeout
from broker.timeouts import timeout


async def test_a_call_that_takes_too_long() -> None:
    """It ends with CallTimeout, which is a TimeoutError, and is cancelled."""
    call: Deferred[None] = Deferred()
    with pytest.raises(CallTimeout, match=r"^no answer in 0.01 s$") as caught:
        async with timeout(0.01):
            await call
    assert isinstance(caught.value, TimeoutError)
    assert call.called


async def test_a_call_that_is_in_time() -> None:
    """What comes in time is returned, and errors of the call pass."""
    call: Deferred[int] = Deferred()
    asyncio.get_running_loop().call_soon(call.callback, 5)
    async with timeout(10) as limit:
        assert await call == 5
    assert isinstance(limit, timeout)
    for error in (KeyError("its own"), TimeoutError("its own")):
        with pytest.raises(type(error), match="its own"):
            async with timeout(10):
                raise error


async def test_limits_inside_each_other() -> None:
    """The inner limit is told by the inner, the outer goes on."""
    async with timeout(10):
        with pytest.raises(CallTimeout, match=r"0\.01 s"):
            async with timeout(0.01):
                await asyncio.get_running_loop().create_future()


async def test_cancelling_from_outside() -> None:
    """A task that is cancelled is cancelled, and did not run out of time."""

    async def wait() -> None:
        async with timeout(10):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
