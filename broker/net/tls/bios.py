"""Gives a connection of OpenSSL fresh memory BIOs, because a memory BIO never shrinks.

pyOpenSSL has no method for this, so names that are private to pyOpenSSL are used. If one is
missing, nothing is exchanged: a connection then works as before and keeps its memory.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from OpenSSL import SSL

__all__ = ["renew_bios"]

_FUNCTIONS = (
    "BIO_free",
    "BIO_get_mem_data",
    "BIO_new",
    "BIO_s_mem",
    "BIO_write",
    "SSL_set_bio",
)
_ATTRIBUTES = ("_ssl", "_into_ssl", "_from_ssl")


def _load() -> tuple[ModuleType, ModuleType] | None:
    """Return ``lib`` and ``ffi`` of pyOpenSSL's binding; None if a name is missing."""
    try:
        binding = importlib.import_module("OpenSSL._util")
        lib, ffi = binding.lib, binding.ffi
    except (ImportError, AttributeError):
        return None
    return (lib, ffi) if all(hasattr(lib, name) for name in _FUNCTIONS) else None


_binding = _load()


def renew_bios(connection: SSL.Connection) -> bool:
    """Exchange both memory BIOs of a connection for fresh ones, which hold the same unread bytes.

    Only after the handshake.

    Returns:
        Whether they were exchanged. If not, the connection is unchanged.
    """
    # Not by way of __dict__, which would make each later use of an attribute slower.
    held = [getattr(connection, name, None) for name in _ATTRIBUTES]
    if _binding is None or not all(held) or not isinstance(connection, SSL.Connection):
        return False
    lib, ffi = _binding
    ssl, *old = held
    fresh: list[object] = []
    for each in old:
        bio = _copy_of(each, lib, ffi)
        if bio is None:
            for made in fresh:
                lib.BIO_free(made)
            return False
        fresh.append(bio)
    # The connection owns the new ones from now on, and has freed the old ones.
    lib.SSL_set_bio(ssl, *fresh)
    for name, bio in zip(_ATTRIBUTES[1:], fresh, strict=True):
        setattr(connection, name, bio)
    return True


def _copy_of(bio: object, lib: ModuleType, ffi: ModuleType) -> object | None:
    """Return a fresh BIO with the unread bytes of this one; None without memory for it."""
    fresh: object = lib.BIO_new(lib.BIO_s_mem())
    if fresh == ffi.NULL:
        return None
    unread = ffi.new("char **")
    size = lib.BIO_get_mem_data(bio, unread)
    if size > 0 and lib.BIO_write(fresh, unread[0], size) != size:
        lib.BIO_free(fresh)
        return None
    return fresh
