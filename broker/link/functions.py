"""Recipes that are functions: called on each connection, and once to learn of their contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from broker.defer import Deferred, maybeDeferred
from broker.flavors.contracts.pending import PendingReference
from broker.flavors.contracts.proxy import Proxy, proxy_of, typed
from broker.flavors.promise import Promise
from broker.flavors.reference import RemoteReference
from broker.link.recipes import LinkedReference
from jelly.bases import Jellyable

__all__ = ["probed", "result_of"]

C = TypeVar("C")


def result_of(function: Callable[[Any], object], reference: RemoteReference) -> Deferred[object]:
    """Call the function of a recipe; return a Deferred of the reference, or of its proxy."""

    def waited() -> object:
        result = function(reference)
        if isinstance(result, Proxy) and isinstance(result._broker_reference, PendingReference):
            # Its promise: calls on it are made at once.
            return result._broker_reference.promise
        return result

    return maybeDeferred(waited)


class _Probe(Jellyable):
    """Stands for an avatar, to learn of which contract the result of a function is."""

    def callRemote(self, _name: str, /, *args: object, **kw: object) -> Promise[Any]:
        return Promise()

    def call_as(
        self,
        kind: type[Deferred[object]],
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> Deferred[object]:
        return kind()

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Do nothing."""

    def of(self, contract: Callable[..., C]) -> C:
        return typed(cast("RemoteReference", self), contract)


def probed(function: Callable[[Any], object], reference: LinkedReference) -> object:
    """Return a reference of a function, as an object of the contract that the function returns.

    The function is called once with an object that makes no calls.

    Args:
        function: the function of a recipe.
        reference: the reference that it makes.
    """
    result = function(_Probe())
    if isinstance(result, Proxy):
        return proxy_of(result._broker_contract.protocol, cast("RemoteReference", reference))
    if inspect.iscoroutine(result):
        # A coroutine that is not awaited would warn.
        result.close()
    return reference
