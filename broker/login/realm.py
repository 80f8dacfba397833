"""``broker.realm``: makes a realm of one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from zope.interface import implementer

from broker.errors import WrongType
from broker.interfaces import IPerspective
from broker.login.results import then
from cred.portal import IRealm, LoginResult

__all__ = ["realm"]

# Of the avatar id and the mind; returns the avatar, or an awaitable of it.
Function: TypeAlias = Callable[[Any, Any], object]


@implementer(IRealm)
class _FunctionRealm:
    """A realm that calls one function; see :func:`realm`."""

    def __init__(self, function: Function):
        self._function = function
        self.__doc__ = function.__doc__

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: object) -> object:
        """Return (IPerspective, avatar, logout), or a Deferred of it."""
        if IPerspective not in interfaces:
            raise NotImplementedError("this realm makes avatars for IPerspective")
        return then(self._function(avatarId, mind), _with_logout)


def realm(function: Function) -> _FunctionRealm:
    """Make a realm of a function; usable as a decorator.

    Args:
        function: ``f(avatar_id, mind)``, synchronous or async, which returns an Avatar.
            ``avatar_id`` is the value that the checker returned, usually the user name, or
            ``ANONYMOUS``. ``mind`` is the object that the client sent, often a RemoteReference, or
            None. If the avatar has a ``logout()``, synchronous or async, it runs once: when the
            peer drops the avatar or has disconnected.

    Raises:
        WrongType: a TypeError: ``function`` cannot be called.
    """
    if not callable(function):
        raise WrongType(
            f"realm takes a function of avatar id and mind, not {type(function).__name__}"
        )
    return _FunctionRealm(function)


def _with_logout(avatar: object) -> LoginResult:
    return IPerspective, avatar, getattr(avatar, "logout", _nothing)


def _nothing() -> None:
    """Log out an avatar that has nothing to do then."""
