"""Runs a test once for each place at which its connection can be cut."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeAlias

from broker.errors import Disconnected
from broker.testing.connected_pair import Pair, Pairing
from broker.testing.conversation import Line

__all__ = ["MOST_BYTES", "every_cut"]

MOST_BYTES = 20_000
"""The longest conversation that is cut at each byte."""

# Seconds that each run may take.
_PATIENCE = 10.0

Test: TypeAlias = Callable[..., Awaitable[object]]
Arguments: TypeAlias = tuple[object, ...]
Keywords: TypeAlias = dict[str, object]
Cuts: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def every_cut(program: Callable[[], Pairing], *, frames: bool = False) -> Callable[[Test], Cuts]:
    """Run an async test with a pair, once for each byte at which its connection can be cut.

    ::

        @broker.testing.every_cut(lambda: broker.testing.pair(Office()))
        async def test_reserve(pair):
            with contextlib.suppress(broker.Disconnected):
                await pair.client.root.callRemote("reserve", 2)
            assert ...

    The first run is whole. Then the connection of each run is cut after so many bytes, from 0 to
    those of the first run, from the handshake on. If it is cut before the login has ended, the test
    is not called. A run with a cut may raise `broker.Disconnected`; every other error is a failure,
    and so is a run of more than 10 seconds, or a task of a connection that does not end.

    Args:
        program: called for each run; returns a `pair`, of new objects.
        frames: cut between messages only, for long conversations.

    Returns:
        A decorator for an ``async def`` whose first argument is the Pair. The result has the other
        arguments, such as fixtures.

    Raises:
        AssertionError: from the test: a run has failed; the text has the byte, the message that was
            cut, and the conversation. The error of the run is its cause.
        TypeError: ``program`` or the test is of the wrong kind.
        ValueError: from the test: the first run has more than 20,000 bytes, and ``frames`` is not
            set.
    """

    if inspect.iscoroutinefunction(program):
        text = "every_cut() takes a function that makes a pair: @every_cut(lambda: pair(…))"
        raise TypeError(text)

    def decorate(test: Test) -> Cuts:
        if not inspect.iscoroutinefunction(test):
            raise TypeError("every_cut() is for an async def, whose first argument is the pair")

        @functools.wraps(test)
        async def run(*args: object, **kw: object) -> None:
            whole = program()
            await _run(whole, test, args, kw)
            pair = whole.made
            for number in _places(pair, frames):
                await _cut(program().cut_at(number), number, pair, test, args, kw)

        signature = inspect.signature(test)
        others = list(signature.parameters.values())[1:]
        run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return run

    return decorate


def _places(pair: Pair, frames: bool) -> Iterable[int]:
    """Return after how many bytes the connection is cut.

    Raises:
        ValueError: they are too many.
    """
    size = _size_of(pair)
    if frames:
        lines = pair.recorder.lines(is_exact=True)
        return [0, *(line.last + 1 for line in lines if line.last < size)]
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes: cut it at frames (frames=True)")
    return range(size + 1)


def _size_of(pair: Pair) -> int:
    """Return the number of bytes until the end of the test."""
    return pair.tested


async def _run(pairing: Pairing, test: Test, args: Arguments, kw: Keywords) -> None:
    async with asyncio.timeout(_PATIENCE), pairing as pair:
        await test(pair, *args, **kw)
        pair.tested = pair.network.carried


async def _cut(
    pairing: Pairing, number: int, whole: Pair, test: Test, args: Arguments, kw: Keywords
) -> None:
    pair = pairing.made
    try:
        async with asyncio.timeout(_PATIENCE):
            try:
                async with pairing:
                    await test(pair, *args, **kw)
            except Disconnected:
                pass
            await _end_of_tasks(pair)
    except Exception as error:
        raise AssertionError(_told(number, whole, pair, error)) from error


async def _end_of_tasks(pair: Pair) -> None:
    """Wait until the methods of both ends have ended, which were cancelled."""
    while pair.was_connected and pair.leaks():
        await asyncio.sleep(0)


def _told(number: int, whole: Pair, pair: Pair, error: Exception) -> str:
    frame = _frame_at(number, whole)
    late = f" in {_PATIENCE:g} s" if isinstance(error, TimeoutError) else ""
    return "\n".join(
        [
            f"cut after {number} of {_size_of(whole)} bytes, {frame}:"
            f" {type(error).__name__}{late}: {error}",
            "the conversation:",
            str(pair.recorder),
        ]
    )


def _frame_at(number: int, whole: Pair) -> str:
    """Return in which message of the whole conversation a byte is, or between which."""
    lines = whole.recorder.lines(is_exact=True)
    if number == 0:
        return "before the first message"
    ended = [line for line in lines if line.last == number - 1]
    if ended:
        return f"behind '{ended[-1]}'"
    end = whole.recorder.side_of(number - 1)
    found: Line | None = next((e for e in lines if e.end == end and e.last >= number), None)
    return f"in a message of the {end}" if found is None else f"in '{found}'"
