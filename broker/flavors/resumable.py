"""Resumable: a Cacheable that numbers its changes, so that a follower can go on after a pause."""

from __future__ import annotations

import msgspec

from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import Feature
from broker.errors import ConfigError, DeadReferenceError, WrongType
from broker.flavors.cacheable import Cacheable, RemoteCacheObserver
from broker.flavors.followed import CHANGE, STATE
from broker.flavors.followers import Follower, Followers, report, resumed_offset
from broker.history import History, Recent

__all__ = ["Resumable"]

_LEDGER = "_broker_ledger"
_OWN = frozenset({"epoch", "offset"})
# Bytes that a change counts besides its arguments, and those of an argument that is not plain.
_HEAD, _OBJECT = 100, 200


class Resumable(Cacheable):
    """A Cacheable that numbers its changes, and keeps the newest of them.

    ::

        class Board(broker.Resumable):
            def __init__(self):
                self.pieces = {}

            def getStateToCopy(self):
                return {"pieces": self.pieces}

            def move(self, a, b):
                self.pieces[b] = self.pieces.pop(a)
                self.change("moved", a, b)

    The observers are kept by this class, so a subclass overrides ``getStateToCopy`` or
    ``getStateToCopyFor``, not ``getStateToCacheAndObserveFor``. The state is a dict. The copy at a
    follower is a RemoteCache with two more attributes: ``epoch``, a random text that names the
    count of this object, and ``offset``, the number of its last change.

    Nothing is queued for a follower whose connection is slow. When the connection has drained, it
    gets the changes that it lacks. If the history does not have them any more, it gets the whole
    state again, and its ``observe_resynced()`` is called. The same holds for a follower that comes
    back on a new connection of a ``broker.Link``, unless its dialect has no metadata (``pb``): then
    it gets the whole state.

    Attributes:
        history: how many changes are kept; a subclass, or an instance before its first change, may
            set another ``broker.History``.
    """

    history: History = History()

    def getStateToCopy(self) -> object:
        """Return the state to send, a dict: by default the fields, or all attributes."""
        state = super().getStateToCopy()
        return _without_ledger(state) if state is self.__dict__ else state

    def __getstate__(self) -> object:
        return _without_ledger(super().__getstate__())

    def change(self, _name: str, /, *args: object) -> None:
        """Tell the followers of a change: their ``observe_<name>(*args)`` is called one way.

        Call it after the object has changed. The arguments must not be changed afterwards, since
        the history keeps them.

        Raises:
            EncodeError: the change cannot be sent to any follower. Followers that cannot be sent it
                get the whole state instead. An exception from a value's hook is raised too.
            WrongType: a TypeError: the name is not a str.
            RuntimeError: called outside the connections' event loop.
        """
        if type(_name) is not str:
            raise WrongType(f"the name of a change is a str, not {type(_name).__name__}")
        _ledger_of(self).note(_name, args)

    def getStateToCacheAndObserveFor(
        self, perspective: object, observer: RemoteCacheObserver
    ) -> object:
        """Add a follower; return the state to send."""
        return _ledger_of(self).follow(self, perspective, observer)


def _without_ledger(state: object) -> object:
    if isinstance(state, dict) and _LEDGER in state:
        return {name: value for name, value in state.items() if name != _LEDGER}
    return state


class Change:
    """One change: the call of the method, and the call that has the offset, too.

    Attributes:
        plain: for a dialect in which nothing can be resumed: the method itself.
        numbered: for the others.
    """

    __slots__ = ("numbered", "plain")

    def __init__(self, offset: int, name: str, args: tuple[object, ...]):
        self.plain = Broadcast(name, args, {})
        self.numbered = Broadcast(CHANGE, (offset, name, *args), {})


