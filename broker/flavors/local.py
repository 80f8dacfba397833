"""Local objects behind the face of remote ones, so that code need not know which it has."""

from __future__ import annotations

from typing import Any

from broker.defer import Deferred, fail, maybeDeferred, succeed
from broker.failure import Failure

__all__ = ["LocalAsRemote", "LocalAsyncForwarder", "LocalMethod"]


class LocalMethod:
    """One method of a LocalAsRemote; calling it calls that (published)."""

    def __init__(self, local: LocalAsRemote, name: str):
        self.local = local
        self.name = name

    def __call__(self, *args: Any, **kw: Any) -> Any:
        """Make the call; see :meth:`LocalAsRemote.callRemote`."""
        return self.local.callRemote(self.name, *args, **kw)


class LocalAsRemote:
    """An object that is called like a remote one (published).

    A subclass defines ``sync_name`` methods, whose result is returned as it is, and ``async_name``
    methods, whose result or exception comes as a Deferred.

    Attributes:
        reportAllTracebacks: print the traceback of what an ``async_`` method raises.
    """

    reportAllTracebacks: bool | int = 1

    def callRemote(self, name: str, /, *args: Any, **kw: Any) -> Any:
        """Call ``sync_<name>``, or else ``async_<name>``.

        Returns:
            What the first returns, or a Deferred of what the second does. The Deferred fails with
            AttributeError when there is neither.
        """
        method = getattr(self, f"sync_{name}", None)
        if method is not None:
            return method(*args, **kw)
        try:
            return succeed(getattr(self, f"async_{name}")(*args, **kw))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - whatever the method raises is the Deferred's
            # In no variable: the traceback has this frame, and together they would be a cycle.
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
        failWhenNotImplemented: fail for names that are not in the interface, rather than answer
            None.

    Raises:
        TypeError: ``forwarded`` does not provide the interface.
    """

    def __init__(self, forwarded: Any, interfaceClass: Any, failWhenNotImplemented: bool | int = 0):
        if not interfaceClass.providedBy(forwarded):
            raise TypeError(f"{type(forwarded).__name__} does not provide {interfaceClass}")
        self.forwarded = forwarded
        self.interfaceClass = interfaceClass
        self.failWhenNotImplemented = failWhenNotImplemented

    def callRemote(self, method: str, /, *args: Any, **kw: Any) -> Deferred[Any]:
        """Call a method of the interface; return a Deferred of its result.

        The Deferred fails with NotImplementedError for a name that is not in the interface, if that
        was asked for.
        """
        if self.interfaceClass.queryDescriptionFor(method):
            return maybeDeferred(getattr(self.forwarded, method), *args, **kw)
        if self.failWhenNotImplemented:
            return fail(NotImplementedError(f"no such method in the interface: {method}"))
        return succeed(None)
