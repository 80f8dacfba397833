"""References that are used before the call that returns them is answered.

Their calls wait at the caller, and are made in their order when the answer has come.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, _get_running_loop
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from broker.defer import Deferred
from broker.errors import WrongResult
from broker.failure import Failure
from broker.flavors.posted import Posted, do_in_loop, is_posted, post
from broker.flavors.promise import Promise, failed
from broker.flavors.reference import RemoteReference
from jelly.atoms import Expression
from jelly.errors import CannotJelly

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["PendingReference"]


class PendingReference:
    """Takes the calls of a reference that has not come yet.

    If the call that returns the reference fails, all calls fail with its error.

    Args:
        answer: the result of that call: a proxy.
        name: the method of that call.

    Attributes:
        reference: the reference, or None as long as it has not come.
    """

    def __init__(self, answer: Deferred[Any], name: str):
        self.reference: RemoteReference | None = None
        self._name = name
        self._failure: Failure | None = None
        self._waiting: deque[Callable[[], object]] = deque()
        self._readers: list[Deferred[RemoteReference]] = []
        self._answer = answer
        # Other threads post their calls to the loop, in which all callbacks run.
        self._loop: AbstractEventLoop | None
        if isinstance(answer, Posted):
            self._loop = answer.loop
            self._loop.call_soon_threadsafe(self._attach)
        else:
            self._loop = _get_running_loop()
            self._attach()

    def __repr__(self) -> str:
        return f"<the result of {self._name}, which has not come yet>"

    def call_as(
        self, kind: type[Deferred[Any]], name: str, args: tuple[object, ...], kw: dict[str, Any]
    ) -> Deferred[Any]:
        """Call a method of the object as soon as its reference has come."""
        if self._loop is not None and is_posted(self._loop):
            return post(self._loop, name, lambda: self.call_as(kind, name, args, kw))
        if self.reference is not None and not self._waiting:
            return self.reference.call_as(kind, name, args, kw)
        if self._failure is not None:
            return failed(kind, name, self._told())
        outer: Promise[Any] = Promise(lambda _: inner.cancel() if (inner := begun) else None)
        outer.label = name
        begun: Deferred[Any] | None = None

        def begin() -> None:
            nonlocal begun
            if outer.called:
                return
            if self.reference is None:
                outer.errback(self._failure)
                return
            try:
                begun = self.reference.call_as(kind, name, args, kw)
            except Exception:  # noqa: BLE001 - such as DeadReferenceError; the caller gets it
                outer.errback()
                return
            begun.addCallbacks(outer.callback, outer.errback)

        self._waiting.append(begin)
        return outer

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Call a method one way as soon as the reference has come; do nothing if it never comes."""
        if self._loop is not None and is_posted(self._loop):
            do_in_loop(self._loop, partial(self.send, _name, *args, **kw))
            return
        if self.reference is not None and not self._waiting:
            self.reference.send(_name, *args, **kw)
        elif self._failure is None:
            self._waiting.append(partial(self._send, _name, args, kw))

    def _send(self, name: str, args: tuple[object, ...], kw: dict[str, Any]) -> None:
        if self.reference is not None:
            self.reference.send(name, *args, **kw)

    async def wait(self) -> RemoteReference:
        """Return the reference when it has come; raise the error of its call."""
        if self.reference is None and self._failure is None:
            reader: Deferred[RemoteReference] = Deferred()
            self._readers.append(reader)
            return await reader
        if self.reference is None:
            self._told().raiseException()
        return self.reference

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Refuse to be sent."""
        raise CannotJelly(
            f"{self._name} has not returned yet: await broker.resolved(proxy) before it is sent"
        )

    def _attach(self) -> None:
        self._answer.addCallback(self._arrived).addErrback(self._failed)

    def _arrived(self, proxy: object) -> None:
        reference = getattr(proxy, "_broker_reference", None)
        if not isinstance(reference, RemoteReference):
            raise WrongResult(f"{self._name}: result: an object of this side came back")
        self.reference = reference
        self._release()

    def _failed(self, failure: Failure) -> object:
        self._failure = failure
        is_told = bool(self._waiting or self._readers)
        self._release()
        # Without a waiting call, the failure is logged unless it is handled later.
        return None if is_told else failure

    def _told(self) -> Failure:
        """Return the failure, which is handled from now on."""
        self._answer.addErrback(_handled)
        return cast("Failure", self._failure)

    def _release(self) -> None:
        # A call stays in the list while it is made: a call that its error makes comes behind all.
        while self._waiting:
            self._waiting[0]()
            self._waiting.popleft()
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.called:
                if self.reference is not None:
                    reader.callback(self.reference)
                else:
                    reader.errback(self._failure)


def _handled(failure: Failure) -> None:
    """Take a failure that a caller has got."""
