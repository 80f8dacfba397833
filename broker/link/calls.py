"""The calls of a link: each is made on a connection, and again if it has surely not run."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Protocol

from broker.connection.connection import Connection
from broker.core.calls.deadline import DEADLINE
from broker.defer import CancelledError
from broker.errors import (
    ConfigError,
    DeadReferenceError,
    PBConnectionLost,
    ServerBusy,
    ServerDraining,
)
from broker.failure import Failure
from broker.flavors.promise import Canceller, Kind, Pending, Promise, PromisedTarget
from broker.flavors.reference import RemoteReference
from broker.link.chains import Chain, is_awaited
from broker.link.made import Made, Need, Numbered, Target, observe
from broker.link.once import OnceCall

if TYPE_CHECKING:
    from broker.link.recipes import LinkedReference, Linking

__all__ = ["Again", "LinkedCall", "LinkedLook", "LinkedSend", "LinkedTarget"]


class Again(Protocol):
    """A link, as a call uses it that is to be made on another connection."""

    def put_off(self, call: LinkedCall, failure: Failure) -> None:
        """Make the call on the next connection; ``failure`` is why it was not made on this one."""
        ...


class LinkedTarget(Protocol):
    """The target of calls of a link: a LinkedReference, or the result of a call.

    Attributes:
        is_numbered: whether it is the result of a call, which cannot be got again.
    """

    @property
    def is_numbered(self) -> bool:
        """See the class."""
        ...

    def on(self, connection: Connection, /) -> Made:
        """Return what it is on a connection."""
        ...

    def where(self, now: Connection | None, /) -> Connection | None:
        """Return the connection for a new call, if ``now`` is the one of the link."""
        ...


class LinkedCall(Canceller):
    """A call: what it needs to be made again on another connection.

    Args:
        link: makes it again.
        number: calls that wait are made in the order of their numbers.
        target: what it is made on.
        kind: the class of its Promise on a connection; it may check the result.
        name, args, kw: the method and its arguments.
        needs: the references among the arguments, and what else it needs.
        once: its key in ``broker.once``, or None.

    Attributes:
        promise: what the caller has.
        ends: its deadline, by the clock of the loop, or None.
        place: the connection on which it is made, or None while it waits for one.
        tried: the connection on which it was made last, or None.
        inner: its promise there; None before it has begun.
        is_direct: whether it waits for references, and is not made on their promises.
        number, target, needs: the arguments.
        label: the name.
        chain: its result as the target of calls, if there are some.
    """

    __slots__ = (
        "_args",
        "_context",
        "_held",
        "_kind",
        "_kw",
        "_link",
        "_once",
        "chain",
        "ends",
        "inner",
        "is_direct",
        "label",
        "needs",
        "number",
        "place",
        "promise",
        "target",
        "tried",
    )

    def __init__(
        self,
        link: Linking,
        number: int,
        target: LinkedTarget,
        kind: Kind,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        needs: Sequence[Need],
        once: OnceCall | None = None,
    ):
        self._link = link
        self.number = number
        self.target = target
        self._kind = kind
        self.label, self._args, self._kw = name, args, kw
        self.needs = needs
        self._once = once
        # Its arguments and its target must not be of a call that was made on this connection only.
        self.is_direct = once is not None
        # The deadline of the caller, and whatever else goes with its calls.
        self._context: Context = copy_context()
        self.ends = DEADLINE.get()
        self.inner: Pending | None = None
        self.place: Connection | None = None
        self.tried: Connection | None = None
        self.chain: Chain | None = None
        # Calls that use the result, and are to be made again if this one is.
        self._held: list[tuple[LinkedCall, Failure]] = []
        self.promise: Promise[Any] = Promise(self)
        self.promise.label = name
        if isinstance(target, Chain):
            target.note(self)

    @property
    def linking(self) -> Linking:
        """The link."""
        return self._link

    @property
    def is_over(self) -> bool:
        """Whether the caller has its result, or wants none."""
        return self.promise.called

    @property
    def may_have_run(self) -> bool:
        """Whether it may have run on a connection that has ended, and will be made again."""
        return self._once is not None and self._once.may_have_run

    # On a connection.

    def put(self, connection: Connection) -> None:
        """Make the call on a connection, behind those that were made before on its reference."""
        self.place = self.tried = connection
        self.target.on(connection).put(self)

    def begin(self, target: Target, numbered: Numbered) -> None:
        """Make the call on a reference, or on its promise."""
        args, kw = self._args, dict(self._kw)
        try:
            if self._once is None:
                run = self._context.run
                inner: Any = numbered(run, target.call_as, self._kind, self.label, args, kw)
            else:
                inner = self._begin_once(self._once, numbered, target, args, kw)
        except Exception:  # noqa: BLE001 - such as DeadReferenceError; the caller gets it
            failure = Failure()
            if self.is_repeated(failure):
                self._done(failure)
            else:
                self.refuse(failure)
            return
        if inner is None:
            return
        self.inner = inner
        if self.chain is not None and self.place is not None:
            self.chain.begin(self.place, inner)
        observe(inner, self._done)

    def _begin_once(
        self,
        once: OnceCall,
        numbered: Numbered,
        target: Target,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> Pending | None:
        """Make a call with a key; return None if it has failed, and must not be made again."""
        assert self.place is not None  # noqa: S101 - it was put on a connection
        why = once.why_not(self.place)
        if why is None and not isinstance(target, RemoteReference):
            why = ConfigError("once needs an object of the server, not one of this end")
        if why is not None:
            self.refuse(Failure(why))
            return None
        run = self._context.run
        made: Pending = numbered(run, once.call, target, self.label, args, kw, self._kind)
        return made

    def is_repeated(self, failure: Failure) -> bool:
        """Return whether the call is made again on the next connection.

        It is if it has surely not run: it was never sent, or a server that drains refused it. A
        call in ``broker.once`` is too if it may have run; see :meth:`OnceCall.why_not`.
        """
        error = failure.as_exception()
        if isinstance(error, PBConnectionLost):
            return self._once is not None or not error.may_have_run
        return isinstance(error, DeadReferenceError | ServerDraining)

    def _done(self, outcome: object) -> None:
        """Take the result or the Failure on a connection."""
        if self.promise.called:
            self.inner = None
            return
        if not isinstance(outcome, Failure):
            self._end(outcome)
            return
        if not self.is_repeated(outcome):
            # A server that is too busy has not looked whether it has run before.
            if outcome.check(ServerBusy):
                self.refuse(outcome)
            else:
                self._end(outcome)
            return
        self.inner = None
        error = outcome.as_exception()
        if self._once is not None:
            may = isinstance(error, PBConnectionLost) and error.may_have_run
            self._once.lost(may_have_run=may)
        self._again(outcome)

    def _again(self, failure: Failure) -> None:
        """Wait for the next connection, behind the calls whose results it uses."""
        for used in (self.target, *self.needs):
            source = used._call if isinstance(used, Chain) else None
            if isinstance(source, LinkedCall) and source.place is self.place and not source.is_over:
                # It is made again only if that call is. That is known soon.
                source._held.append((self, failure))
                return
        self.put_off(failure)

    # Without a connection.

    def put_off(self, failure: Failure) -> None:
        """Wait for the next connection."""
        if self.promise.called:
            return
        tried, self.place = self.tried, None
        self._link.put_off(self, failure)
        # These were made before those that the chain still has.
        for call, why in self._take_held():
            call._again(why)
        if self.chain is not None and tried is not None and not self.promise.called:
            self.chain.forget(tried, failure)

    def _take_held(self) -> list[tuple[LinkedCall, Failure]]:
        """Return the calls that wait for this one, in the order in which they were made."""
        held, self._held = self._held, []
        return sorted(held, key=lambda each: each[0].number)

    def refuse(self, failure: Failure) -> None:
        """Fail: the call will not be made again."""
        if not self.promise.called:
            self._end(failure if self._once is None else self._once.ending(failure))

    # The end.

    def _end(self, outcome: object) -> None:
        """Give the caller the result or the Failure."""
        once, chain = self._once, self.chain
        if once is not None:
            once.end()
        self._leave()
        if chain is not None:
            chain.settle(outcome)
            for call, why in self._take_held():
                call.refuse(why)
        self.inner = None
        is_used = bool(self.promise._items)
        if isinstance(outcome, Failure):
            self.promise.errback(outcome)
        else:
            self.promise.callback(outcome)
        if chain is not None:
            chain.tell(outcome)
            if not is_used:
                # A failure is told by the calls on it.
                self.promise.seen_result()

    def _leave(self) -> None:
        if isinstance(self.target, Chain):
            self.target.left(self)

    # The promise of the caller.

    def target_of(self, promise: Promise[Any]) -> PromisedTarget:
        """Return the result as the target of calls."""
        if self.chain is None:
            self.chain = Chain(self, None, promise)
            promise._canceller = self.chain
        return self.chain

    def __call__(self, deferred: object) -> None:
        """Cancel the call, as the canceller of its promise."""
        inner = self.inner
        if inner is not None:
            inner.cancel()
        if not self.promise.called:
            if self._once is not None:
                self._once.end()
            self._leave()
            if self.chain is not None:
                self.chain.settle(Failure(CancelledError()))
        source = self.target._call if isinstance(self.target, Chain) else None
        if isinstance(source, LinkedCall):
            source.drop_if_unused()

    def cancel(self) -> None:
        """Cancel the call."""
        self.promise.cancel()

    def drop_if_unused(self) -> None:
        """Cancel the call if it was made for calls on its result only, and none is left."""
        chain = self.chain
        if chain is None or self.is_over or chain.is_used or is_awaited(self.promise):
            return
        self.promise.cancel()


class LinkedLook(LinkedCall):
    """Waits until a recipe was made: its promise becomes the cache that it has brought, or itself.

    Args:
        link, number: as of a call.
        recipe: the recipe.
    """

    __slots__ = ("_recipe",)

    def __init__(self, link: Linking, number: int, recipe: LinkedReference):
        super().__init__(link, number, recipe, Promise, "await", (), {}, ())
        self._recipe = recipe
        self.is_direct = True

    def begin(self, target: Target, numbered: Numbered) -> None:
        """Note that the recipe was made."""
        self._end(self._recipe.cache or self._recipe)

    def refuse(self, failure: Failure) -> None:
        """Note that it has no reference, since it has a cache, or that it failed."""
        if not self.is_over:
            self._end(failure if self._recipe.cache is None else self._recipe.cache)


class LinkedSend:
    """A call without an answer, which is dropped if its reference does not come.

    Args:
        name, args, kw: the method and its arguments.
        needs: the references among the arguments.
    """

    is_over = is_direct = False
    __slots__ = ("_args", "_context", "_kw", "_name", "needs")

    def __init__(
        self,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        needs: Sequence[Need],
    ):
        self._name, self._args, self._kw = name, args, kw
        self._context = copy_context()
        self.needs = needs

    def begin(self, target: Target, numbered: Numbered) -> None:
        """Send it."""
        kw = {**self._kw, "pbanswer": False}
        numbered(self._context.run, target.callRemote, self._name, *self._args, **kw)

    def refuse(self, failure: Failure) -> None:
        """Drop it."""

    def put_off(self, failure: Failure) -> None:
        """Drop it."""