class Ledger(Followers["_Follower"]):
    """The changes of one Resumable, and its followers."""

    __slots__ = ("recent",)

    def __init__(self, history: History) -> None:
        super().__init__()
        self.recent: Recent[Change] = Recent(history)

    def note(self, name: str, args: tuple[object, ...]) -> None:
        """Number a change, keep it, and tell the followers."""
        self.check_loop(f"change('{name}')")
        self.offset += 1
        change = Change(self.offset, name, args)
        self.recent.add(self.offset, change, _size_of(args))
        told, fault = 0, None
        for follower in self:
            error = follower.tell(self.offset, change)
            told += error is None
            fault = fault or error
        if fault is None:
            return
        try:
            if told:
                report(change.plain, fault)
            else:
                raise fault
        finally:
            del fault, error

    def follow(
        self, owner: Resumable, perspective: object, observer: RemoteCacheObserver
    ) -> object:
        """Add a follower; return its first state."""
        since = resumed_offset(observer, self)
        if since is not None and self.recent.forgotten <= since:
            state: object = {"epoch": self.epoch, "since": since, "changes": self.offset - since}
        else:
            since, state = self.offset, self.state_of(owner, perspective)
        follower = _Follower(observer, self, owner, since)
        self.add(follower)
        follower.begin()
        return state

    def state_of(self, owner: Resumable, perspective: object) -> dict[str, object]:
        """Return the whole state.

        Raises:
            WrongType: a TypeError: the state is not a dict.
            ConfigError: it has a name of our own.
        """
        state = owner.getStateToCopyFor(perspective)
        if not isinstance(state, dict):
            raise WrongType(
                f"the state of {type(owner).__name__} is a {type(state).__name__}: that of a"
                " Resumable must be a dict"
            )
        if not _OWN.isdisjoint(state):
            raise ConfigError(
                f"the state of {type(owner).__name__} has 'epoch' or 'offset', which are names of"
                " Resumable itself"
            )
        return {**state, "epoch": self.epoch, "offset": self.offset}


class _Follower(Follower):
    """A follower: it has all changes up to an offset."""

    __slots__ = ("_ledger", "_owner", "_sent")

    def __init__(self, observer: RemoteCacheObserver, ledger: Ledger, owner: Resumable, sent: int):
        super().__init__(observer, type(owner).__name__)
        self._ledger = ledger
        self._owner = owner
        self._sent = sent

    @property
    def is_behind(self) -> bool:
        return self._sent < self._ledger.offset

    def tell(self, offset: int, change: Change) -> BaseException | None:
        """Send a new change, or leave it to the history; return the error if it cannot be sent."""
        if self.is_going_on:
            # A value's hook has made this change: what runs sends it.
            return None
        error = None
        if self._sent == offset - 1 and self.can_be_told and not self.broker.pump.is_slow():
            self.is_going_on = True
            try:
                error = self._send(offset, change)
            finally:
                self.is_going_on = False
        if self._sent < self._ledger.offset:
            self.go_on()
        return error

    def send_some(self) -> None:
        """Send the next change, or the whole state."""
        offset = self._sent + 1
        change = self._ledger.recent.get(offset)
        if change is None:
            self._resync()
            return
        error = self._send(offset, change)
        if error is not None:
            report(change.plain, error)

    def _send(self, offset: int, change: Change) -> BaseException | None:
        observer = self.observer
        is_numbered = Feature.META in self.broker.session.outbox.features
        try:
            observer.notify(change.numbered if is_numbered else change.plain)
        except DeadReferenceError:
            return None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - handled once for all followers
            # The follower must not stay without this change: it gets the whole state.
            self._sent = -1
            return error
        self._sent = offset
        return None

    def _resync(self) -> None:
        observer, ledger = self.observer, self._ledger
        offset = ledger.offset
        state = ledger.state_of(self._owner, observer.perspective)
        observer.notify(Broadcast(STATE, (state,), {}))
        self._sent = offset


_encode = msgspec.msgpack.Encoder(enc_hook=lambda value: b"\0" * _OBJECT).encode


def _size_of(args: tuple[object, ...]) -> int:
    """Return about how many bytes the arguments of a change take."""
    try:
        return _HEAD + len(_encode(args))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _HEAD + _OBJECT * (1 + len(args))


def _ledger_of(owner: Resumable) -> Ledger:
    ledger: Ledger | None = owner.__dict__.get(_LEDGER)
    if ledger is None:
        ledger = Ledger(owner.history)
        # Works for a frozen dataclass too.
        object.__setattr__(owner, _LEDGER, ledger)
    return ledger
