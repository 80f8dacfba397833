"""The login of a test: the realm is asked for a user, and no checker is.

It is a login mechanism of its own, which only the servers of pairs have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, TypeGuard

from zope.interface import Interface, implementer

from broker.defer import Deferred, succeed
from broker.login.context import ClientContext, ServerContext
from broker.login.mechanisms.mechanism import LoginCall, Mechanism
from broker.login.mechanisms.table import MechanismTable
from broker.login.server import PortalRoot
from cred.checkers import ICredentialsChecker
from cred.identity import Identity
from cred.portal import Portal

__all__ = ["AS_USER", "TABLE", "User", "portal_for"]

User: TypeAlias = str | bytes
"""The avatar id that the realm gets."""


class IAsUser(Interface):  # type: ignore[misc]
    """Stands for the user of a test, who needs no password."""


@implementer(IAsUser)
class AsUser:
    """The credentials of a test's client; the server knows the user."""


AS_USER = AsUser()


class AsUserLogin(Mechanism[AsUser]):
    """``loginForTest(mind)`` returns the avatar of the user that the test has named."""

    name = "test"
    asks_for = "the user of a test"
    calls = (LoginCall("loginForTest", 0),)
    checked_as = (IAsUser,)

    def accepts(self, credentials: object) -> TypeGuard[AsUser]:
        """Return whether they are those of a test."""
        return isinstance(credentials, AsUser)

    def client(self, context: ClientContext, credentials: AsUser, mind: object) -> Deferred[object]:
        """Call ``loginForTest``."""
        return context.call("loginForTest", mind)

    def server(self, context: ServerContext, mind: object) -> object:
        """Log in the user of the test, and return the avatar."""
        return context.admit(AS_USER, mind)


TABLE = MechanismTable((AsUserLogin(),))


@implementer(ICredentialsChecker)
class _Named:
    """A checker that returns one user."""

    credentialInterfaces = (IAsUser,)

    def __init__(self, user: object):
        self._user = user

    def requestAvatarId(self, credentials: object) -> Deferred[object]:
        """Return a Deferred of the user."""
        return succeed(self._user)


def portal_for(portal: Portal, user: User, groups: Iterable[str]) -> PortalRoot:
    """Return the root of a server whose clients log in as a user, with the realm of a portal.

    Args:
        portal: has the realm; its checkers are not asked.
        user: the avatar id.
        groups: the groups that the user is in.

    Raises:
        TypeError: ``user`` is neither str nor bytes, or ``groups`` is one str.
    """
    return PortalRoot(Portal(portal.realm, [_Named(identity_of(user, groups))]), TABLE)


def identity_of(user: User, groups: Iterable[str]) -> User:
    """Return the avatar id of a user with groups, as a checker returns it.

    Raises:
        TypeError: ``user`` is neither str nor bytes, or ``groups`` is one str.
    """
    if not isinstance(user, str | bytes):
        raise TypeError(f"user= is a str or bytes, not {type(user).__name__}")
    if isinstance(groups, str):
        raise TypeError("groups= takes several names, such as {'admins'}, not one str")
    names = frozenset(groups)
    if isinstance(user, bytes) and not names:
        return user
    text = user.decode("utf-8") if isinstance(user, bytes) else user
    return Identity(text, names)
