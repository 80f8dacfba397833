"""The fields and the awaiting of a Deferred are the same in C and in Python."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pure_defer import FORMS, outcome, wait

from broker.failure import Failure

each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
MANY = 100_000


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


async def with_tasks(form: Any, actions: list[Any]) -> list[str]:
    """What tasks do, in order."""
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


def in_a_loop(form: str, actions: list[Any]) -> list[str]:
    """The same, in a loop."""
    return asyncio.run(with_tasks(FORMS[form], actions))


@given(
    st.lists(st.tuples(st.sampled_from(["wait", "task", "fire", "fail", "cancel", "turn"]), WHICH))
)
@settings(max_examples=150)
def test_random_tasks(actions: list[Any]) -> None:
    """Tasks that await Deferreds, and Deferreds that are tasks, wake in the same order."""
    assert in_a_loop("used", actions) == in_a_loop("pure", actions)


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
@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature:DeprecationWarning")
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
    gc.collect()


@each_form
def test_wrong_arguments(form: Any) -> None:
    """Arguments of the wrong kind or number raise."""
    bridge = form.Bridge(form.Deferred())
    for call in (
        form.Bridge,
        lambda: form.Bridge(1),
        lambda: form.Bridge(form.Deferred(), 1),
        bridge.deliver,
        lambda: bridge.deliver(1, 2, 3),
        bridge.add_done_callback,
        lambda: bridge.add_done_callback(print, context=None, other=1),
        lambda: bridge.add_done_callback(print, other=None),
        lambda: bridge.add_done_callback(print, None),
        lambda: bridge.get_loop(1),
    ):
        assert outcome(call).startswith("raised TypeError") or outcome(call).startswith(
            "raised AttributeError"
        )
