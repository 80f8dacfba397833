"""Stores of users by string: ``file:users.db``, ``sql:sqlite:///users.sqlite``.

The part before the first colon is the kind of store, as in `cred.strcred`; a kind is imported only
when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from broker.config_error import ConfigError
from cred.users import UserStore

__all__ = ["HEADER", "is_store_file", "open_store"]

HEADER: Final = "# perspective-broker users"
"""The beginning of a file with a store of users."""

_KINDS: Final = {
    "file": ("cred.stores.files", "FileStore"),
    "sql": ("cred.stores.sql", "SQLStore"),
}
_EXAMPLES: Final = "file:users.db, sql:sqlite:///users.sqlite or sql:postgresql://host/database"


def open_store(text: str, *, create: bool = False) -> UserStore:
    """Open the store that a string describes.

    Args:
        text: ``file:path``, or ``sql:`` and a URL of SQLAlchemy.
        create: make the store if it does not exist.

    Returns:
        The store; call ``close()`` when done.

    Raises:
        ConfigError: the string is not understood, the store can be read by others, or SQLAlchemy
            or the driver of the database is not installed.
        StoreUnavailable: it does not exist, cannot be read, or does not answer.
        StoreCorrupt: it is not a store of this package.
    """
    kind, _, argument = text.partition(":")
    if kind not in _KINDS or not argument:
        # The argument may have a password, and is not repeated.
        raise ConfigError(f"a store of users is {_EXAMPLES}")
    module, name = _KINDS[kind]
    try:
        made = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "sql: needs SQLAlchemy; run: python -m pip install 'perspective-broker[sql]'"
        ) from error
    store: UserStore = made(argument, create=create)
    return store


def is_store_file(path: str) -> bool:
    """Return whether there is a file that begins like a store of users.

    A setting may name another kind of password file; this tells them apart.
    """
    try:
        with open(path, "rb") as file:
            return file.read(len(HEADER)) == HEADER.encode()
    except OSError:
        return False
