"""Interceptors: functions around calls, which may refuse a call or replace its result.

Theory of operation. An incoming call passes its checks, then the interceptors, the first given
outermost, then its method. An outgoing call passes them before it is encoded. Each call is a task
then. Calls of one object keep their order: the method of a call begins, or its message is sent,
after those of all earlier calls of that object, or after these have been refused.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from broker.call_metadata import as_sent
from broker.connection.broker import Broker
from broker.connection.peer import CURRENT_CALL, Call
from broker.core.calls.attached import ATTACHED, Attached
from broker.core.calls.deadline import deadline_at
from broker.core.calls.dispatch import Method, is_of_login, note_raised
from broker.core.calls.incoming_call import IncomingCall
from broker.core.wire.messages import ObjectId
from broker.defer import Deferred
from broker.defer.errors import CancelledError
from broker.defer.foreign import failure_of
from broker.errors import ServerBusy, WrongType
from broker.flavors.cacheable import RemoteCache
from broker.flavors.promise import Promise, contract_name
from broker.flavors.pulled_streams import PulledStream
from broker.token_bucket import Rate, TokenBuckets

__all__ = [
    "Interceptor",
    "RateLimit",
    "awaited",
    "checked_interceptors",
    "intercept",
    "intercept_calls",
]

Proceed: TypeAlias = Callable[[], Awaitable[Any]]
"""Runs the next interceptor, or the method, and returns its result."""

# Their calls are part of other calls: the state that a cache copies, and the items of a stream.
_OTHERS = (RemoteCache, PulledStream)


class Interceptor(Protocol):
    """Runs around each call; an async function, or an object like one.

    Those of ``serve`` run around the calls of clients, those of ``connect`` around the calls that
    the client makes.
    """

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Return the result of the call.

        Args:
            call: the call, without its arguments: what was checked is what runs. Of an outgoing
                call, ``call.metadata`` may be changed before ``proceed``.
            proceed: ``await proceed()`` runs the next interceptor or the method, or sends the call,
                and returns the result. It may be called once; a second call raises RuntimeError.

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


def intercept_calls(broker: Broker, interceptors: tuple[Interceptor, ...]) -> None:
    """Run interceptors around the calls to a peer; no dialect is chosen yet."""
    broker.calls.interception = _Outgoing(broker, interceptors)


# In the interceptors of an outgoing call: by what it is made, and the future that is done when it
# was sent.
_AROUND: ContextVar[tuple[_Outgoing, asyncio.Future[None]] | None]
_AROUND = ContextVar("broker.around", default=None)


class _Intercepted:
    """The interceptors of the incoming calls of one connection."""

    def __init__(self, broker: Broker, interceptors: tuple[Interceptor, ...]):
        self._broker = broker
        self._interceptors = interceptors
        # For each object, the call that came last: done when its method has begun.
        self._last: WeakKeyDictionary[object, asyncio.Future[None]] = WeakKeyDictionary()

    def run(self, call: IncomingCall, method: Method, run: Callable[..., object]) -> object:
        """Run a call of the peer; the interceptor of the session."""
        kind = call.kind
        is_login = self._broker.session.gate is not None or is_of_login(kind)
        if is_login or kind is None or issubclass(kind, _OTHERS):
            # A call of a login, which has secrets; or a hook that needs the result at once.
            return run(call.args, call.kw)
        before, begun = self._queue(call)
        shown: Call = self._broker.session.incoming.own_context(call)[CURRENT_CALL]
        if call.route is not None:
            # ``run`` marks the errors of the method: others are about the call itself.
            call.route = call.route._replace(is_ours=True)
        args, kw = call.args, call.kw
        # Until the interceptors let it proceed.
        call.was_run = False

        def make() -> object:
            call.was_run = True
            return run(args, kw)

        return _through(self._interceptors, shown, make, before, begun, awaited)

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


class _Outgoing:
    """The interceptors of the outgoing calls of one connection."""

    def __init__(self, broker: Broker, interceptors: tuple[Interceptor, ...]):
        self._broker = broker
        self._interceptors = interceptors
        # For each object, the call that came last: done when it was sent.
        self._last: dict[ObjectId, asyncio.Future[None]] = {}
        # The tasks of the calls that have not been sent, and whether each wants an answer.
        self._unsent: dict[asyncio.Task[Any], bool] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        broker.closed.addCallback(self._closed)

    def call(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        kind: type[Deferred[Any]],
        meta: Mapping[str, str] | None,
        wants_answer: bool,
    ) -> Deferred[Any] | None:
        """Make a call behind the interceptors; see ``PendingCalls.make_call``."""
        broker, attached = self._broker, ATTACHED.get()
        due = deadline_at(broker.now) if wants_answer else None
        sent = None if attached is None else attached.meta
        call = Call(
            broker.peer, broker.connection, name, False, wants_answer, None, due, sent,
            contract_name(kind),
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        before, begun = None, loop.create_future()
        around = _AROUND.get()
        # A call that an interceptor makes does not wait for the call that waits for it.
        if around is None or around[0] is not self or around[1].done():
            before = self._last.get(object_id)
            self._last[object_id] = begun
            begun.add_done_callback(partial(self._forget, object_id))
        promise = kind(lambda _: task.cancel()) if wants_answer else None
        make = partial(self._make, call, attached, (perspective, object_id, name, args, kw), meta)
        task = loop.create_task(self._pass(call, make, before, begun))
        self._unsent[task] = wants_answer
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, call, begun, promise))
        if promise is not None:
            promise.label = name
        return promise

    async def sent(self, seconds: float) -> None:
        """Wait until the calls without an answer that were made are sent, or the time is over."""
        unsent = [task for task, wants_answer in self._unsent.items() if not wants_answer]
        if unsent:
            await asyncio.wait(unsent, timeout=seconds)

    def _make(
        self,
        call: Call,
        attached: Attached | None,
        head: tuple[Any, ...],
        meta: Mapping[str, str] | None,
    ) -> Deferred[Any] | None:
        """Send a call that has passed the interceptors, with its metadata."""
        calls = self._broker.calls
        task: Any = asyncio.current_task()
        if calls.is_ending and call.wants_answer:
            calls.closed_failure().raiseException()
        given = attached or Attached()
        kept = {key: text for key, text in (given.meta or {}).items() if not key.startswith("x-")}
        kept |= as_sent(call.metadata)
        token = ATTACHED.set(replace(given, meta=kept or None))
        calls.passes = True
        try:
            if call.wants_answer:
                perspective, object_id, name, args, kw = head
                return calls.make_call(perspective, object_id, name, args, kw, False, Promise, meta)
            calls.send(*head)
            return None
        finally:
            calls.passes = False
            ATTACHED.reset(token)
            self._unsent.pop(task, None)

    async def _pass(
        self,
        call: Call,
        make: Callable[[], object],
        before: asyncio.Future[None] | None,
        begun: asyncio.Future[None],
    ) -> Any:
        # A function of its own: a task that is cancelled before its first step makes no coroutine.
        _AROUND.set((self, begun))
        return await _through(self._interceptors, call, make, before, begun, _result)

    def _ended(
        self,
        call: Call,
        begun: asyncio.Future[None],
        promise: Deferred[Any] | None,
        task: asyncio.Task[Any],
    ) -> None:
        """Give the outcome of a call to its Deferred, whatever has ended its task."""
        self._tasks.discard(task)
        was_unsent = self._unsent.pop(task, None) is not None
        # It may have been cancelled before its first step.
        _done(begun)
        calls = self._broker.calls
        error = CancelledError() if task.cancelled() else task.exception()
        is_lost = was_unsent and task.cancelled() and calls.is_ending
        if promise is not None:
            if is_lost:
                error = calls.closed_failure()
            if not promise.called:
                promise.fire(task.result() if error is None else failure_of(error))
        elif is_lost:
            self._broker.session.stats.sends_dropped += 1
        elif error is not None:
            calls.note_unsent(call.name, error)

    def _forget(self, object_id: ObjectId, begun: asyncio.Future[None]) -> None:
        if self._last.get(object_id) is begun:
            del self._last[object_id]

    def _closed(self, result: None) -> None:
        """Fail the calls that were not sent: the connection has ended."""
        for task in list(self._unsent):
            task.cancel()


async def _through(
    interceptors: tuple[Interceptor, ...],
    call: Call,
    run: Callable[[], object],
    before: asyncio.Future[None] | None,
    begun: asyncio.Future[None],
    finish: Callable[[Any], Awaitable[Any]],
) -> Any:
    """Return the result of a call behind interceptors.

    Args:
        interceptors, call: the first interceptor is outermost.
        run: makes the call.
        before: done when the call before it has begun, or None.
        begun: is done when this call has begun.
        finish: waits for what ``run`` has returned.
    """

    async def method() -> Any:
        if before is not None and not before.done():
            await asyncio.shield(before)
        try:
            result = run()
        finally:
            _done(begun)
        return await finish(result)

    proceed: Proceed = method
    for each in reversed(interceptors):
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


async def _result(made: Deferred[Any] | None) -> object:
    """Return the result of a call that was sent; None for a one-way call."""
    return None if made is None else await made


async def awaited(result: Any) -> object:
    """Return the result of a method, which may be an awaitable; its error is marked as raised."""
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
