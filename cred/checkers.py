"""Checkers: return the avatar id for credentials, or refuse them."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias

from zope.interface import Attribute, Interface, implementer

from broker.defer import Deferred, fail, maybeDeferred, succeed, to_deferred
from broker.file_stamp import FileStamp, stamp_of
from cred.error import wrong_login
from cred.interfaces import IAnonymous, IUsernameHashedPassword, IUsernamePassword
from cred.octets import Text, as_given, other_form, same_octets, shown, to_octets

__all__ = [
    "ANONYMOUS",
    "AllowAnonymousAccess",
    "CredentialsChecker",
    "FilePasswordDB",
    "ICredentialsChecker",
    "InMemoryUsernamePasswordDatabaseDontUse",
    "OnDiskUsernamePasswordDatabase",
]

logger = logging.getLogger("broker.cred")

# The avatar id of an anonymous login (published). Not None, which a checker without a return
# statement returns, and not an empty name, which a careless line in a password file has.
ANONYMOUS: Final[tuple[()]] = ()


class ICredentialsChecker(Interface):  # type: ignore[misc]
    """Decides whether credentials are right, and which user they belong to (published)."""

    credentialInterfaces = Attribute("The interfaces of the credentials that it takes; iterable.")

    def requestAvatarId(credentials: Any) -> object:
        """Check `credentials`, which provide one of `credentialInterfaces`.

        Returns:
            The avatar id, which is a user name as str or bytes, or `ANONYMOUS`; or an awaitable or
            Deferred of it. The method may be ``async def``.

        Raises:
            UnauthorizedLogin: they are wrong; also as the failure of the awaitable or Deferred.
        """


class CredentialsChecker(Protocol):
    """`ICredentialsChecker` for type checkers: no declaration is needed to fit it."""

    @property
    def credentialInterfaces(self) -> Iterable[object]:
        """The interfaces of the credentials that it takes."""

    def requestAvatarId(self, credentials: Any, /) -> Any:
        """Return the avatar id for the credentials, or raise UnauthorizedLogin."""


@implementer(ICredentialsChecker)
class AllowAnonymousAccess:
    """Accepts every anonymous login (published)."""

    credentialInterfaces = (IAnonymous,)

    def requestAvatarId(self, credentials: object) -> Deferred[tuple[()]]:
        """Return a Deferred of `ANONYMOUS`."""
        return succeed(ANONYMOUS)


@implementer(ICredentialsChecker)
class InMemoryUsernamePasswordDatabaseDontUse:
    """Users with their passwords in clear, in memory (published): for examples and tests only.

    Each keyword is a user name, its value the password. A user name or password may be str or
    bytes; a str means its UTF-8 bytes. So ``"alice"`` and ``b"alice"`` are one user, who may log in
    with either. The avatar id is the user name in the type in which it was added.

    Attributes:
        users: user name to password, both in the type in which `addUser` got them. The names that
            were keywords are bytes.
    """

    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def __init__(self, /, **users: Text) -> None:
        self.users: dict[Text, Text] = {}
        # Replaces the password of an unknown user, so that a refusal takes the same time.
        self._password_of_nobody = secrets.token_hex(16)
        for username, password in users.items():
            self.addUser(to_octets(username), password)

    def addUser(self, username: Text, password: Text) -> None:
        """Add a user, or set a new password; the name may have been added as str or as bytes.

        Raises:
            TypeError: the user name or the password is neither str nor bytes.
        """
        name, kept = as_given(username), as_given(password)
        other = other_form(name)
        if other is not None:
            self.users.pop(other, None)
        self.users[name] = kept

    def requestAvatarId(self, credentials: Any) -> Deferred[Text]:
        """Check the credentials against the password of the user.

        Returns:
            A Deferred of the user name as in `users`. It fails with UnauthorizedLogin, the same for
            an unknown user as for a wrong password.
        """
        name = self._find(credentials.username)
        compared = self._password_of_nobody if name is None else self.users[name]
        try:
            matched = credentials.checkPassword(compared)
            if type(matched) is bool:
                return succeed(_matched(matched, name))
        except Exception:  # noqa: BLE001 - any exception is the result
            return fail()
        return to_deferred(matched).addCallback(_matched, name)

    def _find(self, username: object) -> Text | None:
        """Return a user name as in `users`; None for an unknown user."""
        try:
            given = as_given(username)
        except TypeError:
            return None
        # Both forms are looked up in any case, so that a refusal takes the same time.
        found = [name for name in (given, other_form(given)) if name in self.users]
        return found[0] if found else None


def _matched(matched: object, name: Text | None) -> Text:
    """Return the name of the user if the password is right, or raise UnauthorizedLogin."""
    if name is None or not matched:
        raise wrong_login("unknown user" if name is None else "wrong password")
    return name


# (user name, given password, stored password) -> a value that must equal the stored password
PasswordHash: TypeAlias = Callable[[bytes, bytes, bytes], object]


@implementer(ICredentialsChecker)
class FilePasswordDB:
    """Users with their passwords in a text file, one user a line (published).

    By default a line is ``name:password``. Lines with too few fields or an empty name are ignored;
    of two lines with the same name, the first counts. The file is read at each login, so it can be
    edited while the server runs.

    Without `hash` the file has the passwords in clear. That is for tests and closed machines.

    Args:
        filename: the path of the file.
        delim: the separator of the fields of a line, str or bytes.
        usernameField, passwordField: the index of the field, from 0.
        caseSensitive: whether ``Alice`` and ``alice`` are different users. If not, names are
            converted to lower case, in the file and at login; ASCII letters only.
        hash: called with the given user name, the given password and the password of the file, all
            bytes. Its result, which may be an awaitable or a Deferred, must equal the password of
            the file. With `hash` only credentials with the password in clear are accepted.
        cache: keep the users until the file changes.

    Raises:
        ValueError: `delim` is empty.
    """

    _cached: tuple[FileStamp, dict[bytes, bytes]] | None = None

    def __init__(
        self,
        filename: str | bytes | os.PathLike[str],
        delim: Text = b":",
        usernameField: int = 0,
        passwordField: int = 1,
        caseSensitive: bool = True,
        hash: PasswordHash | None = None,
        cache: bool = False,
    ) -> None:
        if not delim:
            raise ValueError("the delimiter of a password file is not empty")
        self.filename = filename
        self.delim = to_octets(delim)
        self.ufield = usernameField
        self.pfield = passwordField
        self.caseSensitive = caseSensitive
        self.hash = hash
        self.cache = cache
        self.credentialInterfaces = (
            (IUsernamePassword, IUsernameHashedPassword) if hash is None else (IUsernamePassword,)
        )
        # Compared with the password of an unknown user, so that a refusal takes the same time.
        self._decoy = secrets.token_bytes(16)

    def __getstate__(self) -> dict[str, object]:
        """Return the state for a pickle: how to read the file, without any password."""
        return {**vars(self), "_cached": None, "_decoy": b""}

    def getUser(self, username: Text) -> tuple[bytes, bytes]:
        """Return the name and password of a user, as in the file.

        The name is in lower case if `caseSensitive` is false.

        Raises:
            KeyError: there is no such user.
            TypeError: the user name is neither str nor bytes.
            UnauthorizedLogin: the file cannot be read; the log tells why.
        """
        name = to_octets(username)
        if not self.caseSensitive:
            name = name.lower()
        return name, self._read()[name]

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes]:
        """Check the credentials against the password of the file.

        Returns:
            A Deferred of the user name as `getUser` returns it: bytes, even if
            ``credentials.username`` is a str. It fails with UnauthorizedLogin: the same for an
            unknown user, a wrong password, and a file that cannot be read.
        """
        return maybeDeferred(self._authenticate, credentials)

    def _authenticate(self, credentials: Any) -> Deferred[bytes]:
        try:
            name, kept = self.getUser(credentials.username)
            known = True
        except (KeyError, TypeError):
            name, kept, known = b"", self._decoy, False

        def let_in(matched: object) -> bytes:
            if not known or not matched:
                raise wrong_login("wrong password" if known else "unknown user")
            return name

        compared = self._compare(credentials, kept)
        if not known:
            compared.addErrback(lambda failure: False)  # a hash may not like the decoy
        return compared.addCallback(let_in)

    def _compare(self, credentials: Any, kept: bytes) -> Deferred[object]:
        if self.hash is None:
            return maybeDeferred(credentials.checkPassword, kept)
        clear: Any = IUsernamePassword(credentials, None)
        if clear is None:
            return succeed(False)
        try:
            shown = to_octets(clear.username), to_octets(clear.password)
        except TypeError:
            return succeed(False)
        return maybeDeferred(self.hash, *shown, kept).addCallback(
            lambda hashed: same_octets(kept, hashed)
        )

    def _read(self) -> dict[bytes, bytes]:
        try:
            with open(self.filename, "rb") as file:
                stamp = stamp_of(os.fstat(file.fileno()))
                if self.cache and self._cached is not None and self._cached[0] == stamp:
                    return self._cached[1]
                users = self._parse(file)
        except OSError as error:
            logger.error("a password file cannot be read: %s", shown(error))
            raise wrong_login("the password file cannot be read") from error
        self._cached = (stamp, users) if self.cache else None
        if self.hash is not None:
            # The hash function needs a decoy of the form that it knows.
            self._decoy = next(iter(users.values()), self._decoy)
        return users

    def _parse(self, lines: Iterable[bytes]) -> dict[bytes, bytes]:
        users: dict[bytes, bytes] = {}
        for line in lines:
            fields = line.rstrip().split(self.delim)
            try:
                name, password = fields[self.ufield], fields[self.pfield]
            except IndexError:
                continue
            if name:
                users.setdefault(name if self.caseSensitive else name.lower(), password)
        return users


# Its name in older programs (published).
OnDiskUsernamePasswordDatabase = FilePasswordDB
