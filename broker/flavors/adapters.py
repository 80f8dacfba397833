"""Referenceables that are made of something else: of a function, or of another connection's object.

Theory of operation. Both have a route with a method of its own for every name, so no attribute of
theirs can be called. A forwarder goes home: sent over the connection of its reference, it is that
reference. So an object that crosses twice arrives as itself.
"""

from __future__ import annotations

import inspect
import types
import weakref
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.core.calls.dispatch import Method, Route
from broker.core.calls.exposed_methods import conditions_of, unbound
from broker.errors import Disconnected, NoSuchMethod, NoSuchObject
from broker.flavors.exchanged import exchanged
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from jelly.atoms import Expression, text_of

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["callback", "forward"]

_GONE = "the object behind this one is gone"


class _Callback(Referenceable):
    """An object with one method, ``call``, which calls a function."""

    def __init__(self, function: Callable[..., object]):
        self._method = Method(
            unbound(function), conditions_of(function), inspect.iscoroutinefunction(function)
        )

    def route(self) -> Route:
        """Return how calls to this object are made."""
        return Route(self, "remote_", method_for=self._method_for)

    def _method_for(self, name: str) -> Method:
        if name != "call":
            raise NoSuchMethod(f"no remote method '{text_of(name)}'")
        return self._method


class _Forwarder(Referenceable):
    """An object that passes each call on to a reference."""

    def __init__(self, reference: RemoteReference):
        self._reference = reference

    def route(self) -> Route:
        """Return how calls to this object are made.

        The errors of the far side are about the call itself.
        """
        return Route(self, "remote_", method_for=self._method_for, is_ours=True)

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[local id]`` on the connection of the reference, else ``[remote id]``."""
        if jellier.invoker is self._reference.broker:
            return self._reference.jellyFor(jellier)
        return super().jellyFor(jellier)

    def _method_for(self, name: str) -> Method:
        return Method(partial(_Forwarder._forwarded, name), is_async=True)

    @staticmethod
    async def _forwarded(name: str, self: _Forwarder, /, *args: object, **kw: object) -> object:
        known: dict[int, Any] = {}
        args, kw = _carried(args, known), _carried(kw, known)
        del known
        # Every keyword belongs to the method.
        kw.pop("pbanswer", None)
        try:
            result = await self._reference.callRemote(name, *args, **kw)
        except Disconnected:
            raise NoSuchObject(_GONE) from None
        return _carried(result, {})


# The objects that exist, as long as a peer or the program holds them. The function, or the
# reference, is held by its object, so that its id is not used again.
_CALLBACKS: weakref.WeakValueDictionary[Hashable, _Callback] = weakref.WeakValueDictionary()
_FORWARDERS: weakref.WeakValueDictionary[int, _Forwarder] = weakref.WeakValueDictionary()


def callback(function: Callable[..., object]) -> Referenceable:
    """Return an object for a peer to call a function with.

    The peer calls its one method: ``await reference.callRemote("call", 1)``, or
    ``reference.send("call", 1)``. The function may be a coroutine function. While a peer holds the
    object, the same function gives the same object.

    Raises:
        TypeError: ``function`` is not callable.
    """
    if not callable(function):
        raise TypeError(f"callback takes a function, not {type(function).__name__}")
    key: Hashable = id(function)
    if isinstance(function, types.MethodType):
        # A new object each time that it is looked up.
        key = (id(function.__self__), id(function.__func__))
    found = _CALLBACKS.get(key)
    if found is None:
        found = _CALLBACKS[key] = _Callback(function)
    return found


def forward(reference: RemoteReference) -> Referenceable:
    """Return an object that passes each call on to an object of another connection.

    The name, the arguments, the rest of the deadline and a cancellation are passed on, and the
    outcome comes back. References in arguments and results are forwarded in turn. When the
    connection of the reference has ended, calls fail with NoSuchObject.

    Raises:
        TypeError: ``reference`` is not a RemoteReference.
    """
    if not isinstance(reference, RemoteReference):
        raise TypeError(f"forward takes a RemoteReference, not {type(reference).__name__}")
    found = _FORWARDERS.get(id(reference))
    if found is None:
        found = _FORWARDERS[id(reference)] = _Forwarder(reference)
    return found


def _carried(value: Any, known: dict[int, Any]) -> Any:
    """Return a value with each reference replaced by its forwarder; see `exchanged`."""
    return exchanged(value, (RemoteReference,), forward, known)
