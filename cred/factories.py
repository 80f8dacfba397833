"""The factories of checkers for the schemes ``anonymous``, ``file``, ``memory`` and ``sql``."""

from __future__ import annotations

import os
import warnings

from zope.interface import implementer

from cred.checkers import (
    AllowAnonymousAccess,
    FilePasswordDB,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.interfaces import (
    IAnonymous,
    IScramProof,
    IUsernameHashedPassword,
    IUsernamePassword,
)
from cred.store_checker import StoreChecker
from cred.stores import is_store_file, open_store
from cred.strcred import ICheckerFactory, InvalidAuthArgumentString

__all__ = [
    "AnonymousCheckerFactory",
    "FileCheckerFactory",
    "InMemoryCheckerFactory",
    "SQLCheckerFactory",
]


@implementer(ICheckerFactory)
class AnonymousCheckerFactory:
    """``anonymous``: `AllowAnonymousAccess`."""

    authType = "anonymous"
    argStringFormat = "no argument"
    authHelp = "Accepts every anonymous login."
    credentialInterfaces = (IAnonymous,)

    def generateChecker(self, argstring: str = "") -> AllowAnonymousAccess:
        """Return the checker.

        Raises:
            InvalidAuthArgumentString: there is an argument.
        """
        if argstring:
            raise InvalidAuthArgumentString("anonymous: it takes no argument")
        return AllowAnonymousAccess()


@implementer(ICheckerFactory)
class FileCheckerFactory:
    """``file:path``: a `StoreChecker` for a store of users, a `FilePasswordDB` for any other file.

    The first line of the file tells which of the two it is.
    """

    authType = "file"
    argStringFormat = "the path of a store of users, or of a file with lines name:password"
    authHelp = """\
Users in a file. One that "pb users" has made holds hashes of their passwords, and must be readable
by the server alone. Any other has the passwords in clear, in a line name:password for each user;
keep it readable by the server alone.
Either is read again when it has changed, so it can be edited while the server runs."""
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def generateChecker(self, argstring: str) -> StoreChecker | FilePasswordDB:
        """Return a checker that reads the file of that path.

        Warns (UserWarning) if the file does not exist. Until it exists, no user can log in; then it
        is read as a file with passwords in clear.

        Raises:
            InvalidAuthArgumentString: the path is missing.
            ConfigError, StoreError: it is a store of users that cannot be used, see `open_store`.
        """
        if not argstring.strip():
            raise InvalidAuthArgumentString(
                "file: the path of the file is missing, as in file:path"
            )
        if is_store_file(argstring):
            return StoreChecker(open_store(f"file:{argstring}"))
        if not os.path.isfile(argstring):
            warnings.warn(f"file: {argstring} is not a file; no user can log in", stacklevel=3)
        return FilePasswordDB(argstring)


@implementer(ICheckerFactory)
class SQLCheckerFactory:
    """``sql:url``: a `StoreChecker` for a database."""

    authType = "sql"
    argStringFormat = "a URL of SQLAlchemy's, sqlite:///path or postgresql://host/database"
    authHelp = """\
Users in a SQL database: SQLite, in a file that the server alone may read, or PostgreSQL.
"pb users" makes the tables, and adds users.
It needs SQLAlchemy: python -m pip install 'perspective-broker[sql]'."""
    credentialInterfaces = (IScramProof, IUsernamePassword)

    def generateChecker(self, argstring: str) -> StoreChecker:
        """Return a checker for the users of the database.

        Raises:
            InvalidAuthArgumentString: the URL is missing.
            ConfigError, StoreError: the database cannot be used, see `open_store`.
        """
        if not argstring.strip():
            raise InvalidAuthArgumentString(
                "sql: the URL is missing, as in sql:sqlite:///users.sqlite"
            )
        return StoreChecker(open_store(f"sql:{argstring}"))


@implementer(ICheckerFactory)
class InMemoryCheckerFactory:
    """``memory:name:password:...``: an `InMemoryUsernamePasswordDatabaseDontUse`."""

    authType = "memory"
    argStringFormat = "names and passwords in turn, name:password:name:password..."
    authHelp = """\
Users with their passwords in clear, given in the string itself: for examples and tests only.
Any user who can list the processes of the machine can read them there.
No name and no password can hold a colon."""
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def generateChecker(self, argstring: str) -> InMemoryUsernamePasswordDatabaseDontUse:
        """Return a checker with these users; without an argument it has no users.

        Raises:
            InvalidAuthArgumentString: a password is missing.
        """
        parts = argstring.split(":") if argstring else []
        if len(parts) % 2:
            raise InvalidAuthArgumentString(
                "memory: the last user has no password; it takes name:password:name:password..."
            )
        checker = InMemoryUsernamePasswordDatabaseDontUse()
        for username, password in zip(parts[::2], parts[1::2], strict=True):
            checker.addUser(username, password)
        return checker
