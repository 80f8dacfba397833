"""The record of a user, and the protocol of stores of users.

A store has no passwords. It has a ``verifier`` of each, text that tells how to check the password:
an Argon2id hash, ``$argon2id$v=19$…``, or a SCRAM verifier, ``SCRAM-SHA-256$…``. Every method of a
store may block; `cred.store_checker` calls them in the threads of `cred.workers`.

::

    StoreError             the operation failed
    ├─ StoreUnavailable    missing, unreadable, locked, or a database that does not answer
    ├─ StoreCorrupt        the contents are not those of a store; also a ValueError
    ├─ UserExists          to be added, and there already; also a ValueError
    ├─ NoSuchUser          to be replaced or removed, and not there; also a LookupError
    └─ UserChanged         to be replaced, and changed by another process before
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
"""The most characters of the name of a group."""

MAX_VERIFIER: Final = 512
"""The most characters of a verifier."""

# Without characters that end a field or a line, and without lone surrogates, which have no UTF-8.
_GROUP: Final = re.compile(r"[^\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff,]+")
_VERIFIER: Final = re.compile(r"[!-~]+")


class StoreError(Exception):
    """An operation of a store of users failed; the subclass and the text tell why."""


class StoreUnavailable(StoreError):
    """The store cannot be reached: missing, unreadable, locked, or it does not answer in time."""


class StoreCorrupt(StoreError, ValueError):
    """The contents of the store were not written by this package, or are damaged."""


class UserExists(StoreError, ValueError):
    """The user cannot be added, since there is one of that name already."""


class NoSuchUser(StoreError, LookupError):
    """The user cannot be replaced or removed, since there is no user of that name."""


class UserChanged(StoreError):
    """The user cannot be replaced, since it has changed since the caller read it."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, as a store keeps them.

    Attributes:
        name: 1 to 256 bytes of UTF-8, in the form of `cred.saslprep.saslprep`; ``Alice`` and
            ``alice`` are different users.
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
    """A store of users. All methods may block, and may be called in any thread.

    Each method also raises StoreUnavailable, StoreCorrupt, and ConfigError if other users of the
    machine can read the store.
    """

    def secret(self) -> bytes:
        """Return 16 random bytes that were made with the store.

        The decoys of unknown users are made from them, and so stay the same when the server starts
        again.
        """

    def find(self, name: str) -> User | None:
        """Return the user of that name, or None."""

    def add(self, user: User) -> None:
        """Add a user.

        Raises:
            UserExists: there is one of that name.
        """

    def replace(self, user: User, was: User | None = None) -> None:
        """Replace the user of the same name; never add one.

        Args:
            user: the new record.
            was: the record that the caller has read. With it, a change by another process since
                then is not overwritten.

        Raises:
            NoSuchUser: there is no user of that name.
            UserChanged: the record is not equal to `was`.
        """

    def remove(self, name: str) -> None:
        """Remove the user of that name.

        Raises:
            NoSuchUser: there is no user of that name.
        """

    def users(self) -> Iterator[User]:
        """Yield all users, in the order of their names."""

    def close(self) -> None:
        """Close files and connections; may be called twice."""
