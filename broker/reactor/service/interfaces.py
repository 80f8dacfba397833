"""The published interfaces of services, of collections of services, and of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.defer import Deferred

__all__ = ["IProcess", "IService", "IServiceCollection"]


class IService(Interface):
    """Can be started and stopped, and be part of a collection (published)."""

    name = Attribute("A str, the name in the collection; or None.")
    running = Attribute("True from startService to stopService.")
    parent = Attribute("The collection, or None.")

    def setName(name: str) -> None:
        """Set its name, while it has no parent."""

    def setServiceParent(parent: IServiceCollection) -> None:
        """Add it to a collection, after removing it from another one."""

    def disownServiceParent() -> Deferred[None] | None:
        """Remove it from its collection; return a Deferred of its end, or None."""

    def privilegedStartService() -> None:
        """Prepare with the rights of the process before it drops them, such as open a low port."""

    def startService() -> None:
        """Start."""

    def stopService() -> Deferred[None] | None:
        """Stop; return a Deferred of the end, or None."""


class IServiceCollection(Interface):
    """Holds services, and starts and stops them with itself (published)."""

    def getServiceNamed(name: str) -> IService:
        """Return the service of that name, or raise KeyError."""

    def __iter__() -> Iterator[IService]:
        """Iterate over the services."""

    def addService(service: IService) -> None:
        """Add a service; `service.setServiceParent` does this."""

    def removeService(service: IService) -> Deferred[None] | None:
        """Remove a service; `service.disownServiceParent` does this."""


class IProcess(Interface):
    """The user, group and name for the process of an Application (published)."""

    processName = Attribute("What the process is to be called, or None.")
    uid = Attribute("The user whose rights it is to have, a number; or None.")
    gid = Attribute("The group, a number; or None.")
