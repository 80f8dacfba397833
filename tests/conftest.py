"""What holds for all tests: what is there before a file of tests is kept out of ``gc.collect``.

Thousands of collected tests and all that they import are half a million objects, and many tests
look at what a full collection leaves. Frozen, they are not looked through each time: the whole
takes 230 s instead of 320. And what a file has left unclosed is found at its end, by its last
test, rather than by whichever test a collection happens in later. No example of Hypothesis has a
deadline. SIGINT interrupts the tests and what they start, also where a shell has put them in the
background and has it ignored.

Every ``async def`` test runs in a loop of its own, for a limited time. It leaves no task, and no
error that its loop could only log. A fixture ``each_loop`` says in which loops a test runs.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
import uvloop
from hypothesis import settings

# A deadline of Hypothesis is a time of the wall, which a busy machine does not keep.
settings.register_profile("any load", deadline=None)
settings.load_profile("any load")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SECONDS = 30.0
"""How long an ``async def`` test may take; the mark ``timeout`` gives it another time."""

AtEnd: TypeAlias = list[Callable[[], Awaitable[None]]]


@pytest.fixture
def at_end() -> AtEnd:
    """Coroutine functions that are awaited in the loop of the test after it, the last one first."""
    return []


@pytest.fixture
def complaints() -> list[dict[str, Any]]:
    """The errors that the loop of the test could only log. Who takes this looks at them itself."""
    return []


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def each_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Each kind of loop that we support: a test that takes this runs once in each."""
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = pyfuncitem.funcargs
    arguments = {name: given[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    complaints = given.get("complaints", [])

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(context)
        loop.default_exception_handler(context)

    mark = pyfuncitem.get_closest_marker("timeout")
    seconds = mark.args[0] if mark else SECONDS
    with asyncio.Runner(loop_factory=given.get("each_loop")) as runner:
        runner.get_loop().set_exception_handler(complain)
        runner.run(_run(pyfuncitem.obj(**arguments), given.get("at_end", []), seconds))
    assert "complaints" in given or complaints == []
    return True


async def _run(test: Awaitable[None], at_end: AtEnd, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        try:
            await test
        finally:
            for end in reversed(at_end):
                await end()
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _freeze() -> None:
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Freeze what collecting has made."""
    _freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Freeze what a file leaves, such as modules, once its last test has ended."""
    if nextitem is None or nextitem.path != item.path:
        _freeze()
