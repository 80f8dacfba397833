"""The fields of Deferreds and their awaiters, in C and in Python: values, references, classes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import weakref
from contextvars import ContextVar, copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from support.pure_defer import FORMS, outcome, wait

from broker.failure import Failure
from broker.native import native
from broker.net.scheduler import done_future

each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
MANY = 100_000


@each_form
@pytest.mark.parametrize("value", [True, False, 0, 1, 2, "", "yes", None, [], [0], 1.5])
def test_flags(form: Any, value: Any) -> None:
    """``called`` takes any value, for its truth."""
    deferred = form.Deferred()
    for name in ("called", "_is_running", "_swallows_one"):
        setattr(deferred, name, value)
        assert bool(getattr(deferred, name)) == bool(value)
    deferred.called = deferred._is_running = False
    deferred.callback(1)
    assert deferred.called


@each_form
def test_a_flag_without_a_truth(form: Any) -> None:
    """What cannot tell whether it is true is refused where it is set, or where it is asked."""

    class Unknown:
        def __bool__(self) -> bool:
            raise ValueError("unknown")

    deferred = form.Deferred()
    with pytest.raises(ValueError, match="unknown"):
        deferred.called = Unknown()
        deferred.callback(1)


@each_form
def test_attributes(form: Any) -> None:
    """Results, pauses and items can be set, as programs of Twisted do."""
    deferred = form.Deferred()
    assert not hasattr(deferred, "result")
    assert not hasattr(deferred, "label")
    deferred.result = 5
    deferred.label = "label"
    assert (deferred.result, deferred.label) == (5, "label")
    del deferred.result
    del deferred.label
    assert not hasattr(deferred, "result")
    deferred.paused += 2
    assert deferred.paused == 2
    deferred.paused = 0
    seen: list[Any] = []
    deferred._items = None
    deferred.addCallback(seen.append)
    kept = deferred._items
    assert deferred._items is kept
    deferred._items = [*kept, *kept]
    deferred.callback(1)
    assert seen == [1, None]
    with pytest.raises(AttributeError):
        deferred.other = 1


@each_form
def test_the_only_awaiter_in_the_list(form: Any) -> None:
    """Who asks for the items of a Deferred gets a list that is used from then on."""
    deferred = form.Deferred()
    bridge = form.Bridge(deferred)
    items = deferred._items
    assert items == [bridge]
    assert deferred._items is items
    items.clear()
    deferred.callback(1)
    assert bridge.outcome is form.PENDING


# References.


@each_form
def test_weak_references(form: Any) -> None:
    """A Deferred can be referred to weakly, and its weak references end with it."""
    deferred = form.Deferred()
    ended: list[Any] = []
    reference = weakref.ref(deferred, ended.append)
    by_key: Any = weakref.WeakKeyDictionary({deferred: 1})
    assert reference() is deferred
    del deferred
    assert reference() is None
    assert ended == [reference]
    assert not by_key


@each_form
def test_cycles(form: Any) -> None:
    """Cycles through each field of a Deferred and of its awaiter are collected."""

    class Mark:
        """Can be referred to weakly."""

    def cycle_of(name: str) -> Any:
        deferred, mark = form.Deferred(), Mark()
        mark.deferred = deferred  # type: ignore[attr-defined]
        match name:
            case "canceller":
                deferred._canceller = lambda _: mark
            case "items":
                deferred.addBoth(lambda _: mark)
            case "result":
                deferred.callback(mark)
            case "label":
                deferred.label = mark
            case "unhandled":
                deferred._unhandled = mark
            case "bridge":
                bridge = form.Bridge(deferred)
                bridge.when_done(lambda _: mark)
            case "outcome":
                bridge = form.Bridge(deferred)
                mark.bridge = bridge  # type: ignore[attr-defined]
                bridge.deliver(mark)
            case "loop":
                bridge = form.Bridge(deferred)
                bridge._loop = mark
                mark.bridge = bridge  # type: ignore[attr-defined]
            case _:
                coroutine = wait(deferred)
                coroutine.send(None)
                deferred.addBoth(lambda _: (mark, coroutine))
        return weakref.ref(mark)

    names = ["canceller", "items", "result", "label", "unhandled", "bridge", "outcome", "loop", "x"]
    for name in names:
        reference = cycle_of(name)
        gc.collect()
        assert reference() is None, name


@each_form
@pytest.mark.parametrize("how", ["result", "items", "canceller", "awaiters"])
def test_a_long_line_is_freed(form: Any, how: str) -> None:
    """A line of many Deferreds, each of which refers to the next, is freed without overflow."""
    last: Any = form.Deferred()
    first = weakref.ref(last)
    for _ in range(MANY):
        deferred = form.Deferred()
        match how:
            case "result":
                deferred.result = last
            case "items":
                deferred._items = [last]
            case "canceller":
                deferred._canceller = last
            case _:
                form.Bridge(deferred)._loop = last
        last = deferred
    del last, deferred
    gc.collect()
    assert first() is None


@each_form
def test_references_are_given_back(form: Any) -> None:
    """What was handed to Deferreds and awaiters is held no longer than they are."""
    mark = ["mark"]
    before = sys.getrefcount(mark)

    def use() -> None:
        for how in range(6):
            deferred = form.Deferred()
            coroutine = wait(deferred)
            if how:
                coroutine.send(None)
            if how == 1:
                deferred._items  # noqa: B018 - moves the awaiter into a list
            if how == 2:
                form.Bridge(deferred)
            if how == 3:
                with contextlib.suppress(OSError):
                    coroutine.throw(OSError)
            if how == 4:
                coroutine.close()
            deferred.label = mark
            deferred.callback(mark)
            with contextlib.suppress(StopIteration, RuntimeError):
                coroutine.send(None)
            coroutine.close()
            bridge = form.Bridge(deferred)
            bridge.deliver(mark)
            bridge.when_done(lambda _: mark)
            bridge._loop = mark
            bridge._loop = None
            iterator = deferred.__await__()
            with contextlib.suppress(StopIteration):
                iterator.send(None)

    use()
    gc.collect()
    assert sys.getrefcount(mark) == before


# Classes of the application.


@each_form
async def test_subclasses(form: Any) -> None:
    """Methods that a subclass overrides are called, and it may have a dict of its own."""
    log: list[str] = []

    class Own(form.Deferred):  # type: ignore[name-defined, misc]
        def callback(self, result: Any) -> None:
            log.append("callback")
            super().callback(result)

        def send(self, value: Any) -> Any:
            log.append("send")
            return super().send(value)

        def __await__(self) -> Any:
            log.append("await")
            return super().__await__()

    own = Own()
    own.anything = 1
    coroutine = wait(own)
    coroutine.send(None)
    own.callback(5)
    assert outcome(lambda: coroutine.send(None)) == "ended with 5"
    assert log == ["await", "callback"]

    task = asyncio.get_running_loop().create_task(Own())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert "send" in log


@each_form
def test_a_subclass_that_fires_itself(form: Any) -> None:
    """``fire``, which a connection calls, may be overridden as well."""
    seen: list[Any] = []

    class Own(form.Deferred):  # type: ignore[name-defined, misc]
        def fire(self, result: Any, loop: Any = None) -> None:
            seen.append(result)
            super().fire(result, loop)

    own = Own()
    own.callback(1)
    assert seen == [1]


class Steps:
    """Two threads, each of which steps an awaiter; the first step ends while the second goes on."""

    def __init__(self, form: Any):
        self.form = form
        self.begun = [threading.Event() for _ in range(2)]
        self.ended = [threading.Event() for _ in range(2)]
        self.found: list[Any] = []

    def step(self, number: int) -> None:
        """Be called by the awaiter."""
        self.begun[number].set()
        (self.begun[1] if number == 0 else self.ended[0]).wait(10)

    async def work(self, number: int) -> None:
        """Step an awaiter in a loop."""
        loop = asyncio.get_running_loop()
        if number:
            self.begun[0].wait(10)
        bridge = self.form.Bridge(self.form.Deferred())
        bridge.add_done_callback(lambda _: self.step(number), context=copy_context())
        bridge.deliver(1, loop)
        self.ended[number].set()
        self.ended[1 - number].wait(10)
        self.found.append(self.form.Bridge(self.form.Deferred()).get_loop() is loop)

    def run(self, number: int) -> None:
        """Be a thread."""
        asyncio.run(self.work(number))
        self.found.append(self.form.Bridge(self.form.Deferred()).get_loop())


@each_form
def test_steps_in_two_threads(form: Any) -> None:
    """Tasks that loops of two threads step at the same time leave nothing behind in either."""
    steps = Steps(form)
    threads = [threading.Thread(target=steps.run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(steps.found, key=str) == [None, None, True, True]


@each_form
@pytest.mark.parametrize("is_stepped", [False, True], ids=["soon", "now"])
async def test_the_context_of_an_awaiter(form: Any, is_stepped: bool) -> None:
    """Each awaiter is called in its own context, by the loop and in the middle of a turn."""
    variable: ContextVar[int] = ContextVar("variable", default=0)
    loop = asyncio.get_running_loop()
    bridge = form.Bridge(form.Deferred())
    seen: list[int] = []
    for number in (1, 2):
        context = copy_context()
        context.run(variable.set, number)
        bridge.add_done_callback(lambda _: seen.append(variable.get()), context=context)
    bridge.deliver(5, loop if is_stepped else None)
    assert seen == ([1, 2] if is_stepped else [])
    await asyncio.sleep(0)
    assert seen == [1, 2]


class Woken:
    """A task that awaits a Deferred of a form, and whose wakeup a Bridge of it has."""

    def __init__(self, form: Any):
        self.loop = asyncio.get_running_loop()
        self.deferred = form.Deferred()
        self.task = self.loop.create_task(wait(self.deferred))

    async def deliver(self, result: Any) -> Any:
        """Fire the Deferred in the middle of a callback; return what ends the task."""
        await asyncio.sleep(0)
        self.loop.call_soon(self.deferred.fire, result, self.loop)
        return (await asyncio.gather(self.task, return_exceptions=True))[0]


@each_form
@pytest.mark.parametrize("value", [None, False, 5, "text", [1], ValueError("a value")], ids=repr)
async def test_a_task_gets_what_its_awaiter_has(form: Any, value: Any) -> None:
    """Whatever a task is woken with, it gets the result, which may be an exception too."""
    assert await Woken(form).deliver(value) is value


@each_form
@pytest.mark.parametrize("kind", [ValueError, KeyError, StopIteration, asyncio.CancelledError])
async def test_a_task_gets_the_error_of_its_awaiter(form: Any, kind: type[BaseException]) -> None:
    """Nor does it miss an error."""
    error = await Woken(form).deliver(Failure(kind("on purpose")))
    assert isinstance(error, RuntimeError if kind is StopIteration else kind)


@each_form
async def test_a_task_of_a_deferred_gets_its_result(form: Any) -> None:
    """A task that was made of the Deferred itself is woken with its own kind of awaiter."""
    deferred, loop = form.Deferred(), asyncio.get_running_loop()
    task = loop.create_task(deferred)
    await asyncio.sleep(0)
    loop.call_soon(deferred.fire, 5, loop)
    assert await task == 5


@each_form
async def test_a_method_of_a_task_is_no_wakeup(form: Any) -> None:
    """Any function that waits for an awaiter gets that, a method of a task in C as well."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(asyncio.sleep(0))
    bridge = form.Bridge(form.Deferred())
    bridge.add_done_callback(task.set_name, context=copy_context())
    bridge.deliver(5, loop)
    assert task.get_name() == str(bridge)
    await task


@each_form
@pytest.mark.parametrize("is_plain", [True, False], ids=["result", "error"])
async def test_what_a_task_is_asked_with(form: Any, is_plain: bool) -> None:
    """For a plain result, C wakes a task in C with what stands for all that have one."""
    asked: list[str] = []
    stand_in = SimpleNamespace(result=lambda: asked.append("a result"))
    use_tasks = (lambda *_: None) if native is None else native.use_tasks
    use_tasks(asyncio.Task, stand_in)
    try:
        await Woken(form).deliver(5 if is_plain else Failure(ValueError("on purpose")))
    finally:
        use_tasks(asyncio.Task, done_future())
    in_c = native is not None and form is FORMS["used"]
    assert asked == (["a result"] if in_c and is_plain else [])
