"""The fields and the awaiting of a Deferred are the same in C and in Python."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pure_defer import FORMS

from broker.failure import Failure

each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
MANY = 100_000


async def wait(deferred: Any) -> Any:
    """Await it."""
    return await deferred


def outcome(function: Callable[[], Any]) -> str:
    """What a function returns or raises, as text."""
    try:
        return f"returned {function()!r}"
    except StopIteration as stop:
        return f"ended with {stop.value!r}"
    except BaseException as error:
        return f"raised {type(error).__name__}({error})"


# Random chains.

WHICH = st.integers(0, 2)
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["value", "raise", "recover", "inner", "same"]), WHICH, WHICH),
    st.tuples(
        st.sampled_from(
            [
                "fire",
                "fire none",
                "fire many",
                "fail",
                "pause",
                "unpause",
                "cancel",
                "items",
                "label",
            ]
        ),
        WHICH,
    ),
    st.tuples(st.sampled_from(["await", "task bridge", "bridge"]), WHICH),
    st.tuples(
        st.sampled_from(["step", "step with", "throw", "throw class", "close", "drop"]), WHICH
    ),
    st.tuples(st.sampled_from(["done", "cancel bridge", "interrupt", "withdraw", "result"]), WHICH),
)


class Play:
    """Three Deferreds, and what is done with them."""

    def __init__(self, form: Any):
        self.form = form
        self.log: list[str] = []
        self.deferreds = [form.Deferred() for _ in range(2)]
        self.deferreds.append(form.Deferred(lambda _: self.log.append("canceller")))
        self.coroutines: list[Any] = []
        self.bridges: list[Any] = []

    def note(self, *what: Any) -> None:
        """Write something down, without addresses."""
        self.log.append(" ".join(each if type(each) is str else self.shown(each) for each in what))

    def shown(self, value: Any) -> str:
        """A value as text."""
        if isinstance(value, Failure):
            return f"failure of {type(value.value).__name__}"
        if value in self.deferreds:
            return f"deferred {self.deferreds.index(value)}"
        if isinstance(value, self.form.Bridge):
            return type(value).__name__
        return "no outcome" if type(value).__name__ == "_NoOutcome" else repr(value)

    def add(self, kind: str, which: int, other: int) -> None:
        """Add a callback."""

        def callback(result: Any) -> Any:
            self.note("callback", kind, which, "gets", result)
            if kind == "value":
                return other
            if kind == "raise":
                raise KeyError(other)
            if kind == "inner" and other != which:
                return self.deferreds[other]
            return result

        add = (
            self.deferreds[which].addBoth if kind != "recover" else self.deferreds[which].addErrback
        )
        add(callback)

    def act(self, kind: str, which: int, other: int = 0) -> None:
        """Do one thing, and write down what came of it."""
        try:
            done = self.do(kind, which, other)
        except StopIteration as stop:
            self.note(kind, "ended with", stop.value)
        except BaseException as error:
            self.note(kind, "raised", type(error).__name__, str(error).partition("\n")[0][:60])
        else:
            self.note(kind, done)

    def do(self, kind: str, which: int, other: int) -> Any:
        """Do one thing."""
        deferred = self.deferreds[which]
        coroutine = self.coroutines[which] if which < len(self.coroutines) else None
        bridge = self.bridges[which] if which < len(self.bridges) else None
        match kind:
            case "value" | "raise" | "recover" | "inner" | "same":
                return self.add(kind, which, other)
            case "fire":
                return deferred.callback(which)
            case "fire none":
                return deferred.callback(None)
            case "fire many":
                return deferred.callback([1, {"a": 2}])
            case "fail":
                return deferred.errback(ValueError(which))
            case "pause" | "unpause" | "cancel":
                return getattr(deferred, kind)()
            case "items":
                items = deferred._items
                return None if items is None else len(items)
            case "label":
                deferred.label = "label"
                return deferred.label
            case "await":
                self.coroutines.append(wait(deferred))
                return self.coroutines[-1].send(None)
            case "task bridge":
                self.bridges.append(self.form.TaskBridge(deferred))
            case "bridge":
                self.bridges.append(self.form.Bridge(deferred))
            case "step" if coroutine is not None:
                return coroutine.send(None)
            case "step with" if coroutine is not None and coroutine.cr_frame is not None:
                if coroutine.cr_await is not None:
                    return coroutine.send("what was yielded")
            case "throw" if coroutine is not None:
                return coroutine.throw(OSError("thrown"))
            case "throw class" if coroutine is not None:
                return coroutine.throw(OSError)
            case "close" if coroutine is not None:
                return coroutine.close()
            case "drop" if coroutine is not None:
                self.coroutines.remove(coroutine)
            case "done" if bridge is not None:
                bridge.when_done(lambda woken: self.note("woken", woken.outcome))
            case "cancel bridge" if bridge is not None:
                return bridge.cancel("message")
            case "interrupt" | "withdraw" | "result" if bridge is not None:
                return getattr(bridge, kind)()
        return None

    def state(self) -> list[str]:
        """What can be seen in the end."""
        found = []
        for deferred in self.deferreds:
            items = deferred._items
            found.append(
                f"{deferred.called} {deferred.paused} {len(items or ())}"
                f" {self.shown(getattr(deferred, 'result', 'none'))}"
                f" {deferred._is_running} {deferred._swallows_one} {deferred._canceller is None}"
            )
            deferred.addErrback(lambda failure: None)
        for bridge in self.bridges:
            pending = bridge.outcome is self.form.PENDING
            found.append(f"{pending} {bridge.done()} {bridge.cancelled()}")
        for coroutine in self.coroutines:
            found.append(f"{coroutine.cr_frame is None}")
            coroutine.close()
        return found


@given(st.lists(ACTIONS, max_size=25))
@settings(max_examples=1000)
def test_random_chains(actions: list[Any]) -> None:
    """Whatever is done with Deferreds and who awaits them, the same comes of it."""
    plays = [Play(form) for form in FORMS.values()]
    for action in actions:
        for play in plays:
            play.act(*action)
    shown = [play.log + play.state() for play in plays]
    assert shown[0] == shown[1]


@given(
    st.lists(st.tuples(st.sampled_from(["wait", "task", "fire", "fail", "cancel", "turn"]), WHICH))
)
@settings(max_examples=150)
def test_random_tasks(actions: list[Any]) -> None:
    """Tasks that await Deferreds, and Deferreds that are tasks, wake in the same order."""

    async def play(form: Any) -> list[str]:
        log: list[str] = []
        deferreds = [form.Deferred() for _ in range(3)]
        tasks: list[Any] = []

        async def follow(number: int, which: int) -> None:
            try:
                log.append(f"{number} got {await deferreds[which]!r}")
            except BaseException as error:
                log.append(f"{number} raised {type(error).__name__}")
                raise

        for kind, which in actions:
            if kind == "wait":
                tasks.append(asyncio.ensure_future(follow(len(tasks), which)))
            elif kind == "task":
                tasks.append(asyncio.get_running_loop().create_task(deferreds[which]))
            elif kind == "cancel" and which < len(tasks):
                tasks[which].cancel()
            elif kind == "fire" and not deferreds[which].called:
                deferreds[which].callback(which)
            elif kind == "fail" and not deferreds[which].called:
                deferreds[which].errback(ValueError(which))
            await asyncio.sleep(0)
        for deferred in deferreds:
            if not deferred.called:
                deferred.callback("end")
            deferred.addErrback(lambda failure: None)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return [*log, *(f"{type(each).__name__} {each}" for each in done)]

    assert asyncio.run(play(FORMS["used"])) == asyncio.run(play(FORMS["pure"]))


# The awaiter as an iterator.


@each_form
def test_steps(form: Any) -> None:
    """The iterator of an ``await`` gives one awaiter, and then returns the result."""
    for result in (None, 1, "text", (1, 2), [1], {"a": 1}, b"octets", Ellipsis):
        deferred = form.Deferred()
        iterator = deferred.__await__()
        assert iter(iterator) is iterator
        awaiter = next(iterator)
        assert isinstance(awaiter, form.Bridge)
        assert awaiter._asyncio_future_blocking is True
        deferred.callback(result)
        assert outcome(lambda it=iterator: it.send(None)) == f"ended with {result!r}"
        # And at once if there is a result already.
        assert outcome(lambda d=deferred: next(d.__await__())) == f"ended with {result!r}"
        assert outcome(lambda d=deferred: d.__await__().send(None)) == f"ended with {result!r}"
        assert outcome(lambda d=deferred: wait(d).send(None)) == f"ended with {result!r}"


@each_form
def test_yield_from(form: Any) -> None:
    """``yield from`` a Deferred works as ``await`` does."""

    def generator(deferred: Any) -> Any:
        result = yield from deferred
        return result + 1

    deferred = form.Deferred()
    running = generator(deferred)
    next(running)
    deferred.callback(1)
    assert outcome(lambda: running.send(None)) == "ended with 2"


@each_form
@pytest.mark.parametrize("error", [ValueError("text"), StopAsyncIteration(), KeyError(1)])
def test_a_failure(form: Any, error: Exception) -> None:
    """A failure is raised in the coroutine, and counts as handled."""

    async def catch(deferred: Any) -> Any:
        try:
            await deferred
        except Exception as caught:
            return caught

    for is_early in (False, True):
        deferred = form.Deferred()
        coroutine = catch(deferred)
        if is_early:
            deferred.errback(error)
        else:
            coroutine.send(None)
            deferred.errback(error)
        with pytest.raises(StopIteration) as caught:
            coroutine.send(None)
        assert caught.value.value is error
        assert deferred._unhandled is None or deferred._unhandled.failure is None


@each_form
def test_throw(form: Any) -> None:
    """An exception that is thrown in is raised, and the awaiter leaves the chain."""

    class Falsy(Exception):
        def __bool__(self) -> bool:
            return False

    traceback = None
    try:
        raise OSError("elsewhere")
    except OSError as caught:
        traceback = caught.__traceback__
    falsy, error = Falsy("falsy"), OSError("error")
    for thrown, expected in (
        ((OSError,), OSError()),
        ((error,), error),
        ((OSError, error), error),
        ((OSError, None), OSError()),
        ((OSError, "text"), OSError("text")),
        ((OSError, ("two", "args")), OSError("two", "args")),
        ((OSError, error, None), error),
        ((OSError, error, traceback), error),
        ((Falsy, falsy, None), falsy),
        ((falsy,), falsy),
    ):
        deferred = form.Deferred()
        coroutine = wait(deferred)
        coroutine.send(None)
        assert len(deferred._items) == 1
        with pytest.raises(type(expected)) as raised:
            coroutine.throw(*thrown)
        assert raised.value.args == expected.args
        assert raised.value is expected or expected not in (error, falsy)
        assert not deferred._items


@each_form
@pytest.mark.parametrize("how", ["close", "drop", "throw", "resume"])
def test_the_awaiter_leaves(form: Any, how: str) -> None:
    """A coroutine that has ended without a result does not count as an awaiter any more."""
    deferred = form.Deferred()
    coroutine = wait(deferred)
    coroutine.send(None)
    match how:
        case "close":
            coroutine.close()
        case "drop":
            del coroutine
            gc.collect()
        case "throw":
            with pytest.raises(OSError, match="thrown"):
                coroutine.throw(OSError("thrown"))
        case _:
            with pytest.raises(RuntimeError, match="asTwisted"):
                coroutine.send(None)
    assert not deferred._items
    other = form.Bridge(deferred)
    assert other._is_last()
    deferred.callback(1)


@each_form
def test_made_without_init(form: Any) -> None:
    """An object that was made in no proper way raises, and does not end the process."""
    bridge = object.__new__(form.Bridge)
    for name in (
        "get_loop", "result", "_wake", "exception", "done", "cancelled", "withdraw", "close",
        "cancel", "interrupt", "_is_last",
    ):  # fmt: skip
        outcome(getattr(bridge, name))
    outcome(lambda: bridge.deliver(1))
    outcome(lambda: bridge.add_done_callback(print))
    outcome(lambda: bridge.when_done(lambda _: None))
    outcome(lambda: next(bridge))
    outcome(lambda: bridge.send(None))
    outcome(lambda: bridge.throw(OSError))
    for name in ("_wakeups", "_deferred", "_loop", "outcome", "_asyncio_future_blocking"):
        outcome(lambda name=name: getattr(bridge, name))
    deferred = object.__new__(form.Deferred)
    for name in ("_items", "_canceller", "_unhandled", "called", "paused", "result", "label"):
        outcome(lambda name=name: getattr(deferred, name))
    outcome(lambda: wait(deferred).close())
    outcome(lambda: deferred.callback(1))
    outcome(lambda: repr(deferred))
    del bridge, deferred
    gc.collect()


@each_form
def test_wrong_arguments(form: Any) -> None:
    """Arguments of the wrong kind or number raise."""
    bridge = form.Bridge(form.Deferred())
    for call in (
        lambda: form.Bridge(),
        lambda: form.Bridge(1),
        lambda: form.Bridge(form.Deferred(), 1),
        lambda: bridge.deliver(),
        lambda: bridge.deliver(1, 2, 3),
        lambda: bridge.add_done_callback(),
        lambda: bridge.add_done_callback(print, context=None, other=1),
        lambda: bridge.add_done_callback(print, other=None),
        lambda: bridge.add_done_callback(print, None),
        lambda: bridge.get_loop(1),
    ):
        assert outcome(call).startswith("raised TypeError") or outcome(call).startswith(
            "raised AttributeError"
        )


# Attributes that programs of Twisted set.


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
    with contextlib.suppress(ValueError):
        deferred.called = Unknown()
        assert FORMS["pure"] is form or FORMS["used"].ChainBase is FORMS["pure"].ChainBase
        return
    assert deferred.called is False


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
                bridge = form.Bridge(deferred)
                bridge._loop = last
        last = deferred
    del last, deferred
    gc.collect()


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
def test_subclasses(form: Any) -> None:
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

    async def main() -> Any:
        task = asyncio.get_running_loop().create_task(Own())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
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


@each_form
def test_steps_in_two_threads(form: Any) -> None:
    """Tasks that loops of two threads step at the same time leave nothing behind in either."""
    begun = [threading.Event() for _ in range(2)]
    ended = [threading.Event() for _ in range(2)]
    found: list[Any] = []

    def step(number: int) -> None:
        begun[number].set()
        # The first one ends while the second one goes on.
        (begun[1] if number == 0 else ended[0]).wait(10)

    async def main(number: int) -> None:
        loop = asyncio.get_running_loop()
        if number:
            begun[0].wait(10)
        bridge = form.Bridge(form.Deferred())
        bridge.add_done_callback(lambda _: step(number), context=copy_context())
        bridge.deliver(1, loop)
        ended[number].set()
        ended[1 - number].wait(10)
        assert form.Bridge(form.Deferred()).get_loop() is loop

    def run(number: int) -> None:
        asyncio.run(main(number))
        found.append(form.Bridge(form.Deferred()).get_loop())

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None, None]
