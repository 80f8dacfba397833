"""The lane of a connection, and finalizers that run in its middle: where an object is made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fuzz.lane_room import Quiet
from support.collecting import at_each_allocation
from support.lane_ends import End, answer, call, framed
from support.lane_forms import LANES

each_lane = pytest.mark.parametrize("form", LANES)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Nothing is logged: what is logged is the matter of other tests."""
    with Quiet():
        yield


ODD = {
    "plain": [1],
    "nested": [[], {"a": []}],
    "surrogate": ["\ud800"],
    "key": {"\ud800": 1},
    "big": [1 << 70],
    "negative": [-(1 << 70)],
    "bytes": [b"octets"],
    "shared": [[]] * 2,
}


@each_lane
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", [b"root", b"\xff"])
@pytest.mark.parametrize("is_handling", [False, True], ids=["", "in an except block"])
def test_a_finalizer_makes_a_call(form: str, kind: str, name: bytes, is_handling: bool) -> None:
    """A call in a finalizer, while another is made, has its own request id; each frame is whole."""
    end = End(form)
    reference = end.broker.remoteForName(name)

    def outer() -> None:
        if is_handling:
            try:
                raise ValueError("in the middle of something")
            except ValueError:
                reference.callRemote("outer", ODD[kind]).addErrback(lambda failure: None)
        else:
            reference.callRemote("outer", ODD[kind]).addErrback(lambda failure: None)

    def inner() -> None:
        made.append(1)
        end.root.callRemote("inner", "i").addErrback(lambda failure: None)
        end.broker.flush()

    outer()
    made: list[int] = []
    for run in at_each_allocation(12, inner):
        made.clear()
        end.run()
        end.sent = b""
        run(outer)
        end.broker.flush()
        end.run()
        frames = [
            (each[2], each[4]) if each[0] == 7 else (each[1], each[3]) for each in end.answers()
        ]
        names = [name for _, name in frames]
        assert names.count("inner") == len(made)
        assert set(names) <= {"inner", "outer"}
        numbers = [number for number, _ in frames]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= set(end.broker.calls.waiting)
        waiting = end.broker.calls.waiting
        assert {waiting[number].label for number, name in frames if name == "inner"} <= {"inner"}


@each_lane
@pytest.mark.parametrize("value", [1, [1], [[1], [2], [3]], ([], [[]]), {"a": {"b": []}}])
@pytest.mark.parametrize("does", ["cancel", "end", "drain", "call"])
def test_a_finalizer_during_an_answer(form: str, value: Any, does: str) -> None:
    """What a finalizer does while an answer is decoded counts before the answer, or behind it."""
    for number in range(8):
        end = End(form)
        promise = end.promises[1]
        promise.addErrback(lambda failure: failure.type.__name__)
        actions: dict[str, Callable[[], object]] = {
            "cancel": promise.cancel,
            "end": end.end,
            "drain": end.broker.drain,
            "call": lambda end=end: end.root.callRemote("x"),
        }
        data = answer(2, value) + call(8, "echo", 8)
        for run in itertools.islice(at_each_allocation(number + 1, actions[does]), number, None):
            run(lambda: end.broker.dataReceived(data))  # noqa: B023 - it is called at once
        end.run()
        expected = [value]
        if does in ("cancel", "end"):
            expected += ["CancelledError", "PBConnectionLost"]
        assert promise.result in expected
        if not end.broker.disconnected:
            end.feed(framed(12, 1))
            assert end.answers()[-1] == [13, 1]


@each_lane
@pytest.mark.parametrize("args", [(), ([1], {"a": [2]}), ([[]],) * 3])
@pytest.mark.parametrize("does", ["end", "drain", "call", "flush"])
def test_a_finalizer_during_a_call(form: str, args: tuple[Any, ...], does: str) -> None:
    """What a finalizer does while a call of the peer is handled does not disturb it."""
    for number in range(8):
        end = End(form)
        actions: dict[str, Callable[[], object]] = {
            "end": end.end,
            "drain": end.broker.drain,
            "call": lambda end=end: end.root.callRemote("x", [1]),
            "flush": end.broker.flush,
        }
        data = call(8, "echo", *args) + call(7, "echo", 7)
        for run in itertools.islice(at_each_allocation(number + 1, actions[does]), number, None):
            run(lambda: end.broker.dataReceived(data))  # noqa: B023 - it is called at once
        end.run()
        calls = [each for each in end.log if "answered" not in each]
        assert len(set(calls)) == len(calls)
        assert calls == [] or calls[0] == repr(("echo", args, {}))
        found = [each for each in end.answers() if each[:2] == [5, 8]]
        assert found in ([], [[5, 8, list(args)]]) or len(args) != 1
        if does in ("call", "flush"):
            assert len(calls) == 2
