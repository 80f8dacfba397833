"""What happens where memory is missing: each allocation of an operation fails once.

``python -m support.no_memory`` runs all operations, in each form, and prints one line for each. It
ends with a traceback at the first one that leaves something inconsistent. It needs ``_testcapi``,
the module of CPython's own tests.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import msgspec
from fuzz.lane_room import POLICIES, Quiet, Room

from broker.core.unsent import Unsent
from broker.defer import Deferred
from broker.defer.awaiting import Bridge
from broker.failure import Failure
from broker.native import native
from support.lane_forms import LANES

__all__ = ["OPERATIONS", "main"]

_MOST = 120
_NOTHING = object()


def framed(*fields: Any) -> bytes:
    """Return a frame."""
    body = msgspec.msgpack.encode(fields)
    return len(body).to_bytes(4, "big") + body


def frames_of(data: bytes) -> list[Any]:
    """Return the frames of bytes, which must be whole."""
    found = []
    while data:
        size = 4 + int.from_bytes(data[:4], "big")
        assert len(data) >= size, "half a frame"
        found.append(msgspec.msgpack.decode(data[4:size]))
        data = data[size:]
    return found


Case = tuple[Callable[[], object], Callable[[bool], None]]
"""An operation, and a check that is told whether the operation has raised MemoryError."""


def of_unsent(before: tuple[int, ...], size: int | None) -> Case:
    """Append a message, or take all with None."""
    unsent = Unsent()
    for each in before:
        unsent.append(b"x" * each)
    due, piece = b"x" * sum(before), b"x" * (size or 0)
    found = [b""]

    def take() -> None:
        found[0] = unsent.take()

    def check(failed: bool) -> None:
        length = unsent.size
        rest = unsent.take()
        assert length == len(rest)
        assert found[0] + rest == (due if failed else due + piece)

    return take if size is None else (lambda: unsent.append(piece)), check


def of_run(form: str, data: bytes) -> Case:
    """Let a lane handle frames."""
    room = Room(form, False, POLICIES[0])
    room.feed(framed(1, 9, "root", "nothing", [], {}))
    session = room.broker.session
    lane: Any = session.inbox.lane
    session.outbox.take()
    lane.is_open = True
    run = lane.run

    def check(failed: bool) -> None:
        sent = session.outbox.unsent
        size, queued = sent.size, sent.queued
        frames = frames_of(sent.take())
        assert size >= 0
        assert queued >= len(frames) - failed
        numbers = [each[2] if each[0] == 7 else each[1] for each in frames if each[0] in (5, 6, 7)]
        assert len(set(numbers)) == len(numbers), "two answers"
        assert set(session.outgoing.open_calls.open) >= set(room.broker.calls.waiting) or failed
        lane.is_open = True
        more = framed(1, 77, "root", "echo", [[1]], {})
        lane.run(more, 0, -1)
        assert frames_of(sent.take()) == [[5, 77, [1]]]
        room.release()
        room.end()

    return (lambda: run(data, 0, -1)), check


def of_turn(form: str, data: bytes) -> Case:
    """Let a pump handle the bytes of a turn, whose lane takes all."""
    room = Room(form, False, POLICIES[0])
    room.feed(framed(1, 9, "root", "nothing", [], {}))
    broker = room.broker
    room.transport.take()
    assert broker.session.inbox.is_idle
    run = broker.pump.run

    def check(failed: bool) -> None:
        assert not (broker.pump._is_running or broker.calls.is_batched)
        assert broker.calls.stepped_loop is None
        if not failed:
            frames = frames_of(room.transport.take() + broker.session.outbox.unsent.take())
            # An exception of the method is the answer.
            numbers = [each[2] if each[0] == 7 else each[1] for each in frames]
            assert numbers == [20]
        room.release()
        room.end()

    return (lambda: run(0.0, data)), check


def of_pairs(form: str, value: Any) -> Case:
    """Let a lane fire a Promise with two callbacks."""
    room = Room(form, False, POLICIES[0])
    room.feed(framed(1, 9, "root", "nothing", [], {}))
    session = room.broker.session
    lane: Any = session.inbox.lane
    promise: Any = room.broker.remoteForName(b"root").callRemote("x")
    number = session.outgoing.open_calls.last
    seen: list[Any] = []
    promise.addCallback(lambda result: [result])
    promise.addCallback(lambda result: seen.append(result))
    data, run = framed(5, number, value), lane.run
    lane.is_open = True

    def check(failed: bool) -> None:
        assert not promise._is_running
        # An exception in a callback is its result.
        assert failed or seen in ([[value]], []) or isinstance(promise.result, Failure)
        promise.addErrback(lambda failure: None)
        room.release()
        room.end()

    return (lambda: run(data, 0, -1)), check


def of_call(form: str, args: tuple[Any, ...]) -> Case:
    """Make a call."""
    room = Room(form, False, POLICIES[0])
    room.feed(framed(1, 9, "root", "nothing", [], {}))
    broker = room.broker
    reference = broker.remoteForName(b"root")
    made: list[Any] = [None]
    broker.calls.is_batched = True

    def operation() -> None:
        made[0] = reference.callRemote("x", *args)

    def check(failed: bool) -> None:
        unsent, opened, waiting = (
            broker.session.outbox.unsent,
            broker.session.outgoing.open_calls.open,
            broker.calls.waiting,
        )
        size = unsent.size
        data = unsent.take()
        assert size == len(data) or failed
        frames = frames_of(data)
        for each in frames:
            number = each[2] if each[0] == 7 else each[1]
            assert number in opened or failed, "a call without an entry"
        again = reference.callRemote("x", 1)
        again.addErrback(lambda failure: None)
        for promise in (*filter(None, made), *waiting.values()):
            promise.addErrback(lambda failure: None)
        numbers = [
            each[2] if each[0] == 7 else each[1] for each in (*frames, *frames_of(unsent.take()))
        ]
        assert len(set(numbers)) == len(numbers), "a request id is used twice"
        room.release()
        room.end()

    return operation, check


async def _awaits(deferred: Any, found: list[Any]) -> None:
    found[0] = await deferred


def of_awaiting(value: Any) -> Case:
    """Await a Deferred, and fire it."""
    deferred: Any = Deferred()
    found: list[Any] = [_NOTHING]
    coroutine = _awaits(deferred, found)

    def operation() -> None:
        coroutine.send(None)
        deferred.callback(value)
        with suppress(StopIteration):
            coroutine.send(None)

    def check(failed: bool) -> None:
        coroutine.close()
        deferred.addErrback(lambda failure: None)
        assert found[0] is value or (failed and found[0] is _NOTHING)

    return operation, check


def of_bridge(is_stepped: bool) -> Case:
    """Wake two awaiters of a Bridge, by their loop or now."""
    loop = asyncio.new_event_loop()
    deferred: Any = Deferred()
    bridge = Bridge(deferred)
    bridge._loop = loop
    seen: list[Any] = []
    contexts = [copy_context(), copy_context()]

    def operation() -> None:
        for context in contexts:
            bridge.add_done_callback(seen.append, context=context)
        bridge.deliver(5, loop if is_stepped else None)

    def check(failed: bool) -> None:
        deferred.callback(None)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        assert all(each is bridge for each in seen)
        assert failed or len(seen) == 2

    return operation, check


_CALLS = framed(1, 20, "root", "echo", [[1], {"a": [2]}], {})
_ALL = (
    _CALLS + framed(2, 0, "root", "nothing", ["é" * 40], {}) + framed(5, 1, {"a": [1, "€"]})
    + framed(6, 2, (1, [2])) + framed(1, 21, "root", "give", [40], {})
    + framed(1, 23, "root", "echo", [1 << 40], {})
)  # fmt: skip
_LEFT = framed(1, 24, "root", "echo", [1], {}, 5000)
_BAD = _CALLS + framed(1, 25, "root", "echo", [b"octets"], {})


def _operations() -> Iterator[tuple[str, Callable[[], Case]]]:
    # Only of the forms in C, and what does not leave them: in Python each line may raise
    # MemoryError, and CPython 3.12 and msgspec 0.22 end the process in some places.
    for before in ((), (3,), (600,), (3, 2000), (2000, 2000, 3)) if native is not None else ():
        for size in (None, 5, 700, 3000):
            yield f"unsent {before} {size}", lambda b=before, s=size: of_unsent(b, s)
    for form in set(LANES) & {"c"}:
        for name, data in (("all", _ALL), ("left", _CALLS + _LEFT), ("bad", _BAD)):
            yield f"run {name} {form}", lambda f=form, d=data: of_run(f, d)
        yield f"turn {form}", lambda f=form: of_turn(f, _CALLS)
        for value in (5, "text", [1]):
            yield f"pairs {value!s:.20} {form}", lambda f=form, v=value: of_pairs(f, v)
        for args in ((), (1, "two"), ([1], {"a": [2.5]}), ("é" * 1000,), ([0] * 600,)):
            yield f"call {args!s:.40} {form}", lambda f=form, a=args: of_call(f, a)
    for value in (None, 1, [1], ("a",), ValueError):
        yield f"await {value}", lambda v=value: of_awaiting(v)
    for is_stepped in (False, True):
        yield f"bridge {is_stepped}", lambda s=is_stepped: of_bridge(s)


OPERATIONS = dict(_operations())


def main(chosen: str = "") -> None:
    """Run the operations whose name begins so."""
    import _testcapi

    faulthandler.enable()
    gc.disable()
    for name, make in OPERATIONS.items():
        if not name.startswith(chosen):
            continue
        failures = 0
        for number in range(_MOST):
            operation, check = make()
            failed = False
            _testcapi.set_nomemory(number, number + 1)
            try:
                operation()
            except MemoryError:
                failed = True
            finally:
                _testcapi.remove_mem_hooks()
            failures += failed
            try:
                check(failed)
            except BaseException:
                print(f"{name}: allocation {number} failed ({failed})", file=sys.stderr)
                raise
        print(f"{name}: {failures} errors", flush=True)


if __name__ == "__main__":
    with Quiet():
        main(*sys.argv[1:])
