"""What ``pb serve --manhole`` gives to operators: users in one group, and the process for all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from zope.interface import implementer

from broker.commands.all_processes import AllProcesses, Member
from broker.commands.processes import DRAIN
from broker.core.policy import STRICT
from broker.flavors.avatar import Avatar
from broker.flavors.contracts.servant import Servant, servant
from broker.flavors.referenceable import Referenceable
from broker.inspection.contract import Administration
from broker.inspection.manhole import Manhole
from broker.login.groups import allow
from broker.login.portal_logins import PortalLogins
from broker.login.results import then
from broker.net.web_settings import WebSettings
from broker.running_server import Server
from broker.running_server import inspector as inspector_of
from broker.server import Serve
from broker.server_addresses import admin_location
from broker.service_manager import ServiceManager
from cred.portal import IRealm, Portal

__all__ = ["GROUP", "Operators", "address_in_process", "serve_all"]

GROUP = "operators"
"""The group whose users get the manhole and the inspector from their avatar."""

_CLOSING = 1.0

logger = logging.getLogger("broker.server")


class Operators:
    """Adds the methods ``manhole`` and ``inspector`` to the avatars of a server, for one group.

    Avatars that have such a method keep their own.

    Attributes:
        server: the server, once it runs.
    """

    def __init__(self) -> None:
        self.server: Server | None = None
        self._root: object = None
        self._classes: dict[type, type] = {}
        self._left_out: set[type] = set()
        self._manhole: Manhole | None = None

    def equip(self, root: object) -> None:
        """Have the portal of a server make such avatars; a root without a login has no group."""
        self._root = root
        portal = root.portal if isinstance(root, PortalLogins) else root
        if isinstance(portal, Portal):
            portal.realm = _Realm(portal.realm, self)

    def with_methods(self, avatar: Any) -> None:
        """Add the methods to an avatar, by a subclass of its class."""
        cls = type(avatar)
        if cls in self._classes.values() or isinstance(avatar, Servant):
            # A servant has the methods of its contract only.
            return
        if isinstance(avatar, Avatar | Referenceable):
            prefix = "perspective_" if isinstance(avatar, Avatar) else "remote_"
            try:
                avatar.__class__ = self._class(cls, prefix)
            except TypeError:
                if cls not in self._left_out:
                    self._left_out.add(cls)
                    logger.warning("avatars of type %s get no manhole", cls.__name__)

    def _class(self, cls: type, prefix: str) -> type:
        if cls not in self._classes:
            methods = {
                f"{prefix}{method.__name__}": allow(GROUP)(method)
                for method in self._methods()
                if not hasattr(cls, f"{prefix}{method.__name__}")
            }
            same = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
            attributes = {**same, "__doc__": cls.__doc__, "__slots__": (), **methods}
            self._classes[cls] = type(cls)(cls.__name__, (cls,), attributes)
        return self._classes[cls]

    def _methods(self) -> tuple[Callable[[object], object], ...]:
        def manhole(avatar: object) -> Manhole:
            if self._manhole is None:
                names = {"root": self._root, "server": self._running()}
                self._manhole = Manhole(names, group=GROUP)
            return self._manhole

        def inspector(avatar: object) -> Referenceable:
            return inspector_of(self._running())

        return manhole, inspector

    def _running(self) -> Server:
        if self.server is None:
            raise RuntimeError("the server does not run yet")
        return self.server


@implementer(IRealm)
class _Realm:
    """A realm that adds the methods to the avatars of another."""

    def __init__(self, realm: Any, operators: Operators):
        self._realm = realm
        self._operators = operators

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: object) -> object:
        return then(self._realm.requestAvatar(avatarId, mind, *interfaces), self._added)

    def _added(self, result: Any) -> Any:
        self._operators.with_methods(result[1])
        return result


def address_in_process(admin: str, number: int) -> str:
    """Return the address of the socket for operators of one of several processes."""
    return f"{admin}.{number}"


def serve_all(admin: str, count: int) -> None:
    """Serve the inspection of all processes at the socket for operators, until SIGTERM.

    Raises:
        CannotListenError: the socket cannot be opened.
    """
    asyncio.run(_serve_all(admin, count))


async def _serve_all(admin: str, count: int) -> None:
    members = [Member(each, address_in_process(admin, each)) for each in range(1, count + 1)]
    stop: Callable[[], object] = partial(ServiceManager().send, DRAIN)
    every = AllProcesses(members, stop)
    root = servant(Administration)(every)
    location = admin_location(admin)
    server = await Serve(partial(Server, root, STRICT), root, [location], None, WebSettings())
    try:
        await server.serve_forever(drain=_CLOSING)
    finally:
        await every.close()
