"""References and streams for threads."""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import traceback
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.shop import DIALECTS, Basket, TicketOffice, shop

import broker
from broker import blocking

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


def test_a_call(dialect: str) -> None:
    """A call waits for its result."""
    with shop(dialect) as (_, connection):
        assert connection.root.callRemote("echo", {"a": [1, None]}) == {"a": [1, None]}
        assert connection.root.callRemote("hear", 1, pbanswer=False) is None


def test_an_error(dialect: str) -> None:
    """An error is that of the async form, and its traceback begins in the waiting thread."""
    with shop(dialect) as (_, connection):
        with pytest.raises(broker.Error, match="sold out") as caught:
            connection.root.callRemote("fail", "sold out")
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[0] == "test_an_error"
        with pytest.raises(broker.NoSuchMethod):
            connection.root.callRemote("absent")
        with pytest.raises(broker.CannotJelly):
            connection.root.callRemote("echo", object())
        root = connection.root
    with pytest.raises(broker.DeadReferenceError):
        root.callRemote("echo", 1)


def test_an_error_is_freed(dialect: str) -> None:
    """An error that was handled is freed at once, without a collection of cycles."""
    gc.collect()
    gc.disable()
    try:
        with shop(dialect) as (_, connection):
            try:
                connection.root.callRemote("fail", "x")
            except broker.Error as error:
                freed = weakref.ref(error)
            # The loop has ended its last turn by then.
            connection.root.callRemote("echo", 1)
            assert freed() is None
    finally:
        gc.enable()


def test_sends(dialect: str) -> None:
    """A send does not wait, keeps its order, and is silent when the peer has gone."""
    with shop(dialect) as (here, connection):
        root = connection.root
        for number in range(100):
            root.send("hear", number)
        assert root.callRemote("echo", 1) == 1
        assert here.heard == list(range(100))
        # An argument may be changed as soon as send has returned.
        changed = [1]
        root.send("hear", changed)
        changed.append(2)
        root.callRemote("echo", 1)
        assert here.heard[-1] == [1]
    root.send("hear", 1)


def test_references_are_wrapped(dialect: str) -> None:
    """References in results are References, also in containers and copies; and go back as such."""
    with shop(dialect) as (here, connection):
        me, (first, named), members, basket, frozen = connection.root.callRemote("me")
        assert isinstance(basket, Basket)
        met = [me, first, named["a"], *members, basket.owner, *basket.items, *frozen]
        assert {type(one) for one in met} == {blocking.Reference}
        assert len(set(met)) == 1
        assert me == me.reference
        assert hash(me) == hash(me.reference)
        assert me.reference == me
        assert me != 1
        assert "RemoteReference to object" in repr(me)
        # An argument is the object itself at its home.
        connection.root.callRemote("hear", [me, {"a": me}, Basket(me, [])])
        (told, inside, copied) = here.heard[0]
        assert told is inside["a"] is copied.owner is here
        # A result that came back is the same object again.
        assert connection.root.callRemote("echo", [me]) == [me]


def test_a_reference_takes_only_a_reference(dialect: str) -> None:
    """A Reference is made of a RemoteReference, and of nothing else."""
    with shop(dialect) as (_, connection):
        root = connection.root
        assert blocking.Reference(root.reference).callRemote("echo", 1) == 1
        with pytest.raises(TypeError, match="takes a RemoteReference, not Reference"):
            blocking.Reference(root)  # type: ignore[arg-type]


def test_a_contract(dialect: str) -> None:
    """The methods of a contract are called in any thread; run and iterate wait for them."""
    with shop(dialect) as (_, connection):
        office = connection.root.callRemote("office").of(TicketOffice)
        assert connection.run(office.reserve(3)) == [0, 1, 2]
        room = office.room("a")
        assert connection.run(room.say("bc")) == 3
        resolved = connection.run(broker.resolved(room))
        assert connection.run(resolved.say("bcd")) == 4
        assert list(connection.iterate(office.prices(5))) == [0, 1, 2, 3, 4]
        # A Reference is sent where a contract asks for an object.
        there = connection.root.callRemote("office")
        assert connection.run(office.is_this(there))  # type: ignore[arg-type]
        with pytest.raises(broker.WrongArguments):
            connection.run(office.reserve("3"))  # type: ignore[arg-type]


def test_a_pending_reference_of_many_threads(dialect: str) -> None:
    """A reference that is used before it has come takes the calls of all threads."""
    with shop(dialect) as (_, connection):
        office = connection.root.callRemote("office").of(TicketOffice)

        def work(number: int) -> list[int]:
            room = office.room("x" * number)
            return [connection.run(room.say("y" * n)) for n in range(20)]

        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(work, range(8)))
        assert done == [[number + n for n in range(20)] for number in range(8)]


