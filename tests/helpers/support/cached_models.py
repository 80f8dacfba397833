"""A model that is cached, what follows it, and a server that has it."""

from __future__ import annotations

from typing import Any

from broker.core.policy import STRICT
from broker.flavors.cacheable import Cacheable, RemoteCache, RemoteCacheObserver
from broker.flavors.copyable import register
from broker.flavors.referenceable import Root
from support.memory import BrokerPair

__all__ = ["House", "Mirror", "Model", "served", "tables"]


class Model(Cacheable):
    """What is followed."""

    def __init__(self, value: Any = 0):
        self.value = value
        self.observers: list[RemoteCacheObserver] = []
        self.stopped: list[tuple[Any, Any]] = []

    def getTypeToCopy(self) -> str:
        """Be called as the receiving class is."""
        return f"{__name__}.Mirror"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Keep the observer."""
        self.observers.append(observer)
        return {"value": self.value}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget the observer."""
        self.observers.remove(observer)
        self.stopped.append((perspective, observer))

    def change(self, value: Any) -> list[Any]:
        """Tell every observer."""
        self.value = value
        return [observer.callRemote("changed", value) for observer in self.observers]


@register
class Mirror(RemoteCache):
    """What the follower has."""

    value: Any

    def observe_changed(self, value: Any) -> Any:
        """Follow."""
        self.value = value
        return ["seen", value]

    def remote_not_this(self) -> None:
        """Have a prefix that owners do not call."""


class House(Root):
    """Hands out models."""

    def __init__(self, *models: Any):
        self.models = list(models) or [Model()]
        self.returned: list[Any] = []

    def remote_get(self) -> Any:
        """Return the first."""
        return self.models[0]

    def remote_all(self) -> Any:
        """Return all of them, twice."""
        return self.models * 2

    def remote_give_back(self, value: Any) -> bool:
        """Take one home."""
        self.returned.append(value)
        return value is self.models[0]

    def remote_bad(self) -> Any:
        """Return a model beside something that cannot be sent."""
        return [*self.models, object()]


def served(*models: Any, **policy: Any) -> tuple[BrokerPair, Any]:
    """A pair whose server has models, and the first of these."""
    house = House(*models)
    return BrokerPair(house, policy=STRICT.but(**policy)), house.models[0]


def tables(pair: BrokerPair) -> tuple[int, int]:
    """How many caches the server has published and the client holds."""
    return (
        len(pair.server.session.translator.cacheables),
        len(pair.client.session.translator.remote_caches),
    )
