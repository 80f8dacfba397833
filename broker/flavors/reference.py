"""References to a peer's objects: what the receiver of a Referenceable gets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from broker.core.principal import split_view, view_of
from broker.core.wire.messages import ObjectId
from broker.flavors.referenceable import Serializable
from broker.native import native
from broker.printable import printable
from broker.traces import log_error
from jelly.atoms import Expression
from jelly.errors import CannotJelly
from jelly.numbers import number_in

if TYPE_CHECKING:
    from broker.core.host import Invoker
    from broker.core.wire.broadcast import Broadcast
    from broker.defer.deferred import Deferred
    from broker.flavors.promise import Promise
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["RemoteMethod", "RemoteReference", "unwrapped"]

logger = logging.getLogger("broker.reference")

C = TypeVar("C")
Hook = TypeVar("Hook")


def _reads_reference(hook: Hook) -> Hook:
    """Mark a hook as one that reads ``[tag id]``, and nothing else, as a reference."""
    hook.reads_reference = True  # type: ignore[attr-defined]
    return hook


class PythonReferenceBase:
    """The methods that call a remote object. They have a form in C, in ``broker._lane``."""

    __slots__ = ()
    broker: Invoker
    view: object
    luid: ObjectId

    def callRemote(self, _name: str, /, *args: object, **kw: object) -> Promise[Any]:
        """Call a method of the object.

        Args:
            _name: the method's name, without its prefix.
            args, kw: the arguments. Every keyword is passed to the remote method, except
                ``pbanswer=False``: the peer then sends no answer, and None is returned.

        Returns:
            A Deferred, which can be awaited, or read with ``async for`` if the result is a stream.
            It fails with the remote exception, with an EncodeError if an argument cannot be sent,
            or with PBConnectionLost.

        Raises:
            DeadReferenceError: the connection has ended; not raised with ``pbanswer=False``.
            RuntimeError: called outside the connection's event loop.
        """
        # A Promise; None with ``pbanswer=False``, which no caller uses as a Deferred.
        return self.broker.calls.call(  # type: ignore[return-value]
            self.view, self.luid, _name, args, kw
        )

    def call_as(
        self, kind: type[Deferred[Any]], name: str, args: tuple[object, ...], kw: dict[str, Any]
    ) -> Deferred[Any]:
        """Call a method as :meth:`callRemote` does; the Deferred is of a class that checks results.

        The methods of a contract use it; see ``flavors.contracts.proxy``.
        """
        return self.broker.calls.call(  # type: ignore[return-value]
            self.view, self.luid, name, args, kw, False, kind
        )


if TYPE_CHECKING:
    ReferenceBase = PythonReferenceBase
else:
    ReferenceBase = PythonReferenceBase if native is None else native.ReferenceBase


class RemoteReference(ReferenceBase, Serializable):
    """A peer's object: its methods can be called, and it can be sent back to the peer (published).

    There is one reference for each object and perspective. The peer keeps the object alive until
    the reference is collected and the peer has been notified.

    Attributes:
        broker: the connection.
        luid: the peer's id of the object.
        view: the perspective, and the user who owns the values that are sent through this
            reference; see ``broker.core.principal``.
        doRefCount: whether the peer counts this reference; False for named objects.

    A subclass can be registered with ``setUnjellyableForClass`` for expressions ``[tag id]``, where
    the peer got the id from its ``registerReference``. For other expressions it overrides
    :meth:`unjellyFor`. Such references are not shared: each received expression makes a new one.
    """

    __slots__ = ("broker", "disconnectCallbacks", "doRefCount", "luid", "view")

    def __init__(
        self, perspective: object, broker: Invoker, luid: ObjectId, doRefCount: bool | int = True
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
        """The perspective that arguments and results are serialized for (published)."""
        return split_view(self.view)[0]

    @perspective.setter
    def perspective(self, perspective: object) -> None:
        self.view = view_of(perspective, split_view(self.view)[1])

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Call a method one way, without an answer; if the peer has disconnected, do nothing.

        If an argument cannot be sent, the error is logged as a local error.

        Raises:
            RuntimeError: called outside the connection's event loop.
        """
        self.broker.calls.send(self.view, self.luid, _name, args, kw)

    def of(self, contract: Callable[..., C]) -> C:
        """Return this reference as an object with the methods of a contract.

        Nothing is sent: the peer need not know the contract. Each method checks the types of its
        arguments before they are sent, and that of the result. The returned object equals the
        reference, and is sent as the reference.

        Args:
            contract: a Protocol class, or a generic one with its arguments, as ``Store[int]``.

        Raises:
            TypeError: it is not a Protocol class.
            ConfigError: it cannot be a contract; the text says why.
        """
        # Loaded at the first use: most programs have no contracts.
        from broker.flavors.contracts.proxy import typed

        return typed(self, contract)

    def __aiter__(self) -> AsyncIterator[Any]:
        """Read the object as a stream: as such it arrives in PB's dialects; see `stream_of`."""
        # Loaded at the first use: most programs have no such streams.
        from broker.flavors.pulled_streams import pulled

        return pulled(self)

    def notify(self, broadcast: Broadcast) -> None:
        """Send a call that goes to many receivers; used by ``Subscribers``.

        Raises:
            DeadReferenceError, EncodeError, RuntimeError: it was not sent.
        """
        self.broker.calls.notify(self.view, self.luid, broadcast)

    def when_over(self, callback: Callable[[RemoteReference], object]) -> None:
        """Call ``callback(self)`` when nothing can be sent any more; used by ``Subscribers``."""
        self.notifyOnDisconnect(callback)

    def forget_over(self, callback: Callable[[RemoteReference], object]) -> None:
        """Remove one :meth:`when_over` callback that has not been called."""
        if callback in self.disconnectCallbacks:
            self.dontNotifyOnDisconnect(callback)

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more, since the connection has ended."""
        return bool(self.broker.disconnected)

    def remoteMethod(self, key: str) -> RemoteMethod:
        """Return a callable for one method of the object."""
        return RemoteMethod(self, key)

    def notifyOnDisconnect(self, callback: Callable[[RemoteReference], object]) -> None:
        """Call ``callback(self)`` when the connection ends."""
        if not callable(callback):
            raise TypeError("notifyOnDisconnect takes a callable")
        self.disconnectCallbacks.append(callback)
        if len(self.disconnectCallbacks) == 1:
            self.broker.notifyOnDisconnect(self._disconnected)

    def dontNotifyOnDisconnect(self, callback: Callable[[RemoteReference], object]) -> None:
        """Remove one ``notifyOnDisconnect`` callback."""
        self.disconnectCallbacks.remove(callback)
        if not self.disconnectCallbacks:
            self.broker.dontNotifyOnDisconnect(self._disconnected)

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[local, id]``: a reference can be sent only to the owner of its object."""
        if jellier.invoker is not self.broker:
            raise CannotJelly(
                "a RemoteReference cannot be sent over another connection than its own;"
                " send your own Referenceable that forwards to it"
            )
        return [b"local", self.luid]

    @_reads_reference
    def unjellyFor(self, unjellier: Unjellier, unjellyList: list[Any]) -> RemoteReference:
        """Become the reference of ``[tag id]``, and return ``self`` (published).

        Raises:
            MalformedJelly: there is no id after the tag.
        """
        broker: Invoker = unjellier.invoker
        # As in Twisted: a subclass may have its own constructor.
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
        # The peer chooses luid. Python hashes a str with a secret of the process, but an int
        # without.
        return hash((id(self.broker), str(self.luid)))

    def _disconnected(self) -> None:
        callbacks, self.disconnectCallbacks = self.disconnectCallbacks, []
        for callback in callbacks:
            try:
                callback(self)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as exc:  # noqa: BLE001 - logged; the other callbacks run
                log_error(logger, "a callback of the application raised", exc)


if native is not None:
    native.use_classes(reference=RemoteReference)


def unwrapped(value: object) -> object:
    """Return the reference of an object with the methods of a contract, else the value itself."""
    # A class of such objects may not be loaded: most programs have no contracts.
    return getattr(value, "_broker_reference", value)


class RemoteMethod:
    """One method of a peer's object; calling this object calls the method (published)."""

    def __init__(self, obj: RemoteReference, name: str):
        self.obj = obj
        self.name = name

    def __call__(self, *args: object, **kw: object) -> Deferred[Any]:
        """Call the method; see :meth:`RemoteReference.callRemote`."""
        return self.obj.callRemote(self.name, *args, **kw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteMethod):
            return NotImplemented
        return (self.obj, self.name) == (other.obj, other.name)

    def __hash__(self) -> int:
        return hash((self.obj, self.name))
