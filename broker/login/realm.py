"""``broker.realm``: makes a realm of one function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from zope.interface import implementer

from broker.errors import ConfigError, WrongType
from broker.interfaces import IPerspective
from broker.login.results import then
from cred.portal import IRealm, LoginResult

__all__ = ["AvatarFunction", "realm"]

# Of the avatar id and the mind; returns the avatar, or an awaitable of it.
Function: TypeAlias = Callable[[Any, Any], object]

AvatarFunction: TypeAlias = Function | Callable[[Any], object]
"""The same, or of the avatar id only."""


@implementer(IRealm)
class _FunctionRealm:
    """A realm that calls a function for each interface; see :func:`realm`."""

    def __init__(self, functions: Mapping[Any, Function], doc: str | None = None):
        self._functions = dict(functions)
        self.__doc__ = doc

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: object) -> object:
        """Return (interface, avatar, logout) for the first interface that has a function.

        Or a Deferred of it.
        """
        for interface in interfaces:
            function = self._functions.get(interface)
            if function is not None:
                return then(function(avatarId, mind), _with_logout, interface)
        names = ", ".join(getattr(each, "__name__", repr(each)) for each in self._functions)
        raise NotImplementedError(f"this realm makes avatars for {names}")


def realm(function: Function | Mapping[Any, AvatarFunction]) -> _FunctionRealm:
    """Make a realm of a function, or of a function for each interface; usable as a decorator.

    ::

        @broker.realm
        def members(avatar_id, mind): ...                    # for PB

        realm = broker.realm({pb.IPerspective: member, IGuest: guest, IAdmin: admin})

    Args:
        function: ``f(avatar_id, mind)``, synchronous or async, which returns an Avatar.
            ``avatar_id`` is the value that the checker returned, usually the user name, or
            ``ANONYMOUS``. ``mind`` is the object that the client sent, often a RemoteReference, or
            None; at another front end, what it passed to ``login``. If the avatar has a
            ``logout()``, synchronous or async, it runs once: when the peer drops the avatar or has
            disconnected. Or a mapping from interfaces to such functions, which may also be
            ``f(avatar_id)``. A login gets an avatar for the first of its interfaces that is there.

    Raises:
        WrongType: a TypeError: a function cannot be called, or one of the mapping not with an
            avatar id.
        ConfigError: the mapping is empty.
    """
    if isinstance(function, Mapping):
        if not function:
            raise ConfigError("a realm without interfaces makes no avatars: realm({IGuest: guest})")
        return _FunctionRealm({each: _with_mind(given) for each, given in function.items()})
    _check_callable(function)
    return _FunctionRealm({IPerspective: function}, function.__doc__)


def _check_callable(function: object) -> None:
    if not callable(function):
        raise WrongType(
            f"realm takes a function of avatar id and mind, not {type(function).__name__}"
        )


def _with_mind(function: Any) -> Function:
    """Return the function itself, or one that drops the mind if it takes only the avatar id."""
    _check_callable(function)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Some functions in C do not tell.
        return function  # type: ignore[no-any-return]
    if _takes(signature, 2):
        return function  # type: ignore[no-any-return]
    if _takes(signature, 1):
        return lambda avatar_id, mind: function(avatar_id)
    name = getattr(function, "__name__", type(function).__name__)
    raise WrongType(f"realm takes a function of avatar id and mind, or of avatar id, not {name}")


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _with_logout(avatar: object, interface: object) -> LoginResult:
    logout = getattr(avatar, "logout", None)
    return interface, avatar, _nothing if logout is None else _Once(logout)


class _Once:
    """Calls a logout at the first call, and then nothing."""

    __slots__ = ("_logout",)

    def __init__(self, logout: Callable[[], object]):
        self._logout: Callable[[], object] | None = logout

    def __call__(self) -> object:
        logout, self._logout = self._logout, None
        return None if logout is None else logout()


def _nothing() -> None:
    """Log out an avatar that has nothing to do then."""
