"""A portal as its own ``login`` sees it while a server logs a peer in.

Theory of operation. A server takes the two steps of a login itself: `Portal.check`, then
`Portal.request_avatar`. A portal with a ``login`` of its own is asked through that method. Between
the steps the server has work to do, such as opening the login gate. So ``login`` runs on a view of
the portal, whose ``realm`` tells the server when it is asked. Everything else is the portal itself:
attributes are read from it and set on it, and its methods run on the view. The portal is neither
copied nor changed, so that several logins can run at once.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

from cred.portal import Portal, Realm

__all__ = ["PortalView", "overrides_login"]

RequestAvatar = Callable[..., object]


def overrides_login(portal: Portal) -> bool:
    """Return whether a portal has a ``login`` that is not `Portal.login`."""
    return getattr(portal.login, "__func__", None) is not Portal.login


class _View:
    """Stands for an object: its class and its attributes are those of the object."""

    __slots__ = ("_request_avatar", "_seen")

    def __init__(self, seen: Any, request_avatar: RequestAvatar):
        object.__setattr__(self, "_seen", seen)
        object.__setattr__(self, "_request_avatar", request_avatar)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._seen.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seen, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._seen, name, value._seen if type(value) is _RealmView else value)

    def __delattr__(self, name: str) -> None:
        delattr(self._seen, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._seen == other)

    def __hash__(self) -> int:
        return hash(self._seen)


class PortalView(_View):
    """A portal during one login.

    Args:
        seen: the portal.
        request_avatar: called in the place of the realm: ``request_avatar(realm, avatar_id, mind,
            *interfaces)``, with the realm that the portal has then.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._seen, name)
        if isinstance(found, MethodType) and found.__self__ is self._seen:
            return MethodType(found.__func__, self)
        return found

    @property
    def realm(self) -> Realm:
        """The realm of the portal, as a view."""
        return _RealmView(self._seen.realm, self._request_avatar)


class _RealmView(_View):
    """A realm during one login."""

    __slots__ = ()

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: object) -> object:
        """Return what the realm returns for this user."""
        return self._request_avatar(self._seen, avatarId, mind, *interfaces)
