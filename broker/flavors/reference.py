"""References to a peer's objects: what a Referenceable becomes at the side that receives it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from broker.core.principal import split_view, view_of
from broker.core.wire.messages import ObjectId
from broker.flavors.referenceable import Serializable
from broker.printable import printable
from broker.traces import log_error
from jelly.atoms import Expression
from jelly.errors import CannotJelly
from jelly.numbers import number_in

if TYPE_CHECKING:
    from broker.core.wire.broadcast import Broadcast
    from broker.defer.deferred import Deferred
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["RemoteMethod", "RemoteReference"]

logger = logging.getLogger("broker.reference")

Hook = TypeVar("Hook")


def _reads_reference(hook: Hook) -> Hook:
    """Mark a hook that reads ``[tag id]``, and nothing else, as a reference."""
    hook.reads_reference = True  # type: ignore[attr-defined]
    return hook


class RemoteReference(Serializable):
    """A peer's object: its methods can be called, and it can be sent back home (published).

    One reference stands for one object and perspective. When it is collected, the peer is told;
    until then the peer keeps the object alive.

    Attributes:
        broker: the connection.
        luid: the id by which the peer knows the object.
        view: the same, with the user to whom belongs what is sent through this reference; see
            ``broker.core.principal``.
        doRefCount: whether the peer counts this reference; not for named objects.

    A subclass can be registered by ``setUnjellyableForClass`` for what a peer sends as
    ``[tag id]``, the id being of its ``registerReference``. For expressions of other shapes it
    overrides :meth:`unjellyFor`. Such references are not shared: each reception makes one.
    """

    def __init__(
        self, perspective: Any, broker: Any, luid: ObjectId, doRefCount: bool | int = True
    ):
        self.view = perspective
        self.broker = broker
        self.luid = luid
        self.doRefCount = doRefCount
        self.disconnectCallbacks: list[Callable[[RemoteReference], object]] = []
        if doRefCount:
            broker.receive_reference(self)

    def __repr__(self) -> str:
        luid = self.luid if isinstance(self.luid, int) else printable(self.luid)
        return f"<RemoteReference to object {luid!r} of {self.broker!r}>"

    @property
    def perspective(self) -> Any:
        """Through whose eyes arguments and results are seen (published)."""
        return split_view(self.view)[0]

    @perspective.setter
    def perspective(self, perspective: Any) -> None:
        self.view = view_of(perspective, split_view(self.view)[1])

    def callRemote(self, _name: str, /, *args: Any, **kw: Any) -> Deferred[Any]:
        """Call a method of the object.

        Args:
            _name: the method's name, without its prefix.
            args, kw: what to call it with; every keyword belongs to the remote method, except
                ``pbanswer=False``, which asks for no answer: None is returned then.

        Returns:
            A Deferred, which can be awaited. It fails with the remote exception, with an
            EncodeError if an argument cannot be sent, or with PBConnectionLost.

        Raises:
            DeadReferenceError: the connection has ended; with ``pbanswer=False`` nothing is raised.
            RuntimeError: this is not the event loop of the connection.
        """
        return self.broker.calls.call(  # type: ignore[no-any-return]
            b"message", self.view, self.luid, _name, args, kw
        )

    def send(self, _name: str, /, *args: Any, **kw: Any) -> None:
        """Call a method one way: no answer comes, and a peer that has gone is no error.

        An argument that cannot be sent is logged as ours.

        Raises:
            RuntimeError: this is not the event loop of the connection.
        """
        self.broker.calls.send(self.view, self.luid, _name, args, kw)

    def notify(self, notice: Broadcast) -> None:
        """Make a call that goes to many; for ``Subscribers``.

        Raises:
            DeadReferenceError, EncodeError, RuntimeError: it was not sent.
        """
        self.broker.calls.notify(self.view, self.luid, notice)

    def when_over(self, callback: Callable[[Any], object]) -> None:
        """Have ``callback(self)`` called when nothing can be sent any more; for ``Subscribers``."""
        self.notifyOnDisconnect(callback)

    def forget_over(self, callback: Callable[[Any], object]) -> None:
        """Take one :meth:`when_over` back, if it has not been called."""
        if callback in self.disconnectCallbacks:
            self.dontNotifyOnDisconnect(callback)

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more, since the connection has ended."""
        return bool(self.broker.disconnected)

    def remoteMethod(self, key: str) -> RemoteMethod:
        """Return a callable for one of the object's methods."""
        return RemoteMethod(self, key)

    def notifyOnDisconnect(self, callback: Callable[[RemoteReference], object]) -> None:
        """Have ``callback(self)`` called when the connection ends."""
        if not callable(callback):
            raise TypeError("notifyOnDisconnect takes a callable")
        self.disconnectCallbacks.append(callback)
        if len(self.disconnectCallbacks) == 1:
            self.broker.notifyOnDisconnect(self._disconnected)

    def dontNotifyOnDisconnect(self, callback: Callable[[RemoteReference], object]) -> None:
        """Take one ``notifyOnDisconnect`` back."""
        self.disconnectCallbacks.remove(callback)
        if not self.disconnectCallbacks:
            self.broker.dontNotifyOnDisconnect(self._disconnected)

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[local, id]``: a reference goes home to its object, and nowhere else."""
        if jellier.invoker is not self.broker:
            raise CannotJelly(
                "a RemoteReference cannot be sent over another connection than its own;"
                " send a Referenceable of yours that forwards to it"
            )
        return [b"local", self.luid]

    @_reads_reference
    def unjellyFor(self, unjellier: Unjellier, unjellyList: list[Any]) -> RemoteReference:
        """Become the reference that ``[tag id]`` stands for, and return ``self`` (published).

        Raises:
            MalformedJelly: there is no id behind the tag.
        """
        broker = unjellier.invoker
        # As published: a subclass may have a constructor of its own.
        self.__init__(  # type: ignore[misc]
            broker.unserializingPerspective, broker, number_in(unjellyList), 1
        )
        broker.note_read(unjellier, unjellyList)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteReference):
            return NotImplemented
        return self.broker is other.broker and self.luid == other.luid

    def __hash__(self) -> int:
        # The peer chooses luid. Python hashes a str with a secret of the process, an int without.
        return hash((id(self.broker), str(self.luid)))

    def _disconnected(self) -> None:
        callbacks, self.disconnectCallbacks = self.disconnectCallbacks, []
        for callback in callbacks:
            try:
                callback(self)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as exc:  # noqa: BLE001 - logged, and ends nothing else
                log_error(logger, "a callback of the application raised", exc)


class RemoteMethod:
    """One method of a peer's object; calling it calls that (published)."""

    def __init__(self, obj: RemoteReference, name: str):
        self.obj = obj
        self.name = name

    def __call__(self, *args: Any, **kw: Any) -> Deferred[Any]:
        """Make the call; see :meth:`RemoteReference.callRemote`."""
        return self.obj.callRemote(self.name, *args, **kw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteMethod):
            return NotImplemented
        return (self.obj, self.name) == (other.obj, other.name)

    def __hash__(self) -> int:
        return hash((self.obj, self.name))
