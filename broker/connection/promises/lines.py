"""Calls of one connection that wait at this end, in their order, for each target."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from broker.connection.promises.waiting_call import WaitingCall
from broker.core.calls.promised import MustWait
from broker.core.wire.messages import Target
from broker.defer import Deferred
from broker.defer.awaiting import Bridge
from broker.errors import ServerBusy
from broker.failure import Failure
from broker.flavors.promise import Kind, Pending
from broker.limit_errors import HERE, limit_error

if TYPE_CHECKING:
    from broker.connection.pending_calls import PendingCalls

__all__ = ["MOST_WAITING", "HeldTarget", "Line"]

MOST_WAITING = 1024
"""Most calls of one connection that wait at this end."""


class Line:
    """One target of calls that are made in their order.

    Attributes:
        calls: the calls of the connection.
        queue: the calls that wait here.
    """

    __slots__ = ("calls", "is_blocked", "queue")

    def __init__(self, calls: PendingCalls):
        self.calls = calls
        self.queue: deque[WaitingCall] = deque()
        # Whether the first call waits for a promise among its arguments.
        self.is_blocked = False

    def enqueue(self, made: WaitingCall) -> None:
        """Let a call wait behind those with a lower number, or fail it if too many wait."""
        promises = self.calls.promises
        if promises.here >= MOST_WAITING:
            made.deferred.errback(limit_error(ServerBusy, "max_promised", MOST_WAITING, what=HERE))
            return
        made.put_off()
        self._insert(made)

    def _insert(self, made: WaitingCall) -> None:
        self.calls.promises.here += 1
        place = len(self.queue)
        while place and self.queue[place - 1].number > made.number:
            place -= 1
        self.queue.insert(place, made)
        if not place and len(self.queue) > 1:
            # It does not wait for what the next one waits for.
            self.is_blocked = False

    def send_queue(self) -> None:
        """Send the first calls, as far as possible."""
        while self.queue and not self.is_blocked and self.can_go():
            made = self.queue[0]
            try:
                self.send(made)
            except MustWait as wait:
                self.block(wait.promise)
                return
            # If the call has failed, it has left the queue already.
            if made in self.queue:
                self.dequeue(made)

    def block(self, promise: object) -> None:
        """Wait for a promise among the arguments of the first call."""
        self.is_blocked = True
        if isinstance(promise, Deferred):
            Bridge(promise).when_done(self.unblock)

    def unblock(self, bridge: object = None) -> None:
        """Go on: that promise has its result."""
        self.is_blocked = False
        self.send_queue()

    def dequeue(self, made: WaitingCall) -> None:
        """Remove a call that waits here."""
        self.queue.remove(made)
        self.calls.promises.here -= 1

    def can_go(self) -> bool:
        """Return whether the first call may be sent now."""
        raise NotImplementedError

    def send(self, made: WaitingCall) -> None:
        """Send a call; see :meth:`WaitingCall.send`."""
        raise NotImplementedError

    def came_home(self, made: WaitingCall) -> None:
        """Make a call here, which the peer has sent home."""
        raise NotImplementedError

    def left(self, made: WaitingCall, is_cancelled: bool = False) -> None:
        """Take note that a call has its outcome, or is cancelled."""
        if made in self.queue:
            if made is self.queue[0]:
                self.is_blocked = False
            self.dequeue(made)
            self.send_queue()
            self.calls.flush()


class HeldTarget(Line):
    """An object of the peer whose calls wait for a promise among the arguments of the first.

    Args:
        calls: the calls of the connection.
        view, target: the object.
        to_cache: whether it is a cache of the peer.
    """

    __slots__ = ("_target", "_to_cache", "_view")

    def __init__(self, calls: PendingCalls, view: object, target: Target, to_cache: bool):
        super().__init__(calls)
        self._view = view
        self._target = target
        self._to_cache = to_cache
        calls.promises.held[target] = self
        calls.session.hold_lane(True)

    def add(
        self,
        kind: Kind,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        wants_answer: bool,
        meta: Mapping[str, str] | None = None,
    ) -> Pending | None:
        """Make a call when all before it are made."""
        made = WaitingCall(self, kind, name, args, kw, wants_answer, meta)
        self.enqueue(made)
        self.send_queue()
        return made.deferred if wants_answer else None

    def take_over(self, made: WaitingCall) -> None:
        """Let a call of another line wait, before those that were made after it.

        A promise is that of an earlier call, so no two calls wait for each other.
        """
        made.line = self
        self._insert(made)

    @classmethod
    def of(cls, calls: PendingCalls, view: object, target: Target, to_cache: bool) -> HeldTarget:
        """Return the one of an object."""
        held = calls.promises.held.get(target)
        return cls(calls, view, target, to_cache) if held is None else held

    def can_go(self) -> bool:
        """Return whether the first call may be sent now."""
        return True

    def send(self, made: WaitingCall) -> None:
        """Send a call; see :meth:`WaitingCall.send`."""
        made.send(self._view, self._target, made.wants_answer, self._to_cache)

    def unblock(self, bridge: object = None) -> None:
        """Send the calls, and let the others to this object go their usual way."""
        super().unblock()
        self._end()
        self.calls.flush()

    def left(self, made: WaitingCall, is_cancelled: bool = False) -> None:
        """See :meth:`Line.left`."""
        super().left(made, is_cancelled)
        self._end()

    def fail(self, failure: Failure) -> None:
        """Fail all calls."""
        for made in list(self.queue):
            made.fail(failure)

    def _end(self) -> None:
        held = self.calls.promises.held
        if not self.queue and held.get(self._target) is self:
            del held[self._target]
            if not held:
                self.calls.session.hold_lane(False)
