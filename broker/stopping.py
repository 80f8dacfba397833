"""Graceful shutdown at a signal: running calls may end, and no new call begins.

Used by servers, and by clients whose objects are called.
"""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from broker.errors import ConfigError

if TYPE_CHECKING:
    from broker.connection.broker import Broker

__all__ = [
    "DRAIN",
    "NO_NOTICE",
    "Notice",
    "checked_drain",
    "checked_notice",
    "close_all",
    "drained",
    "until_told",
]

DRAIN = 30.0
"""The default of ``drain``: seconds that calls have to end."""


# Of the wire: an int of 31 bits in milliseconds; the number of addresses, and their length.
_LONGEST_AFTER = (2**31 - 1) / 1000
_MOST_ADDRESSES, _LONGEST_ADDRESS = 8, 256


class Notice(Struct, frozen=True):
    """What an end that drains tells its peer.

    Attributes:
        after: seconds after which the peer may come again; 0 if that is not known.
        elsewhere: addresses of servers that take its calls now.
    """

    after: float = 0.0
    elsewhere: tuple[str, ...] = ()


NO_NOTICE = Notice()


def checked_notice(after: object, elsewhere: object) -> Notice:
    """Return the notice of a server for its clients.

    Raises:
        ConfigError: ``after`` is not a number of seconds, or ``elsewhere`` not some addresses.
    """
    if (
        not isinstance(after, int | float)
        or isinstance(after, bool)
        or not 0 <= after <= _LONGEST_AFTER
    ):
        raise ConfigError(f"after={after!r}: give seconds, at most {_LONGEST_AFTER:.0f}")
    if isinstance(elsewhere, str) or not isinstance(elsewhere, Sequence):
        raise ConfigError(f"elsewhere={elsewhere!r}: give a list of addresses")
    if len(elsewhere) > _MOST_ADDRESSES:
        raise ConfigError(f"elsewhere= has {len(elsewhere)} addresses, of {_MOST_ADDRESSES}")
    for address in elsewhere:
        if not isinstance(address, str) or len(address) > _LONGEST_ADDRESS:
            raise ConfigError(
                f"elsewhere={elsewhere!r}: an address is text of at most {_LONGEST_ADDRESS}"
                " characters"
            )
    return Notice(float(after), cast("tuple[str, ...]", tuple(elsewhere)))


def checked_drain(seconds: object) -> float:
    """Return the seconds to drain as a float: 0 for no drain, ``math.inf`` for no limit.

    Raises:
        ConfigError: the value is not a number, or negative.
    """
    if (
        not isinstance(seconds, int | float)
        or isinstance(seconds, bool)
        or math.isnan(seconds)
        or seconds < 0
    ):
        raise ConfigError(f"drain={seconds!r}: give seconds, 0 for none; math.inf has no end")
    return float(seconds)


async def until_told(
    ended: Awaitable[object],
    close: Callable[[], Awaitable[object]],
    cut: Callable[[], Awaitable[object]],
    handlers: Mapping[signal.Signals, Callable[[], None]] | None = None,
) -> None:
    """Wait until ``ended`` is done, or SIGINT or SIGTERM comes; then close.

    Args:
        ended: the awaitable to wait for.
        close: closes after running calls.
        cut: closes at once; called after ``close``, or at a second signal during it.
        handlers: functions for other signals; None to handle no signals at all.
    """
    stop, abort = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (abort if stop.is_set() else stop).set()

    taken: dict[signal.Signals, Callable[[], None]] = {}
    if handlers is not None:
        taken = {signal.SIGINT: interrupted, signal.SIGTERM: interrupted, **handlers}
    with _Signals(taken):
        await _first(stop.wait(), ended)
        if stop.is_set():
            await _first(close(), abort.wait())
            await cut()


async def drained(
    brokers: Iterable[Broker],
    seconds: float,
    notice: Notice = NO_NOTICE,
    *others: Awaitable[object],
) -> None:
    """Drain connections: refuse new calls, and wait until the running ones have ended.

    Args:
        brokers: the connections; their peers are told at once.
        seconds: the most seconds to wait.
        notice: what they are told.
        others: to wait for too.
    """
    waits = [asyncio.ensure_future(_until(broker.drain(notice))) for broker in brokers]
    waits += [asyncio.ensure_future(_until(other)) for other in others]
    if waits:
        _, late = await asyncio.wait(waits, timeout=None if math.isinf(seconds) else seconds)
        for wait in late:
            wait.cancel()


async def close_all(
    brokers: Iterable[Broker], seconds: float, text: str, *, at_once: bool, code: str = ""
) -> None:
    """Close connections, and cut those that have not ended after ``seconds``.

    Args:
        brokers: the connections.
        seconds: the most seconds to wait.
        text: the reason for the peers.
        at_once: whether the connections have not been drained.
        code: of the goodbye. Default ``draining``, if all calls of the peer were answered: so the
            peer knows that a call without an answer has not run. Else ``closing``.
    """
    brokers = list(brokers)
    for broker in brokers:
        own = "closing" if at_once or broker.session.running else "draining"
        broker.leave(code or own, text, at_once=at_once)
    if not brokers:
        return
    closing = [asyncio.ensure_future(_until(broker.closed)) for broker in brokers]
    _, late = await asyncio.wait(closing, timeout=seconds)
    for broker in brokers:
        if not broker.disconnected:
            broker.port.abortConnection()
    if late:
        await asyncio.wait(late)


class _Signals:
    """A context manager in which signals call functions, by the number of the signal."""

    def __init__(self, functions: Mapping[signal.Signals, Callable[[], None]]):
        self._functions = functions
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number, function in self._functions.items():
            self._loop.add_signal_handler(number, function)

    def __exit__(self, *exc: object) -> None:
        for number in self._functions:
            self._loop.remove_signal_handler(number)


async def _until(awaitable: Awaitable[object]) -> None:
    await awaitable


async def _first(*awaitables: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
