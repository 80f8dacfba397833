"""Local objects with the interface of remote ones, so that callers treat both alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.defer import Deferred, fail, maybeDeferred, succeed
from broker.failure import Failure

if TYPE_CHECKING:
    from zope.interface.interface import InterfaceClass

__all__ = ["LocalAsRemote", "LocalAsyncForwarder", "LocalMethod"]


class LocalMethod:
    """One method of a LocalAsRemote; calling this object calls the method (published)."""

    def __init__(self, local: LocalAsRemote, name: str):
        self.local = local
        self.name = name

    def __call__(self, *args: object, **kw: object) -> Any:
        """Call the method; see :meth:`LocalAsRemote.callRemote`."""
        return self.local.callRemote(self.name, *args, **kw)


class LocalAsRemote:
    """A local object that is called like a remote one (published).

    A subclass defines ``sync_name`` methods, whose result is returned directly, and ``async_name``
    methods, whose result or exception is returned in a Deferred.

    Attributes:
        reportAllTracebacks: print the traceback of an exception that an ``async_`` method raises.
    """

    reportAllTracebacks: bool | int = 1

    def callRemote(self, name: str, /, *args: object, **kw: object) -> Any:
        """Call ``sync_<name>`` if it exists, else ``async_<name>``.

        Returns:
            The result of ``sync_<name>``, or a Deferred of the result of ``async_<name>``. The
            Deferred fails with AttributeError if the object has neither method.
        """
        method = getattr(self, f"sync_{name}", None)
        if method is not None:
            return method(*args, **kw)
        try:
            return succeed(getattr(self, f"async_{name}")(*args, **kw))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - any exception of the method goes into the Deferred
            # Not held in a variable: the traceback has this frame, and the two would form a cycle.
            failed = fail(Failure())
            if self.reportAllTracebacks:
                failed.result.printTraceback()
            try:
                return failed
            finally:
                del failed

    def remoteMethod(self, name: str) -> LocalMethod:
        """Return a callable for one of the methods."""
        return LocalMethod(self, name)


class LocalAsyncForwarder:
    """Forwards the methods of one interface to an object (published).

    Args:
        forwarded: the object, which provides the interface.
        interfaceClass: the zope interface.
        failWhenNotImplemented: fail for names that are not in the interface, instead of returning
            None.

    Raises:
        TypeError: ``forwarded`` does not provide the interface.
    """

    def __init__(
        self,
        forwarded: object,
        interfaceClass: InterfaceClass,
        failWhenNotImplemented: bool | int = 0,
    ):
        if not interfaceClass.providedBy(forwarded):
            raise TypeError(f"{type(forwarded).__name__} does not provide {interfaceClass}")
        self.forwarded = forwarded
        self.interfaceClass = interfaceClass
        self.failWhenNotImplemented = failWhenNotImplemented

    def callRemote(self, method: str, /, *args: object, **kw: object) -> Deferred[Any]:
        """Call a method of the interface; return a Deferred of its result.

        For a name that is not in the interface the Deferred's result is None. With
        ``failWhenNotImplemented`` it fails with NotImplementedError.
        """
        if self.interfaceClass.queryDescriptionFor(method):
            return maybeDeferred(getattr(self.forwarded, method), *args, **kw)
        if self.failWhenNotImplemented:
            return fail(NotImplementedError(f"no such method in the interface: {method}"))
        return succeed(None)
