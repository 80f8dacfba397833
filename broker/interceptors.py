"""Interceptors: functions around the calls of peers, which may refuse a call or replace its result.

Theory of operation. An incoming call passes its checks, then the interceptors, the first given
outermost, then its method. Each call is a task then. Calls of one object keep their order: the
method of a call begins after the methods of all earlier calls of that object have begun, or have
been refused.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable
from functools import partial
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from broker.connection.broker import Broker
from broker.connection.peer import CURRENT_CALL, Call
from broker.core.calls.dispatch import Method, note_raised
from broker.core.calls.incoming_call import IncomingCall
from broker.errors import ServerBusy, WrongType
from broker.flavors.cacheable import RemoteCache
from broker.flavors.pulled_streams import PulledStream
from broker.token_bucket import Rate, TokenBuckets

__all__ = ["Interceptor", "RateLimit", "checked_interceptors", "intercept"]

Proceed: TypeAlias = Callable[[], Awaitable[Any]]
"""Runs the next interceptor, or the method, and returns its result."""

# Their calls are part of other calls: the state that a cache copies, and the items of a stream.
_OTHERS = (RemoteCache, PulledStream)


class Interceptor(Protocol):
    """Runs around each call of the peers of a server; an async function, or an object like one."""

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Return the result of the call.

        Args:
            call: the call, without its arguments: what was checked is what runs.
            proceed: ``await proceed()`` runs the next interceptor or the method, and returns its
                result. It may be called once; a second call raises RuntimeError.

        Raises:
            Exception: any error is the error of the call.
        """
        ...


class RateLimit:
    """Refuses calls beyond a rate, with ServerBusy, whose ``after`` says when to try again.

    ::

        broker.serve(…, interceptors=[broker.RateLimit(calls=100, per=1.0)])

    Args:
        calls: how many calls may come at once.
        per: seconds after which as many may come again.
        by: returns the key of a call, whose calls are counted together; default the user who has
            logged in, or else the connection.
        clock: returns the time in seconds.

    Raises:
        WrongType: a TypeError: ``calls`` is not an int.
        ValueError: ``calls`` is less than 1, or ``per`` is not positive.
    """

    def __init__(
        self,
        calls: int,
        per: float = 1.0,
        by: Callable[[Call], Hashable] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        if type(calls) is not int:
            raise WrongType(f"calls= is an int, not {type(calls).__name__}")
        if calls < 1 or not 0 < per < math.inf:
            raise ValueError(f"RateLimit(calls={calls}, per={per}): give positive numbers")
        self._text = f"{calls} calls in {per:g} s (rate limit)"
        self._most = calls
        self._by = _user_of if by is None else by
        self._buckets = TokenBuckets(Rate(calls, per / calls), clock)

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Count the call, and refuse it or let it proceed."""
        key = self._by(call)
        wait = self._buckets.wait(key)
        if wait > 0:
            error = ServerBusy(f"{self._text}; again in {wait:.1f} s")
            error.after, error.limit, error.most = wait, "rate limit", self._most
            raise error
        self._buckets.mark(key)
        return await proceed()


def checked_interceptors(interceptors: Iterable[object]) -> tuple[Interceptor, ...]:
    """Return interceptors, as a tuple.

    Raises:
        WrongType: a TypeError: one of them cannot be called.
    """
    given = tuple(interceptors)
    for each in given:
        if not callable(each) or isinstance(each, type):
            kind = f"the class {each.__name__}" if isinstance(each, type) else type(each).__name__
            raise WrongType(f"interceptors= takes async functions, not {kind}")
    return given  # type: ignore[return-value]


def intercept(broker: Broker, interceptors: tuple[Interceptor, ...]) -> None:
    """Run interceptors around the calls of a peer, once it may send all messages."""
    broker.session.incoming.intercept(_Intercepted(broker, interceptors).run)


class _Intercepted:
    """The interceptors of one connection."""

    def __init__(self, broker: Broker, interceptors: tuple[Interceptor, ...]):
        self._broker = broker
        self._interceptors = interceptors
        # For each object, the call that came last: done when its method has begun.
        self._last: WeakKeyDictionary[object, asyncio.Future[None]] = WeakKeyDictionary()

    def run(self, call: IncomingCall, method: Method, run: Callable[..., object]) -> object:
        """Run a call of the peer; the interceptor of the session."""
        kind = call.kind
        if self._broker.session.gate is not None or kind is None or issubclass(kind, _OTHERS):
            # A call of a login, which has secrets; or a hook that needs the result at once.
            return run(call.args, call.kw)
        before, begun = self._queue(call)
        shown: Call = self._broker.session.incoming.own_context(call)[CURRENT_CALL]
        if call.route is not None:
            # ``run`` marks the errors of the method: others are about the call itself.
            call.route = call.route._replace(is_ours=True)
        return self._through(shown, partial(run, call.args, call.kw), before, begun)

    def _queue(
        self, call: IncomingCall
    ) -> tuple[asyncio.Future[None] | None, asyncio.Future[None]]:
        target = None if call.route is None else call.route.target
        begun = asyncio.get_running_loop().create_future()
        try:
            before = self._last.get(target)
            self._last[target] = begun
        except TypeError:
            # An object without weak references has no queue.
            before = None
        return (None if before is None or before.done() else before), begun

    async def _through(
        self,
        call: Call,
        run: Callable[[], object],
        before: asyncio.Future[None] | None,
        begun: asyncio.Future[None],
    ) -> Any:
        async def method() -> Any:
            if before is not None:
                await asyncio.shield(before)
            try:
                result = run()
            finally:
                _done(begun)
            return await _awaited(result)

        proceed: Proceed = method
        for each in reversed(self._interceptors):
            proceed = partial(each, call, _once(proceed))
        try:
            return await proceed()
        finally:
            if before is None or before.done():
                _done(begun)
            else:
                before.add_done_callback(lambda _: _done(begun))


def _once(proceed: Proceed) -> Proceed:
    called = False

    def call_once() -> Awaitable[Any]:
        nonlocal called
        if called:
            raise RuntimeError("proceed was called twice")
        called = True
        return proceed()

    return call_once


async def _awaited(result: Any) -> object:
    """Return the result of a method, which may be an awaitable."""
    if not hasattr(type(result), "__await__"):
        return result
    try:
        return await result
    except Exception as error:
        note_raised(error)
        raise


def _done(begun: asyncio.Future[None]) -> None:
    if not begun.done():
        begun.set_result(None)


def _user_of(call: Call) -> Hashable:
    user = call.peer.avatar_id
    return call.connection if user is None else user
