"""Checkers: from credentials to the avatar id of whoever showed them, or a refusal."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Final, Protocol

from zope.interface import Attribute, Interface, implementer

from broker.defer import Deferred, maybeDeferred, succeed
from cred.credentials import IAnonymous, IUsernameHashedPassword, IUsernamePassword
from cred.error import WRONG_LOGIN, UnauthorizedLogin
from cred.octets import Text, to_octets

__all__ = [
    "ANONYMOUS",
    "AllowAnonymousAccess",
    "CredentialsChecker",
    "ICredentialsChecker",
    "InMemoryUsernamePasswordDatabaseDontUse",
]

# The avatar id of a login as nobody (published). Not None, which a checker returns by forgetting
# to return, and not an empty name, which a careless line in a password file gives.
ANONYMOUS: Final[tuple[()]] = ()


class ICredentialsChecker(Interface):  # type: ignore[misc]
    """Decides whether credentials are right, and whose they are (published)."""

    credentialInterfaces = Attribute("The interfaces of the credentials that it takes; iterable.")

    def requestAvatarId(credentials: Any) -> Any:
        """Check `credentials`, which provide one of `credentialInterfaces`.

        Returns:
            The avatar id, which is a user name as str or bytes, or `ANONYMOUS`. Plain, as an
            awaitable, as a Deferred, or by being ``async def``.

        Raises:
            UnauthorizedLogin: they are wrong; also as the failure of the awaitable or Deferred.
        """


class CredentialsChecker(Protocol):
    """`ICredentialsChecker` for type checkers: no declaration is needed to fit it."""

    @property
    def credentialInterfaces(self) -> Iterable[Any]:
        """The interfaces of the credentials that it takes."""

    def requestAvatarId(self, credentials: Any, /) -> Any:
        """Return the avatar id for the credentials, or raise UnauthorizedLogin."""


@implementer(ICredentialsChecker)
class AllowAnonymousAccess:
    """Lets everybody in who asks to be nobody (published)."""

    credentialInterfaces = (IAnonymous,)

    def requestAvatarId(self, credentials: object) -> Deferred[tuple[()]]:
        """Return a Deferred of `ANONYMOUS`."""
        return succeed(ANONYMOUS)


@implementer(ICredentialsChecker)
class InMemoryUsernamePasswordDatabaseDontUse:
    """Users with their passwords in clear, in memory (published): for examples and tests only.

    Each keyword is a user name, its value the password. A user name or password may be str or
    bytes; a str stands for its UTF-8 bytes.

    Attributes:
        users: user name to password, both bytes.
    """

    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def __init__(self, /, **users: Text) -> None:
        self.users: dict[bytes, bytes] = {}
        # Stands in for the password of an unknown user, so that refusing one costs the same.
        self._password_of_nobody = secrets.token_bytes(16)
        for username, password in users.items():
            self.addUser(username, password)

    def addUser(self, username: Text, password: Text) -> None:
        """Add a user, or set a new password for one.

        Raises:
            TypeError: the user name or the password is neither str nor bytes.
        """
        self.users[to_octets(username)] = to_octets(password)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Check the credentials' password against the user's.

        Returns:
            A Deferred of ``credentials.username``, in the form in which the credentials have it.
            It fails with UnauthorizedLogin, the same for an unknown user as for a wrong password.
        """
        username = credentials.username
        password = self._find_password(username)

        def let_in(matched: object) -> Any:
            if password is None or not matched:
                raise UnauthorizedLogin(WRONG_LOGIN)
            return username

        compared = self._password_of_nobody if password is None else password
        return maybeDeferred(credentials.checkPassword, compared).addCallback(let_in)

    def _find_password(self, username: object) -> bytes | None:
        try:
            return self.users.get(to_octets(username))
        except TypeError:
            return None
