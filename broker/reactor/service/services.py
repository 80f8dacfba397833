"""Services that start and stop with a program: single, in collections, or as an Application."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from zope.interface import implementer

from broker.defer import Deferred, DeferredList, maybeDeferred
from broker.reactor.components import Componentized
from broker.reactor.service.interfaces import IProcess, IService, IServiceCollection

__all__ = [
    "Application",
    "MultiService",
    "Process",
    "Service",
]


@implementer(IService)
class Service:
    """Base of objects that start and stop; subclasses extend `startService` and `stopService`.

    Attributes:
        name: its name in the collection, a str, or None; set it by `setName`.
        running: true from `startService` to `stopService`.
        parent: the collection, or None.
    """

    name: str | None = None
    running: bool | int = 0
    parent: Any = None

    def setName(self, name: str | None) -> None:
        """Set its name (published).

        Raises:
            RuntimeError: it has a parent, which finds it by its name.
        """
        if self.parent is not None:
            raise RuntimeError("a service cannot change its name while it has a parent")
        self.name = name

    def setServiceParent(self, parent: MultiService | Componentized) -> None:
        """Add it to a collection or Application, and remove it from another one (published)."""
        if self.parent is not None:
            self.disownServiceParent()
        collection: MultiService = IServiceCollection(parent, parent)
        self.parent = collection
        try:
            collection.addService(self)
        except RuntimeError:
            self.parent = None
            raise

    def disownServiceParent(self) -> Any:
        """Remove it from its collection, and stop it if the collection runs (published).

        Returns:
            The result of `stopService`: a Deferred if that takes time, else None.
        """
        stopped = self.parent.removeService(self)
        self.parent = None
        return stopped

    def privilegedStartService(self) -> None:
        """Do what needs the rights of the process before it drops them (published)."""

    def startService(self) -> None:
        """Start (published)."""
        self.running = 1

    def stopService(self) -> Any:
        """Stop; a subclass may return a Deferred that fires when that is done (published)."""
        self.running = 0


@implementer(IServiceCollection)
class MultiService(Service):
    """A service of services, which start and stop with it (published).

    Attributes:
        services: all of them, in the order in which they were added.
        namedServices: the services that have a name, by name.
    """

    def __init__(self) -> None:
        self.services: list[Service] = []
        self.namedServices: dict[str, Service] = {}

    def privilegedStartService(self) -> None:
        """Call `privilegedStartService` of each service, in their order (published)."""
        super().privilegedStartService()
        for service in self:
            service.privilegedStartService()

    def startService(self) -> None:
        """Start each service, in their order (published)."""
        super().startService()
        for service in self:
            service.startService()

    def stopService(self) -> Deferred[Any]:
        """Stop each service, the last one first (published).

        The Deferred fires when all have stopped, or failed to: with a list of (success, result).
        """
        super().stopService()
        return DeferredList([maybeDeferred(service.stopService) for service in self.services[::-1]])

    def getServiceNamed(self, name: str) -> Service:
        """Return the service of that name (published).

        Raises:
            KeyError: no service has that name.
        """
        return self.namedServices[name]

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services)

    def addService(self, service: Service) -> None:
        """Add a service, and start it if this runs; `setServiceParent` does this (published).

        Raises:
            RuntimeError: another service has its name.
        """
        if service.name is not None:
            if service.name in self.namedServices:
                raise RuntimeError(f"there is a service called {service.name!r} already")
            self.namedServices[service.name] = service
        self.services.append(service)
        if self.running:
            # The rights may be dropped by now, but this is still the first step of a start.
            service.privilegedStartService()
            service.startService()

    def removeService(self, service: Service) -> Any:
        """Remove a service, and stop it if this runs; `disownServiceParent` does this (published).

        Returns:
            The result of its `stopService`; None if this does not run.
        """
        if service.name is not None:
            del self.namedServices[service.name]
        self.services.remove(service)
        return service.stopService() if self.running else None


@implementer(IProcess)
class Process:
    """The user and group of an Application's process after its ports are open (published).

    Attributes:
        uid, gid: numbers; None means no change.
        processName: for the application's own use.
    """

    processName: str | None = None

    def __init__(self, uid: int | None = None, gid: int | None = None):
        self.uid = uid
        self.gid = gid

    def __repr__(self) -> str:
        return f"<Process uid={self.uid} gid={self.gid}>"

    def shed(self) -> None:
        """Drop all rights of this process beyond those of the user and the group.

        Raises:
            OSError: the process may not change them.
        """
        if self.gid is not None and self.gid != os.getegid():
            os.setgroups([self.gid])
            os.setgid(self.gid)
        if self.uid is not None and self.uid != os.geteuid():
            _take_groups_of(self.uid, os.getegid())
            os.setuid(self.uid)


def _take_groups_of(uid: int, gid: int) -> None:
    """Replace this process's supplementary groups by those of a user."""
    try:
        # Imported here because Windows does not have this module.
        name = import_module("pwd").getpwuid(uid).pw_name
    except KeyError:
        os.setgroups([gid])
    else:
        os.initgroups(name, gid)


def Application(name: str, uid: int | None = None, gid: int | None = None) -> Componentized:
    """Return an application for ``pb run``: a collection of services (published).

    `IService(application)` and `IServiceCollection(application)` are its MultiService, and
    `IProcess(application)` its Process. `service.setServiceParent(application)` adds a service.

    Args:
        name: of the MultiService.
        uid, gid: the user and group to keep, once the ports are open; for root only.
    """
    services = MultiService()
    services.setName(name)
    application = Componentized()
    application.setComponent(IService, services)
    application.setComponent(IServiceCollection, services)
    application.setComponent(IProcess, Process(uid, gid))
    return application
