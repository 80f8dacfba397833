"""Followers: the observers of an object that numbers its changes, even of slow connections.

Theory of operation. Nothing is queued for a follower whose connection is slow: what it lacks can be
found when the connection has drained. A subclass of :class:`Follower` knows what that is, and sends
it piece by piece.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from typing import Generic, TypeVar

from broker.core.wire.broadcast import Broadcast
from broker.errors import PBConnectionLost
from broker.flavors.cacheable import RemoteCacheObserver
from broker.history import Position
from broker.traces import log_error

__all__ = ["Follower", "Followers", "report", "resumed_offset"]

logger = logging.getLogger("broker.resumable")


class Follower:
    """One observer of an object that numbers its changes.

    Args:
        observer: the observer.
        what: the name of its class, for the log.

    Attributes:
        observer: the observer.
        broker: its connection.
        is_going_on: whether something is being sent to it.
    """

    __slots__ = ("_is_watching", "_what", "broker", "is_going_on", "observer")

    def __init__(self, observer: RemoteCacheObserver, what: str):
        self.observer = observer
        self.broker = observer.broker
        self._what = what
        self._is_watching = self.is_going_on = False

    @property
    def is_behind(self) -> bool:
        """Whether it lacks something."""
        raise NotImplementedError

    def send_some(self) -> None:
        """Send a piece of what it lacks."""
        raise NotImplementedError

    @property
    def can_be_told(self) -> bool:
        """Whether its connection takes calls."""
        return not self.observer.is_over and self.broker.calls.is_open

    def begin(self) -> None:
        """Send what it lacks once the message is sent that is being made, if any."""
        transaction = self.broker.session.translator.transaction
        if transaction is None:
            self.go_on()
        else:
            transaction.sent.append(self.go_on)

    def go_on(self) -> None:
        """Send what it lacks, as far as its connection takes it, and the rest later.

        If that cannot be sent, the connection is ended, since the follower would keep a wrong
        state.
        """
        if self.is_going_on:
            return
        self.is_going_on = True
        try:
            while self.is_behind and self.can_be_told:
                if self.broker.pump.is_slow():
                    self._watch()
                    break
                self.send_some()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a value's hook may raise anything
            if self.can_be_told:
                log_error(logger, f"a follower of {self._what} cannot be kept in step", error)
                self.broker.abort(PBConnectionLost(f"the state of a {self._what} cannot be sent"))
        finally:
            self.is_going_on = False

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self.broker.pump.when_drained(self._drained)

    def _drained(self) -> None:
        self._is_watching = False
        self.go_on()


Kind = TypeVar("Kind", bound=Follower)


class Followers(Generic[Kind]):
    """The followers of one object, and the count of its changes.

    Attributes:
        epoch: names the count; random.
        offset: the number of the last change.
    """

    __slots__ = ("_by_observer", "epoch", "offset")

    def __init__(self) -> None:
        self.epoch = secrets.token_urlsafe(12)
        self.offset = 0
        self._by_observer: dict[RemoteCacheObserver, Kind] = {}

    def __len__(self) -> int:
        return len(self._by_observer)

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._by_observer.values()))

    @property
    def position(self) -> Position:
        """The place of the last change."""
        return Position(self.epoch, self.offset)

    def add(self, follower: Kind) -> None:
        """Add a follower, until its observer is over."""
        self._by_observer[follower.observer] = follower
        follower.observer.when_over(self._discard)

    def check_loop(self, what: str) -> None:
        """Raise RuntimeError if the followers' connections belong to another event loop."""
        for observer in self._by_observer:
            observer.broker.calls.check_loop(what)
            break

    def _discard(self, observer: RemoteCacheObserver) -> None:
        self._by_observer.pop(observer, None)


def resumed_offset(observer: RemoteCacheObserver, followers: Followers[Kind]) -> int | None:
    """Return the offset from which the caller has asked to go on; None for the whole state."""
    transaction = observer.broker.session.translator.transaction
    text = None if transaction is None else transaction.resume
    place = None if text is None else Position.read(text)
    if place is None or place.epoch != followers.epoch or place.offset > followers.offset:
        return None
    return place.offset


def report(broadcast: Broadcast, error: BaseException) -> None:
    """Log why a change cannot be sent, once for each change."""
    if not broadcast.has_failed:
        broadcast.has_failed = True
        log_error(logger, f"change '{broadcast.name}' was not sent to each follower", error)
