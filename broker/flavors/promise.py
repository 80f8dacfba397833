"""Promise: what a remote call returns, a Deferred whose result can be used before it has come.

Calls of its result leave at once, behind the call that returns it, so that a chain of calls takes
one round trip. How they are sent, or wait, is in `broker.connection.promises`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, cast

from zope.interface import classImplements

from broker.core.calls.promised import MustWait
from broker.defer import Deferred
from broker.defer.awaiting import Bridge
from broker.errors import BrokenPromise
from broker.failure import Failure
from broker.flavors.own_calls import call_own, is_own
from broker.flavors.reference import RemoteReference, unwrapped
from broker.flavors.streams import RemoteStream, stream_of
from jelly.atoms import Expression
from jelly.interfaces import IJellyable

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = [
    "ONE_STEP",
    "Canceller",
    "Element",
    "Kind",
    "Pending",
    "Promise",
    "PromisedItems",
    "PromisedTarget",
    "call_result",
    "check_step",
    "contract_name",
    "failed",
    "not_a_reference",
    "not_passed",
    "when_settled",
]

T = TypeVar("T")
C = TypeVar("C")
Kind: TypeAlias = type[Deferred[Any]]
"""The class of the Deferred of a call."""
Pending: TypeAlias = Deferred[Any]
"""The Deferred of a call, whose result can be of any type."""


class PromisedTarget:
    """The result of a call, or one element of it, as the target of calls.

    The canceller of a Promise is one as long as calls on it need more than its result.
    """

    __slots__ = ()

    def call(
        self, kind: Kind, name: str, args: tuple[object, ...], kw: dict[str, object]
    ) -> Pending | None:
        """Call a method of the result; see :meth:`Promise.call_as`."""
        raise NotImplementedError

    def is_result(self, value: object) -> bool:
        """Return whether a value is the object that it became."""
        raise NotImplementedError

    def element(self, step: int | str) -> Element:
        """Return the promise of an element of the result."""
        raise NotImplementedError

    def jelly(self, jellier: Jellier) -> Expression:
        """Return the expression of the promise, as an argument of a call."""
        raise NotImplementedError

    def note_used(self) -> None:
        """Note that calls depend on it: they tell its failure, which is not unhandled then."""


class Canceller:
    """The canceller of a Promise that has no result yet."""

    __slots__ = ()

    def __call__(self, deferred: object) -> None:
        """Cancel the promise."""
        raise NotImplementedError

    def target_of(self, promise: Promise[Any]) -> PromisedTarget | None:
        """Return the result of the promise as a target; None if calls on it wait for the result."""
        raise NotImplementedError


class Promise(Deferred[T]):
    """The result of a remote call: a Deferred.

    ``async for`` over it waits for the call, and reads the stream that it returns. The stream is
    stopped when the loop is left.

    A Promise can be passed as an argument of a call on the same connection if its result is a
    reference to an object of the peer.
    """

    __slots__ = ()
    contract: ClassVar[str | None] = None
    """For a subclass that checks the results of a contract: the name of the contract."""
    plain_results: ClassVar[frozenset[type]] = frozenset()
    """For a subclass that overrides ``fire``: exact types of results that it does not check."""

    def callRemote(self, _name: str, /, *args: object, **kw: object) -> Promise[Any]:
        """Call a method of the object that the call returns, before its reference has come.

        The calls that are made on a promise, and then on the reference that it became, start in
        their order. Before the result has come, they leave at once where the dialect can; in PB's
        dialects they wait for it. If callbacks have been added to the promise, the call waits for
        the end of their chain, and is made on its result.

        Args:
            _name, args, kw: as of ``RemoteReference.callRemote``. With ``pbanswer=False`` None is
                returned.

        Returns:
            A Promise. It fails with the failure of this promise, with BrokenPromise if the result
            is not a reference, and as that of any remote call.
        """
        return cast("Promise[Any]", self.call_as(Promise, _name, args, kw))

    def of(self, contract: Callable[..., C]) -> C:
        """Return the result as an object with the methods of a contract, before it has come.

        See ``RemoteReference.of``.

        Raises:
            ConfigError, TypeError: as there.
        """
        # Loaded at the first use: most programs have no contracts.
        from broker.flavors.contracts import proxy

        return proxy.typed_promise(self, contract)

    def __getitem__(self, step: int | str) -> Promise[Any]:
        """Return the promise of one element of the result, which is a list, a tuple or a dict.

        Args:
            step: the place in a list or tuple, from 0, or the key of a dict.

        Raises:
            TypeError: it is neither an int nor a str, or this is an element already.
            ValueError: it is negative.
        """
        check_step(step)
        target = None if self.called else self._target()
        if target is not None:
            return target.element(step)
        element: Element = Element()
        element.label = self.method

        def take(result: object) -> None:
            if not element.called:
                element.take(result, step)

        element._canceller = when_settled(self, take)
        return element

    def call_as(
        self,
        kind: Kind,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> Pending | None:
        """Call a method as :meth:`callRemote` does; see ``RemoteReference.call_as``."""
        target = self._target()
        if target is not None:
            return target.call(kind, name, args, kw)
        wants_answer = bool(kw.get("pbanswer", True))
        deferred: Pending = kind()
        deferred.label = name
        label = self.method

        def make(result: object) -> None:
            if deferred.called:
                return
            made = call_result(result, label, kind, name, args, kw)
            if made is None:
                return
            if not wants_answer and not is_own(result):
                # No caller is told of the failure; that of this promise is told elsewhere.
                made.addErrback(_dropped)
                return
            deferred._canceller = lambda _: made.cancel()
            made.addCallbacks(deferred.callback, deferred.errback)

        stop_waiting = when_settled(self, make)
        if deferred._canceller is None:
            # The call was not made yet.
            deferred._canceller = stop_waiting
        return deferred if wants_answer else None

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return the expression of the promise, or of the reference that it became.

        Raises:
            BrokenPromise: it has another result. The exception of a failure is raised.
            CannotJelly: it belongs to another connection, or this is not an argument of a call.
        """
        target = self._target()
        if target is not None:
            return target.jelly(jellier)
        if not self._has_result():
            raise MustWait(self)
        label, result = self.method, self.seen_result()
        if isinstance(result, Failure):
            result.raiseException()
        reference = unwrapped(result)
        if isinstance(reference, RemoteReference):
            return reference.jellyFor(jellier)
        raise BrokenPromise(not_passed(label, is_own(result)))

    def _target(self) -> PromisedTarget | None:
        """Return the result as the target of calls; None if the end of the chain is the target."""
        canceller: object = self._canceller
        if self.called:
            # The object of this end that the call has returned, unless callbacks have replaced it.
            if isinstance(canceller, PromisedTarget) and canceller.is_result(self.result):
                return canceller
            if is_own(self.result) and self._has_result():
                # Loaded at the first use: most programs have no calls that come home.
                from broker.flavors.home_calls import OwnTarget

                target: Any = OwnTarget(self.result, self.method)
                self._canceller = target
                return cast("PromisedTarget", target)
            return None
        if self._has_callbacks():
            return None
        if isinstance(canceller, PromisedTarget):
            return canceller
        return canceller.target_of(self) if isinstance(canceller, Canceller) else None

    @property
    def method(self) -> str:
        """The method that was called, or "the call" if it is not known."""
        return getattr(self, "label", "the call")

    def _has_callbacks(self) -> bool:
        """Return whether callbacks, or another Deferred, wait for the result."""
        return any(type(item) is tuple or isinstance(item, Deferred) for item in self._items or ())

    def _has_result(self) -> bool:
        """Return whether the result is there, and no callback will replace it."""
        return self.called and not self.paused and not self._has_callbacks()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Return an iterator over the items of the stream.

        Its first step raises the error of the call, or a TypeError if the result is not a stream.
        """
        return PromisedItems(self)


# By zope, so that the class has no further base, and keeps its slots.
classImplements(Promise, IJellyable)


ONE_STEP = "one step into a promise at most"
"""The text of the error for a step into an element."""


def contract_name(kind: Kind) -> str | None:
    """Return the name of the contract of a call by the class of its Deferred, or None."""
    return getattr(kind, "contract", None)


def check_step(step: object) -> None:
    """Raise TypeError or ValueError if a value is not a step; see ``Promise.__getitem__``."""
    if type(step) is not int and type(step) is not str:
        raise TypeError(f"a step into a promise is an int or a str, not {type(step).__name__}")
    if type(step) is int and step < 0:
        raise ValueError(f"{step} is not a place in a list")


class Element(Promise[Any]):
    """The promise of an element of a result."""

    __slots__ = ()

    def __getitem__(self, step: int | str) -> Promise[Any]:
        """Refuse a second step.

        Raises:
            TypeError: always.
        """
        raise TypeError(ONE_STEP)

    def take(self, result: object, step: int | str) -> None:
        """Fire with an element of a result, or fail with a Failure, or as there is no element."""
        if isinstance(result, Failure):
            self.errback(result)
            return
        try:
            value = result[step]  # type: ignore[index]
        except (IndexError, KeyError, TypeError):
            self.errback()
        else:
            self.callback(value)


def call_result(
    result: object,
    label: str,
    kind: Kind,
    name: str,
    args: tuple[object, ...],
    kw: dict[str, object],
) -> Pending | None:
    """Call a method of the result of a call.

    Args:
        result: a reference, an object of this end, or a Failure, which is the result.
        label: the method that returned it.
        kind, name, args, kw: as of :meth:`Promise.call_as`.
    """
    if isinstance(result, Failure):
        return failed(kind, name, result)
    reference = unwrapped(result)
    if isinstance(reference, RemoteReference | Promise):
        try:
            return reference.call_as(kind, name, args, kw)
        except Exception:  # noqa: BLE001 - such as DeadReferenceError; the caller gets it
            return failed(kind, name)
    if is_own(result):
        kw = dict(kw)
        kw.pop("pbanswer", None)
        return call_own(result, kind, name, args, kw)
    error = TypeError(f"'{label}' returned {_a(type(result).__name__)}, which is not a reference")
    return failed(kind, name, Failure(error))


def not_a_reference(label: str) -> str:
    """Return the text of the error for a call on a promise that became no reference."""
    return f"'{label}' returned a value that is not a reference; not run"


def not_passed(label: str, is_home: bool) -> str:
    """Return the text of the error for a promise that cannot be an argument."""
    kind = "an object of the caller" if is_home else "a value that is not a reference"
    return f"'{label}' returned {kind}; await it before you pass it"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiouAEIOU" else f"a {noun}"


def _dropped(failure: Failure) -> None:
    """Drop the failure of a one-way call."""


def when_settled(
    promise: Promise[Any], then: Callable[[object], object]
) -> Callable[[Pending], object]:
    """Call ``then(result)`` when a promise has its result, as an awaiter; return the canceller."""
    if promise._has_result():
        then(promise.seen_result())
        return lambda _: None
    bridge = Bridge(promise)
    bridge.when_done(lambda done: then(done.outcome))
    return lambda _: bridge.interrupt()


class PromisedItems(AsyncIterator[Any]):
    """The items of the stream that a call returns.

    Args:
        promise: the call.
    """

    __slots__ = ("_promise", "_stream")

    def __init__(self, promise: Pending):
        self._promise: Deferred[object] | None = promise
        self._stream: RemoteStream[object] | None = None

    def __anext__(self) -> Awaitable[Any]:
        """Return the step to the next item; the first one waits for the call."""
        stream = self._stream
        return self._first() if stream is None else stream.__anext__()

    async def _first(self) -> object:
        # Another task may have opened the stream before this one runs.
        stream = self._stream
        if stream is None:
            stream = await self._open()
        return await stream.__anext__()

    async def _open(self) -> RemoteStream[object]:
        promise = self._promise
        if promise is None:
            raise StopAsyncIteration
        result = await promise
        self._promise = None
        if not isinstance(result, RemoteStream | RemoteReference):
            name = getattr(promise, "label", "the call")
            raise TypeError(f"'{name}' returned {type(result).__name__}, not a stream")
        self._stream = stream = stream_of(result)
        # Else the result of the Deferred would keep the stream alive after the loop.
        promise.addCallback(_nothing)
        return stream

    async def aclose(self) -> None:
        """Stop the stream, or cancel the call."""
        if self._stream is not None:
            await self._stream.stop()
        elif self._promise is not None:
            self._promise.cancel()
            self._promise = None

    async def __aenter__(self) -> PromisedItems:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def failed(kind: Kind, name: str, failure: Failure | None = None) -> Pending:
    """Return the Deferred of a call that has failed before it was sent.

    Args:
        kind: its class: a program may read a failed call as a stream too.
        name: of the method.
        failure: why; None for the exception being handled.
    """
    # The caller, whose frame is in the traceback, has it in no variable: that would be a cycle.
    deferred = kind()
    deferred.label = name
    deferred.errback(failure)
    return deferred


def _nothing(result: object) -> None:
    """Return None."""
