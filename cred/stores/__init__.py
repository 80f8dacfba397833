"""Stores of users by string: ``file:users.db``, ``sql:sqlite:///users.sqlite``.

The part before the first colon picks the kind of store, as in `cred.strcred`; a kind is imported
only when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from broker.config_error import ConfigError
from cred.users import UserStore

__all__ = ["HEADER", "is_store_file", "open_store"]

HEADER: Final = "# perspective-broker users"
"""How a file begins that is a store of users."""

_KINDS: Final = {
    "file": ("cred.stores.files", "FileStore"),
    "sql": ("cred.stores.sql", "SQLStore"),
}
_EXAMPLES: Final = "file:users.db, sql:sqlite:///users.sqlite or sql:postgresql://host/database"


def open_store(text: str, *, create: bool = False) -> UserStore:
    """Open the store that a string describes.

    Args:
        text: ``file:path``, or ``sql:`` and a URL of SQLAlchemy's.
        create: make the store if it does not exist.

    Returns:
        The store; call ``close()`` when done.

    Raises:
        ConfigError: the string is not understood, the store can be read by others, or SQLAlchemy
            or the driver of the database is not installed.
        StoreUnavailable: it does not exist, cannot be read, or does not answer.
        StoreCorrupt: it is not one of this package.
    """
    kind, _, argument = text.partition(":")
    if kind not in _KINDS or not argument:
        # What follows the colon may hold a password, and is not repeated.
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
    """Return whether there is a file that begins as a store of users does.

    Another kind of password file can have the same place in a setting; this tells them apart.
    """
    try:
        with open(path, "rb") as file:
            return file.read(len(HEADER)) == HEADER.encode()
    except OSError:
        return False
