"""A thread in which the methods that the peer calls run, so that they may wait."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from broker.background import run_and_deliver
from broker.blocking.loop import Background
from broker.blocking.reference import wrapped
from broker.core.calls.dispatch import Method
from broker.core.calls.incoming_call import IncomingCall
from broker.defer import Deferred
from broker.flavors.cacheable import RemoteCache
from broker.flavors.contracts.servant import Servant
from broker.interceptors import awaited

if TYPE_CHECKING:
    from broker.connection.broker import Broker

__all__ = ["CallbackThread"]


class CallbackThread:
    """Runs the plain methods that the peer of one connection calls, one at a time, in their order.

    An ``async def`` method runs in the loop, and so does a method of a RemoteCache, which only
    changes its state. The thread ends with the connection.

    Args:
        own: the loop of the connection.
        broker: the connection. This is called in its loop.
    """

    def __init__(self, own: Background, broker: Broker):
        self._own = own
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        broker.session.incoming.intercept(self._intercept)
        own.start_thread(self._serve, "broker.blocking callbacks")
        broker.closed.addBoth(self._end)

    def _end(self, result: object) -> object:
        self._jobs.put(None)
        return result

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _intercept(self, call: IncomingCall, method: Method, run: Callable[..., object]) -> object:
        kind = call.kind
        # Without a kind, an overridden hook runs, which needs the result at once.
        if method.is_async or kind is None or issubclass(kind, RemoteCache):
            return run(call.args, call.kw)
        args, kw = call.args, call.kw
        if not issubclass(kind, Servant):
            # The methods of a contract make objects of references, which any thread may use.
            args, kw = wrapped(args, self._own), wrapped(kw, self._own)
        if call.route is not None:
            # ``run`` marks the errors of the method: others are about the call itself.
            call.route = call.route._replace(is_ours=True)
        return self._in_thread(partial(run, args, kw))

    async def _in_thread(self, run: Callable[[], object]) -> object:
        outcome: Deferred[Any] = Deferred()
        # The context has the deadline of the call.
        self._jobs.put(partial(_run, partial(copy_context().run, run), self._own, outcome))
        del run
        # A plain method may return an awaitable, which belongs to the loop.
        return await awaited(await outcome)


def _run(function: Callable[[], object], own: Background, outcome: Deferred[Any]) -> None:
    """Run a method in this thread, unless its call has been cancelled."""
    if outcome.called:
        return

    def failed(error: BaseException) -> None:
        if not isinstance(error, Exception):
            error = RuntimeError(f"the method raised {type(error).__name__} in a thread")
        if not outcome.called:
            outcome.errback(error)

    def returned(result: object) -> None:
        if not outcome.called:
            outcome.callback(result)

    run_and_deliver(function, own.loop.call_soon_threadsafe, returned, failed)
