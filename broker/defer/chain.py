"""Chain: the callbacks of a Deferred, and the order in which they run.

Theory of operation. A chain is a list of items. When it has been fired, they run in order, each
with the result of the item before. An item is one of three things:

- a pair of callbacks, as a tuple of six fields: callback, its arguments and keywords, errback, its
  arguments and keywords. If the callback or errback is None, the result is passed on;
- an observer (`Bridge`, `TwistedObserver`, `Watcher`): it receives the result and does not change
  it. A failure that it has received counts as handled, unless ``deliver`` returns True;
- another chain, one of whose callbacks returned this one: the result is moved to that chain.

If a callback returns a Deferred without a result, the chain is paused until that Deferred has its
result. `_run` keeps a list of the chains that continue, instead of calling itself, so that a long
line of Deferreds does not overflow the stack. A chain that ends in a failure creates an
`Unhandled`, which logs the failure when it is collected.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from sys import modules
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeVar

from broker.defer.awaiting import PENDING, Bridge
from broker.defer.driver import Driver
from broker.defer.errors import AlreadyCalledError, CancelledError
from broker.defer.foreign import (
    PLAIN,
    TWISTED,
    TwistedDeferred,
    failure_of,
    is_twisted_deferred,
    is_twisted_failure,
)
from broker.defer.twisted_view import TwistedView
from broker.defer.unhandled import Unhandled
from broker.failure import Failure
from broker.native import native

if TYPE_CHECKING:
    import asyncio

__all__ = ["Chain", "adopt"]

_Function: TypeAlias = Callable[..., object] | None
_Arguments: TypeAlias = tuple[object, ...]
_Keywords: TypeAlias = Mapping[str, object]
# A callback and an errback, each with its arguments and keywords.
Pair: TypeAlias = tuple[_Function, _Arguments, _Keywords, _Function, _Arguments, _Keywords]


class PythonChainBase:
    """The fields of a Deferred, and its awaiting."""

    __slots__ = (
        "__weakref__",
        "_canceller",
        "_is_running",
        "_items",
        "_swallows_one",
        "_unhandled",
        "called",
        "label",
        "paused",
        "result",
    )
    called: bool
    paused: int
    # Set only if it is known. Otherwise there is no attribute: most Deferreds are made without it.
    label: str
    result: Any
    _items: list[Any] | None
    _canceller: Callable[[Any], object] | Driver | None
    _is_running: bool
    _swallows_one: bool
    _unhandled: Unhandled | None

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the result; raise the exception of a failure."""
        if self.called and not self.paused and not self._is_running:
            try:
                return self._settled()
            finally:
                del self
        bridge = Bridge(self)
        try:
            yield bridge
            # Most results are of a few builtin types. These need no method call to rule out a
            # failure.
            if bridge.outcome.__class__ in PLAIN:
                return bridge.outcome
            return bridge.result()
        except BaseException:
            if bridge.outcome is PENDING:
                bridge.withdraw()
            # Both refer to the exception of a failure; see `broker.failure`.
            del bridge, self
            raise

    __iter__ = __await__

    def _settled(self) -> object:
        raise NotImplementedError

    def cancel(self) -> None:
        raise NotImplementedError


if TYPE_CHECKING:
    ChainBase = PythonChainBase
else:
    ChainBase = PythonChainBase if native is None else native.ChainBase


