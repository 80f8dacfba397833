"""The built-in factories of checkers: for the schemes ``anonymous``, ``file`` and ``memory``."""

from __future__ import annotations

import os
import warnings

from zope.interface import implementer

from cred.checkers import (
    AllowAnonymousAccess,
    FilePasswordDB,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.interfaces import IAnonymous, IUsernameHashedPassword, IUsernamePassword
from cred.strcred import ICheckerFactory, InvalidAuthArgumentString

__all__ = ["AnonymousCheckerFactory", "FileCheckerFactory", "InMemoryCheckerFactory"]


@implementer(ICheckerFactory)
class AnonymousCheckerFactory:
    """``anonymous``: `AllowAnonymousAccess`."""

    authType = "anonymous"
    argStringFormat = "no argument"
    authHelp = "Lets everybody in who asks to be nobody in particular."
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
    """``file:path``: a `FilePasswordDB` with the defaults of that class."""

    authType = "file"
    argStringFormat = "the path of a file with a line name:password for each user"
    authHelp = """\
Users with their passwords in clear, in a text file with a line name:password for each.
The file is read at each login, so it can be edited while the server runs.
Keep it readable by the server alone."""
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def generateChecker(self, argstring: str) -> FilePasswordDB:
        """Return a checker that reads the file of that path.

        Warns (UserWarning) where there is no such file yet: until there is one, nobody can log in.

        Raises:
            InvalidAuthArgumentString: the path is missing.
        """
        if not argstring.strip():
            raise InvalidAuthArgumentString(
                "file: the path of the file is missing, as in file:path"
            )
        if not os.path.isfile(argstring):
            warnings.warn(f"file: {argstring} is not a file; nobody can log in", stacklevel=3)
        return FilePasswordDB(argstring)


@implementer(ICheckerFactory)
class InMemoryCheckerFactory:
    """``memory:name:password:...``: an `InMemoryUsernamePasswordDatabaseDontUse`."""

    authType = "memory"
    argStringFormat = "names and passwords in turn, name:password:name:password..."
    authHelp = """\
Users with their passwords in clear, given in the string itself: for examples and tests only.
Whoever can list the processes of the machine can read them there.
No name and no password can hold a colon."""
    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def generateChecker(self, argstring: str) -> InMemoryUsernamePasswordDatabaseDontUse:
        """Return a checker that knows these users; without an argument, nobody.

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
