"""Producers: closing and cancelling generators, in each of their states."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from broker.flavors.producing import Producer, Waiter


class Room:
    """A sink with room for so many items."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.items: list[object] = []
        self.ends: list[Any] = []
        self.not_closed_for: list[Exception] = []
        self.waiter = Waiter()
        self.changed = asyncio.Event()

    def ready(self) -> Awaitable[None] | None:
        """Wait if there is no room."""
        self.changed.set()
        return None if self.room else self.waiter.wait()

    def put(self, item: object) -> Awaitable[None] | None:
        """Keep it."""
        self.items.append(item)
        self.room -= 1
        self.changed.set()
        return None if self.room else self.waiter.wait()

    def wake(self) -> None:
        """Go on."""
        self.waiter.wake()

    def end(self, error: BaseException | None) -> None:
        """Note it."""
        self.ends.append(error)
        self.changed.set()

    def not_closed(self, error: Exception) -> None:
        """Note it."""
        self.not_closed_for.append(error)

    async def until_end(self) -> None:
        """Wait for the end."""
        while not self.ends:
            self.changed.clear()
            await self.changed.wait()


class Source:
    """A generator that tells how it ends."""

    def __init__(self, *items: object, at_end: str = "return") -> None:
        self.given = items
        self.at_end = at_end
        self.inside = asyncio.Event()
        self.ended: list[str] = []

    async def items(self) -> AsyncIterator[object]:
        """Make the items; then return, raise, or wait."""
        try:
            for item in self.given:
                yield item
            self.inside.set()
            if self.at_end == "raise":
                raise ValueError("no")
            if self.at_end == "wait":
                await asyncio.Event().wait()
            self.ended.append("returned")
        except GeneratorExit:
            self.ended.append("closed")
            raise
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise


def start(source: Any, sink: Room) -> Producer:
    """Start to produce."""
    producer = Producer(source, sink)
    producer.start(asyncio.get_running_loop().create_task, None)
    return producer


async def test_to_the_end() -> None:
    """All items, and one end."""
    source, sink = Source(1, 2, 3), Room()
    producer = start(source.items(), sink)
    await sink.until_end()
    assert (sink.items, sink.ends, source.ended) == ([1, 2, 3], [None], ["returned"])
    assert producer.is_over
    producer.stop()
    assert not producer.is_stopped


async def test_an_error() -> None:
    """It is passed on behind the items, marked as raised by a method if it tells of a call."""
    source, sink = Source(1, at_end="raise"), Room()
    start(source.items(), sink)
    await sink.until_end()
    assert sink.items == [1]
    assert type(sink.ends[0]) is ValueError


async def test_no_iterator() -> None:
    """What cannot be iterated ends at once."""
    sink = Room()
    start(5, sink)
    await sink.until_end()
    assert type(sink.ends[0]) is TypeError


async def test_stopped_while_it_waits_for_the_sink() -> None:
    """The generator waits at ``yield``: it is closed."""
    source, sink = Source(1, 2, 3), Room(room=1)
    producer = start(source.items(), sink)
    while not sink.items:
        await asyncio.sleep(0)
    producer.stop()
    producer.stop()
    await sink.until_end()
    assert (sink.items, sink.ends, source.ended) == ([1], [None], ["closed"])


async def test_stopped_while_the_generator_runs() -> None:
    """It is cancelled."""
    source, sink = Source(1, at_end="wait"), Room()
    producer = start(source.items(), sink)
    await source.inside.wait()
    producer.stop()
    await sink.until_end()
    assert (sink.items, sink.ends, source.ended) == ([1], [None], ["cancelled"])


@pytest.mark.parametrize("room", [0, 1])
async def test_stopped_before_it_begins(room: int) -> None:
    """There is nothing to close in the generator."""
    source, sink = Source(1), Room(room)
    producer = start(source.items(), sink)
    if room == 0:
        await sink.changed.wait()
    producer.stop()
    await sink.until_end()
    assert (sink.items, sink.ends, source.ended) == ([], [None], [])


async def test_one_that_ignores_both(complaints: list[Any]) -> None:
    """Nothing more is taken of it; that it could not be closed is told."""

    async def stubborn() -> AsyncIterator[int]:
        inside.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            yield 1
        except GeneratorExit:
            yield 2

    inside, sink = asyncio.Event(), Room()
    producer = start(stubborn(), sink)
    await inside.wait()
    producer.stop()
    await sink.until_end()
    assert (sink.items, sink.ends) == ([], [None])
    assert [type(error) for error in sink.not_closed_for] == [RuntimeError]


async def test_an_error_while_it_is_closed() -> None:
    """It is told as such, and not as the end of the stream."""

    async def failing() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("no")

    sink = Room(room=1)
    producer = start(failing(), sink)
    while not sink.items:
        await asyncio.sleep(0)
    producer.stop()
    await sink.until_end()
    assert sink.ends == [None]
    assert [type(error) for error in sink.not_closed_for] == [ValueError]


async def test_an_iterator_without_a_close() -> None:
    """Any async iterable can be produced."""

    class Numbers:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    sink = Room()
    start(Numbers(), sink)
    await sink.until_end()
    assert (sink.items, sink.ends) == ([2, 1, 0], [None])


async def test_one_that_is_cancelled_by_itself() -> None:
    """A generator that raises CancelledError ends its stream with that."""

    async def giving_up() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    sink = Room()
    start(giving_up(), sink)
    await sink.until_end()
    assert isinstance(sink.ends[0], asyncio.CancelledError)


def test_without_a_loop() -> None:
    """The items of a generator that waits for nothing are produced at once."""

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    sink = Room()
    producer = Producer(numbers(), sink)
    producer.start(None, None)
    assert (sink.items, sink.ends) == ([1, 2], [None])


async def test_waiting() -> None:
    """Who waits is woken once; who gives up is forgotten."""
    waiter = Waiter()
    waiter.wake()
    assert not waiter.is_waited_for
    waited = asyncio.ensure_future(waiter.wait())
    await asyncio.sleep(0)
    assert waiter.is_waited_for
    waiter.wake()
    await waited
    waited = asyncio.ensure_future(waiter.wait())
    await asyncio.sleep(0)
    waited.cancel()
    await asyncio.gather(waited, return_exceptions=True)
    assert not waiter.is_waited_for


@pytest.mark.parametrize("has_loop", [True, False])
async def test_a_generator_that_raises_generator_exit(has_loop: bool) -> None:
    """The reader is told an error: it would wait without one."""

    async def leaving() -> AsyncIterator[int]:
        yield 1
        raise GeneratorExit

    sink = Room()
    producer = Producer(leaving(), sink)
    producer.start(asyncio.get_running_loop().create_task if has_loop else None, None)
    await sink.until_end()
    assert sink.items == [1]
    assert [type(error) for error in sink.ends] == [RuntimeError]
    assert producer.is_over


async def test_a_task_that_is_cancelled_before_it_begins() -> None:
    """The reader is told an error."""
    source, sink = Source(1), Room()
    tasks: list[asyncio.Task[None]] = []

    def create(coroutine: Any, context: Any) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(coroutine, context=context))
        tasks[0].cancel()
        return tasks[0]

    Producer(source.items(), sink).start(create, None)
    await sink.until_end()
    assert (sink.items, [type(error) for error in sink.ends]) == ([], [RuntimeError])


def test_a_run_that_is_collected() -> None:
    """It ends without a word: nothing can be sent any more."""
    sink = Room(room=0)
    producer = Producer(Source(1).items(), sink)
    producer.start(None, None)
    del producer
    sink.waiter = Waiter()
    gc.collect()
    assert sink.ends == []