class Chain(ChainBase, TwistedView):
    """The part of a Deferred that is fired, paused, cancelled and run; see `defer.deferred`."""

    __slots__ = ()
    debug: ClassVar[bool] = False

    def __init__(self, canceller: Callable[[Any], object] | None = None):
        self.called = False
        self.paused = 0
        self._items = None
        self._canceller = canceller
        self._is_running = False
        self._swallows_one = False
        self._unhandled = None
        if self.debug:
            self._unhandled = Unhandled()
            self._unhandled.keep_creator()

    # Firing.

    def callback(self, result: object) -> None:
        """Fire with `result`.

        Raises:
            AlreadyCalledError: it has already been fired. After `cancel` without a canceller, one
                late result is accepted and dropped.
            TypeError: `result` is a Deferred, of this library or of Twisted.
        """
        self.fire(result)

    def fire(self, result: object, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Do as `callback`, and run tasks of a loop that await this Deferred before returning.

        Args:
            result: a result or a Failure.
            loop: the running loop, in which no task runs now, and no code of the application calls
                this; default: tasks run in the next iteration of their loop.

        Raises:
            AlreadyCalledError, TypeError: as for `callback`.
        """
        if self.called:
            self._refuse()
            return
        if result.__class__ not in PLAIN:
            is_loaded = TWISTED in modules
            if isinstance(result, Chain) or (is_loaded and is_twisted_deferred(result)):
                raise TypeError("a Deferred is fired with a result, not with a Deferred")
            if is_loaded and is_twisted_failure(result):
                result = failure_of(result)
        if self.debug:
            self._debug_info().keep_invoker()
        self.called = True
        self._canceller = None  # it often refers back to this Deferred
        self.result = result
        callbacks = self._items
        if isinstance(result, Failure):
            self._run(loop)
        elif callbacks is not None:
            if len(callbacks) == 1 and callbacks[0].__class__ is Bridge and not self.paused:
                # One task awaits it: the usual case, and the whole chain.
                callbacks.pop().deliver(result, loop)
            else:
                self._run(loop)

    def errback(self, fail: object = None) -> None:
        """Fire with a failure: a Failure, an exception, or by default the one being handled.

        Raises:
            AlreadyCalledError: as for `callback`.
            NoCurrentExceptionError: there is no argument, and no exception is being handled.
        """
        self.callback(Failure() if fail is None else failure_of(fail))

    def pause(self) -> None:
        """Stop running the chain until `unpause`."""
        self.paused += 1

    def unpause(self) -> None:
        """Undo one `pause`; after the last, run the chain."""
        self.paused -= 1
        if not self.paused and self.called:
            self._run()

    def cancel(self) -> None:
        """Cancel: call the canceller, then fire with CancelledError if the canceller did not fire.

        A Deferred that runs a coroutine cancels the object that the coroutine awaits, and ends as
        the coroutine ends. A Deferred that waits for another Deferred cancels that one. A Deferred
        that has its result cannot be cancelled; this then does nothing.
        """
        if self.called:
            inner = self.result
            if isinstance(inner, Chain):
                inner.cancel()
            return
        canceller = self._canceller
        if isinstance(canceller, Driver):
            canceller.cancel()
            return
        if canceller is None:
            self._swallows_one = True
        else:
            canceller(self)
        if not self.called:
            self.errback(CancelledError())

    @property
    def has_settled(self) -> bool:
        """Whether it has fired, and neither runs a callback nor waits for another Deferred."""
        return self.called and not self.paused and not self._is_running

    # Running the chain.

    def _add(self, item: object) -> Self:
        if self._items is None:
            self._items = [item]
        else:
            self._items.append(item)
        if self.called:
            self._run()
        return self

    def _run(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Run the chain, and the chains of the Deferreds that were waiting for it; see `fire`."""
        waiting = self._advance(loop)
        if waiting is None:
            return
        running = [self, waiting]
        while running:
            waiting = running[-1]._advance(loop)
            if waiting is None:
                running.pop()
            else:
                running.append(waiting)

    def _advance(self, loop: asyncio.AbstractEventLoop | None) -> Chain | None:
        """Run the chain until it ends or waits, or return the Deferred that it woke."""
        if self.paused or self._is_running:
            return None
        callbacks = self._items
        seen = None
        self._is_running = True
        try:
            while callbacks:
                item = callbacks.pop(0)
                if item.__class__ is tuple:
                    if not self._call(item):
                        return None
                elif isinstance(item, Chain):
                    self._give_to(item)
                    return item
                else:
                    if not item.deliver(self.result, loop):
                        seen = self.result
        finally:
            self._is_running = False
        if isinstance(self.result, Failure):
            if self._unhandled is None:
                self._unhandled = Unhandled()
            self._unhandled.label = getattr(self, "label", None)
            self._unhandled.note(self.result, self.result is seen)
        elif self._unhandled is not None:
            self._unhandled.forget()
        return None

    def _call(self, pair: Pair) -> bool:
        """Call the callback or errback, and store the next result; False if paused."""
        result = self.result
        if isinstance(result, Failure):
            _, _, _, function, args, keywords = pair
        else:
            function, args, keywords, _, _, _ = pair
        if function is None:
            return True
        try:
            result = function(result, *args, **keywords)
        except BaseException as exc:  # noqa: BLE001 - as in Twisted, any exception is the result
            # The traceback begins in the application, not here.
            exc.__traceback__ = exc.__traceback__ and exc.__traceback__.tb_next
            self._caught(exc)
            return not self.paused
        if result.__class__ not in PLAIN:
            self._took_result(result)
        else:
            self.result = result
        return not self.paused

    def _caught(self, exc: BaseException) -> None:
        """Store the exception of a callback as the next result."""
        result = self.result
        if isinstance(result, Failure) and exc is result.value:
            # An errback raised its own argument, as `trap` does: the same failure continues. The
            # errback's frame holds the failure, so it must not be in the failure's traceback.
            exc.__traceback__ = result.tb
        else:
            self.result = Failure(exc)

    def _took_result(self, result: object) -> None:
        """Store what a callback returned, of any class, as the next result, or wait for it."""
        if isinstance(result, Chain):
            self._take_from(result)
        elif TWISTED in modules and is_twisted_deferred(result):
            self._take_from(adopt(result, Chain))
        elif TWISTED in modules and is_twisted_failure(result):
            self.result = failure_of(result)
        else:
            self.result = result

    def _take_from(self, inner: Chain) -> None:
        """Take over the result of `inner`, or wait for it."""
        if inner is self:
            self.result = Failure(RuntimeError("a callback returned the Deferred it was called by"))
        elif inner.called and not inner.paused and not inner._is_running:
            self.result = inner._let_go()
        else:
            self.paused += 1
            self.result = inner
            inner._add(self)

    def _give_to(self, outer: Chain) -> None:
        """Move the result to a Deferred that waits for it."""
        outer.result = self._let_go()
        outer.paused -= 1

    def _let_go(self) -> object:
        """Return the result, and replace it with None."""
        result = self.result
        self.result = None
        if self._unhandled is not None:
            self._unhandled.forget()
        return result

    def seen_result(self) -> object:
        """Return the result or the Failure, which then counts as handled; it has settled."""
        if self._unhandled is not None:
            self._unhandled.failure = None
        return self.result

    def _settled(self) -> object:
        """Return the result or raise the exception, which then counts as handled."""
        result = self.result
        if isinstance(result, Failure):
            if self._unhandled is not None:
                self._unhandled.failure = None
            try:
                result.raiseException()
            finally:
                del result, self
        return result

    def _refuse(self) -> None:
        """Drop the late result after a cancellation, or raise AlreadyCalledError."""
        if not self._swallows_one:
            stacks = "" if self._unhandled is None else self._unhandled.stacks()
            raise AlreadyCalledError(f"this Deferred has been fired already\n{stacks}".rstrip())
        self._swallows_one = False

    def _debug_info(self) -> Unhandled:
        if self._unhandled is None:
            self._unhandled = Unhandled()
        return self._unhandled

    def __repr__(self) -> str:
        if hasattr(self, "label"):
            return f"<{type(self).__name__} of {self.label}, {self._state()}>"
        name = f"{type(self).__name__} at {id(self):#x}"
        if not self.called:
            return f"<{name}>"
        if isinstance(self.result, Chain):
            return f"<{name} waiting on Deferred at {id(self.result):#x}>"
        return f"<{name} current result: {self.result!r}>"

    def _state(self) -> str:
        if not self.called:
            return "pending"
        if isinstance(self.result, Chain):
            return f"waiting for {self.result!r}"
        if isinstance(self.result, Failure):
            return f"failed: {self.result!r}"
        return f"result: {self.result!r}"


C = TypeVar("C", bound=Chain)


def adopt(twisted: TwistedDeferred, kind: type[C]) -> C:
    """Return a chain of `kind` that fires as Twisted's Deferred `twisted`, and cancels it."""
    chain = kind(lambda _: twisted.cancel())

    def fire(result: object) -> None:
        if not chain.called:
            chain.callback(result)

    twisted.addBoth(fire)
    return chain
