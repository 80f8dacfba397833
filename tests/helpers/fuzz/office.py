"""The application behind a fuzzed connection: a root, objects of each kind, and a way to log in."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import broker
from broker import pb
from broker.defer import Deferred
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal

__all__ = ["CLASSES", "Expected", "Held", "Office", "Shared", "portal_of"]

PREFIX = "fuzz."


class Expected(broker.Error):
    """What the methods here raise on purpose."""


@broker.register
@dataclasses.dataclass
class Card(pb.Copyable, pb.RemoteCopy):
    """A copy with declared fields."""

    x: Any = None
    name: Any = ""

    def remote_echo(self) -> None:
        """A method that state must not hide."""


class Loose(pb.Copyable, pb.RemoteCopy):
    """A copy of the old kind, with any state."""


class Shared(pb.Cacheable):
    """A cache of ours.

    Attributes:
        observers: who is to be told.
    """

    def __init__(self) -> None:
        self.observers: list[Any] = []

    def getTypeToCopy(self) -> str:
        """Return the tag."""
        return PREFIX + "Held"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Remember who observes."""
        self.observers.append(observer)
        return {"x": 1}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget; raises ValueError for one that is not known."""
        self.observers.remove(observer)


class Held(pb.RemoteCache):
    """A cache of the peer's."""

    x: Any
    name: Any

    def observe_changed(self, *args: Any) -> None:
        """Take a change."""
        self.x = args

    def observe_echo(self, *args: Any) -> Any:
        """Return what comes."""
        return args


broker.register(Held, PREFIX + "Held")
pb.setUnjellyableForClass(PREFIX + "Loose", Loose)
pb.setUnjellyableForClass(PREFIX + "Held", Held)
pb.setUnjellyableForClass(f"{Card.__module__}.Card", Card)
CLASSES = (f"{Card.__module__}.Card".encode(), b"fuzz.Loose", b"fuzz.Held")


class Office(pb.Root, pb.Avatar):
    """The root; the methods of an avatar are the same.

    Attributes:
        kept: what the peer had us keep.
        pending: Deferreds that methods returned.
        cache: the cache that is handed out.
    """

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.pending: list[Deferred[Any]] = []
        self.cache = Shared()

    def remote_echo(self, *args: Any, **kw: Any) -> Any:
        """Return the arguments."""
        return args

    def remote_give(self, *args: Any) -> Any:
        """Return an object that stays here."""
        return Desk(self)

    def remote_view(self, *args: Any) -> Any:
        """Return a view."""
        return Window()

    def remote_copy(self, *args: Any) -> Any:
        """Return a copy."""
        return Card(list(args), "card")

    def remote_cache(self, *args: Any) -> Any:
        """Return the cache."""
        return [self.cache, self.cache]

    def remote_later(self, *args: Any) -> Any:
        """Return what is answered at the end."""
        self.pending.append(Deferred())
        return self.pending[-1]

    async def remote_soon(self, *args: Any) -> Any:
        """Return the arguments, asynchronously."""
        return args

    def remote_keep(self, *args: Any) -> int:
        """Keep the arguments."""
        self.kept.extend(args)
        return len(self.kept)

    async def remote_rows(self, *args: Any) -> AsyncIterator[Any]:
        """Make the arguments, and then some bytes."""
        for each in args:
            yield each
        yield b"x" * 600

    async def remote_read(self, stream: Any = None, *args: Any) -> Any:
        """Return the first items of a stream."""
        items = []
        if not isinstance(stream, pb.RemoteReference | broker.RemoteStream):
            raise Expected("not a stream")
        async with broker.stream_of(stream) as opened:
            async for item in opened:
                items.append(item)
                if len(items) > len(args):
                    break
        return items

    def remote_drop(self, *args: Any) -> None:
        """Keep nothing any more."""
        self.kept.clear()

    def remote_fail(self, *args: Any) -> None:
        """Raise."""
        raise Expected("on purpose")

    def remote_refuse(self, *args: Any) -> Any:
        """Return what cannot be sent."""
        return [Desk(self), self.cache, object()]

    def remote_call(self, reference: Any = None, *args: Any) -> None:
        """Call the peer back."""
        if isinstance(reference, pb.RemoteReference):
            reference.callRemote("x", *args).addErrback(_nothing)

    def remote_change(self, *args: Any) -> None:
        """Tell those who observe."""
        for observer in list(self.cache.observers):
            observer.callRemote("changed", *args).addErrback(_nothing)


for _name, _method in list(vars(Office).items()):
    if _name.startswith("remote_"):
        setattr(Office, "perspective_" + _name.removeprefix("remote_"), _method)


class Desk(pb.Referenceable):
    """An object that stays here."""

    def __init__(self, office: Office):
        self._office = office

    def remote_echo(self, *args: Any) -> Any:
        """Return the arguments and this object."""
        return (*args, self)

    def remote_keep(self, *args: Any) -> None:
        """Keep the arguments."""
        self._office.kept.extend(args)


class Window(pb.Viewable):
    """An object of which each perspective has a view."""

    def view_echo(self, perspective: Any, *args: Any) -> Any:
        """Return the arguments."""
        return args


def _nothing(failure: Any) -> None:
    """Take a failure as it is."""


def portal_of(offices: list[Office]) -> Portal:
    """Return a portal whose newest avatar is the last of ``offices``."""

    @broker.realm
    def realm(avatar_id: Any, mind: Any) -> Office:
        if isinstance(mind, pb.RemoteReference):
            mind.callRemote("x", 1).addErrback(_nothing)
        return offices[-1]

    passwords = InMemoryUsernamePasswordDatabaseDontUse(a=b"a", root=b"x")
    return Portal(realm, [passwords, AllowAnonymousAccess()])
