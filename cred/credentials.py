"""Credentials: what somebody shows to be let in, before anybody has looked whether it is right.

The interfaces are how a portal finds the checker for credentials. Each says what a checker may ask
of them; the classes are their plain implementations.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface, implementer

from cred.octets import Text, same_octets

__all__ = [
    "Anonymous",
    "IAnonymous",
    "ICredentials",
    "IUsernameHashedPassword",
    "IUsernamePassword",
    "UsernameHashedPassword",
    "UsernamePassword",
]


class ICredentials(Interface):  # type: ignore[misc]
    """Any kind of credentials (published). Each kind is an interface that extends this one."""


class IUsernamePassword(ICredentials):
    """A user name and the password in clear (published).

    Lets a checker keep its passwords in any form, since it can transform what it is shown.
    """

    username = Attribute("The user name that is claimed, str or bytes.")
    password = Attribute("The password that is shown, str or bytes.")

    def checkPassword(password: Any) -> Any:
        """Tell whether `password`, the correct one in clear, is the password that was shown.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IUsernameHashedPassword(ICredentials):
    """A user name, and proof that its owner knows the password (published).

    The proof can only be checked against the password in clear: the checker has to keep it so.
    """

    username = Attribute("The user name that is claimed, str or bytes.")

    def checkPassword(password: Any) -> Any:
        """Tell whether the proof was made with `password`, the correct one in clear.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IAnonymous(ICredentials):
    """A request to be let in as nobody in particular (published)."""


@implementer(IUsernamePassword)
class UsernamePassword:
    """A user name and a password in clear (published).

    Attributes:
        username, password: as given, str or bytes. Comparing takes a str for its UTF-8 bytes.
    """

    def __init__(self, username: Text, password: Text) -> None:
        self.username = username
        self.password = password

    def checkPassword(self, password: Text) -> bool:
        """Return whether `password` is the one shown, in constant time.

        What is neither str nor bytes matches nothing, so a checker may pass None for a user
        without one.
        """
        return same_octets(password, self.password)


@implementer(IUsernameHashedPassword)
class UsernameHashedPassword:
    """A user name, and a hash that is compared with what the checker keeps (published).

    Attributes:
        username: as given, str or bytes.
        hashed: the hash that is shown, in the very form in which the checker keeps it.
    """

    def __init__(self, username: Text, hashed: Text) -> None:
        self.username = username
        self.hashed = hashed

    def checkPassword(self, password: Text) -> bool:
        """Return whether `password`, in the form kept, is the hash shown, in constant time."""
        return same_octets(password, self.hashed)


@implementer(IAnonymous)
class Anonymous:
    """A request to be let in as nobody in particular (published)."""
