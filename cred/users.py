"""Users and what keeps them: the record of one, and what every store of them can do.

A store holds no password. Its ``verifier`` is text that says itself how to check one: an Argon2id
hash, ``$argon2id$v=19$…``, or a SCRAM verifier, ``SCRAM-SHA-256$…``. Every method of a store may
block; `cred.store_checker` calls them in the threads of `cred.workers`.

::

    StoreError             the store did not do what was asked
    ├─ StoreUnavailable    missing, unreadable, locked, or a database that does not answer
    ├─ StoreCorrupt        what it holds is not what it writes; also a ValueError
    ├─ UserExists          to be added, and there already; also a ValueError
    ├─ NoSuchUser          to be replaced or removed, and not there; also a LookupError
    └─ UserChanged         to be replaced, and changed by somebody else meanwhile
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from cred.saslprep import LONGEST_NAME, saslprep

__all__ = [
    "MAX_GROUP",
    "MAX_VERIFIER",
    "NoSuchUser",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "User",
    "UserChanged",
    "UserExists",
    "UserStore",
]

MAX_GROUP: Final = 64
"""Characters that the name of a group may have."""

MAX_VERIFIER: Final = 512
"""Characters that a verifier may have."""

# What ends a field or a line cannot be in one; a lone surrogate has no UTF-8 form.
_GROUP: Final = re.compile(r"[^\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff,]+")
_VERIFIER: Final = re.compile(r"[!-~]+")


class StoreError(Exception):
    """A store of users did not do what was asked; the subclass and the text tell why."""


class StoreUnavailable(StoreError):
    """The store cannot be reached: missing, unreadable, locked, or it does not answer in time."""


class StoreCorrupt(StoreError, ValueError):
    """What the store holds was not written by this package, or has been damaged since."""


class UserExists(StoreError, ValueError):
    """A user of that name was to be added, and is there already."""


class NoSuchUser(StoreError, LookupError):
    """A user was to be replaced or removed, and there is none of that name."""


class UserChanged(StoreError):
    """A user was to be replaced who is no longer as the caller found them."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, as a store keeps them.

    Attributes:
        name: 1 to 256 bytes of UTF-8, in the form of `cred.saslprep.saslprep`; compared as it
            stands, so that ``Alice`` is somebody else than ``alice``.
        verifier: checks the password: ``$argon2id$…`` or ``SCRAM-SHA-256$…``, at most 512 printable
            characters of ASCII. None for a user who logs in by other means, such as a certificate.
        groups: names of 1 to 64 characters, without spaces and commas.
        is_disabled: whether logging in is refused, as with a wrong password.

    Raises:
        ValueError: the name, a group or the verifier is not of that form.
    """

    name: str
    verifier: str | None = field(default=None, repr=False)
    groups: frozenset[str] = frozenset()
    is_disabled: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        for group in self.groups:
            if len(group) > MAX_GROUP or not _GROUP.fullmatch(group):
                raise ValueError(
                    f"a group's name has 1 to {MAX_GROUP} characters, without spaces and commas"
                )
        if self.verifier is not None and (
            len(self.verifier) > MAX_VERIFIER or not _VERIFIER.fullmatch(self.verifier)
        ):
            raise ValueError(
                f"a verifier is printable ASCII without spaces, at most {MAX_VERIFIER} characters"
            )


def _check_name(name: str) -> None:
    try:
        prepared = saslprep(name, LONGEST_NAME)
    except ValueError as error:
        raise ValueError(f"this cannot be a user's name: {error}") from None
    if not name or prepared != name:
        raise ValueError("a user's name is not empty, and is kept as cred.saslprep.saslprep has it")


class UserStore(Protocol):
    """Where users are kept. All methods may block, and may be called in any thread.

    Each of them also raises StoreUnavailable, StoreCorrupt, and ConfigError where the store can be
    read by others.
    """

    def secret(self) -> bytes:
        """Return 16 random bytes that were made with the store.

        What is invented for users that there are not is made from them, and so stays the same when
        the server starts again.
        """

    def find(self, name: str) -> User | None:
        """Return the user of that name, or None."""

    def add(self, user: User) -> None:
        """Add a user.

        Raises:
            UserExists: there is one of that name.
        """

    def replace(self, user: User, was: User | None = None) -> None:
        """Put `user` in the place of the one of the same name; never adds one.

        Args:
            user: how the user is to be.
            was: how the caller found the user. With it, what somebody else has changed since is
                not overwritten.

        Raises:
            NoSuchUser: there is none of that name.
            UserChanged: the user is not as `was` says.
        """

    def remove(self, name: str) -> None:
        """Remove the user of that name.

        Raises:
            NoSuchUser: there is none.
        """

    def users(self) -> Iterator[User]:
        """Yield all users, in the order of their names."""

    def close(self) -> None:
        """Let go of files and connections; may be called twice."""