def test_a_stream(dialect: str) -> None:
    """A stream is an iterator; its error comes after the items before it, once."""
    with shop(dialect) as (_, connection):
        root = connection.root
        assert list(root.callRemote("rows", 1000)) == list(range(1000))
        rows = iter(root.callRemote("rows", 2, "broken"))
        assert [next(rows), next(rows)] == [0, 1]
        with pytest.raises(broker.Error, match="broken"):
            next(rows)
        assert list(rows) == []
        first, second = root.callRemote("selves")
        assert type(first) is blocking.Reference
        assert second == [first]


def test_stopping_a_stream(dialect: str) -> None:
    """Leaving the loop, close and the end of a with block close the peer's generator."""
    with shop(dialect) as (here, connection):
        for row in connection.root.callRemote("rows", 100_000):
            if row == 2:
                break
        here.until("closed")
        here.events.clear()
        with iter(connection.root.callRemote("rows", 100_000)) as rows:
            assert next(rows) == 0
        here.until("closed")
        assert list(rows) == []
        rows.close()
        here.events.clear()
        rows = iter(connection.root.callRemote("rows", 100_000))
        next(rows)
        assert "open" in repr(rows)
        rows.close()
        assert "ended" in repr(rows)
        here.until("closed")


def test_a_stream_that_is_not_read(dialect: str) -> None:
    """A stream that is dropped before its first item is stopped."""
    with shop(dialect) as (_, connection):
        connection.root.callRemote("rows", 100_000)
        connection.root.callRemote("rows", 100_000)
        session = connection.connection.broker.session
        assert connection.root.callRemote("echo", 1) == 1
        assert not session.translator.streams.incoming


def test_two_threads_read_one_stream(dialect: str) -> None:
    """Each item of a stream goes to one of the threads that iterate over it."""
    with shop(dialect) as (_, connection):
        rows = iter(connection.root.callRemote("rows", 2000))
        start = threading.Barrier(2)

        def read() -> list[int]:
            start.wait()
            return list(rows)

        with ThreadPoolExecutor(2) as pool:
            one, two = [future.result() for future in [pool.submit(read), pool.submit(read)]]
        assert sorted(one + two) == list(range(2000))
        assert one == sorted(one)
        assert two == sorted(two)


def test_closing_a_stream_that_another_thread_reads(dialect: str) -> None:
    """The thread that waits for an item gets the end."""
    with shop(dialect) as (here, connection):
        rows = iter(connection.root.callRemote("endless"))
        assert next(rows) == 1
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(list, rows)
            here.until("waits")
            rows.close()
            assert reading.result(20) == []


def test_time_limit_of_a_stream(dialect: str) -> None:
    """The limit bounds the wait for an item, also if another thread waits for it."""
    with shop(dialect) as (here, connection):
        rows = iter(connection.root.callRemote("endless"))
        assert next(rows) == 1
        with blocking.timeout(0.05), pytest.raises(broker.CallTimeout):
            next(rows)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(list, rows)
            here.until("waits")
            with blocking.timeout(0.05), pytest.raises(broker.CallTimeout):
                next(rows)
            rows.close()
            assert reading.result(20) == []


def test_items_of_the_program(dialect: str) -> None:
    """Any async iterable of the loop can be iterated over, and is closed."""
    ended = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
        finally:
            ended.append(1)

    with shop(dialect) as (_, connection):
        made = connection.iterate(numbers())
        assert list(itertools.islice(made, 3)) == [0, 1, 2]
        made.close()
        assert ended == [1]
        assert made.size is None


def test_a_dropped_iterator_of_the_program(dialect: str) -> None:
    """An iterator with aclose is closed when it is dropped, whether it was begun or not."""
    closed = threading.Semaphore(0)

    class Numbers(AsyncIterator[int]):
        async def __anext__(self) -> int:
            return 1

        async def aclose(self) -> None:
            closed.release()

    with shop(dialect) as (_, connection):
        assert next(connection.iterate(Numbers())) == 1
        assert closed.acquire(timeout=20)
        connection.iterate(Numbers())
        assert closed.acquire(timeout=20)


def test_results_are_sent_to_fifty_threads(dialect: str) -> None:
    """Fifty threads make 300 calls each, and each call gets its own result."""
    with shop(dialect) as (_, connection):
        root = connection.root
        wrong: list[Any] = []

        def work(thread: int) -> None:
            for number in range(300):
                if root.callRemote("echo", [thread, number]) != [thread, number]:
                    wrong.append((thread, number))

        with ThreadPoolExecutor(50) as pool:
            list(pool.map(work, range(50)))
        assert wrong == []
        assert connection.stats.calls_made >= 15_000


def test_a_stream_cannot_be_sent(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """A stream that is read here is refused as an argument."""
    caplog.set_level(logging.CRITICAL)
    with shop(dialect) as (_, connection):
        rows = iter(connection.root.callRemote("rows", 3))
        with pytest.raises(broker.CannotJelly):
            connection.root.callRemote("echo", rows)
