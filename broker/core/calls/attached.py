"""What the running code attaches to its calls: metadata, the first credit of streams, and ``once``.

There is one context variable for all of it, so a call that attaches nothing looks at one variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

from broker.core.objects.credit import META_KEY, credit_text
from jelly.errors import CannotJelly, TooLarge

__all__ = [
    "ATTACHED",
    "LOGIN",
    "LONGEST_VALUE",
    "MOST_ENTRIES",
    "NO_REFERENCE",
    "ONCE",
    "RESUME",
    "Attached",
    "attach",
    "is_entry",
    "is_login_call",
    "joined",
]

MOST_ENTRIES = 8
"""Most entries of the metadata of a call."""
LONGEST_VALUE = 512
"""Most characters of a value in the metadata of a call."""

ONCE = "once"
"""The key in the metadata of a call of the number by which it is run at most once."""
RESUME = "resume"
"""The key in the metadata of a call of the position from which a cache goes on."""
NO_REFERENCE = "once needs the avatar, a named object or a recipe of a Link"
"""The error text for a call of a reference in ``broker.once``."""

_is_key = re.compile(r"[a-z0-9-]{1,64}\Z").match


class Attached(Struct, frozen=True):
    """What is attached to calls.

    Attributes:
        credit: the first credit of streams that the calls return, in items and bytes; or None.
        meta: the metadata, as it is sent; or None. It is not changed.
        is_once: whether the calls are made in ``broker.once``.
        is_login: whether they are the calls of a login, which neither observers nor interceptors
            see: they hold secrets.
    """

    credit: tuple[int, int] | None = None
    meta: Mapping[str, str] | None = None
    is_once: bool = False
    is_login: bool = False


LOGIN = Attached(is_login=True)
"""What is attached to the calls of a login."""

ATTACHED: ContextVar[Attached | None] = ContextVar("broker.attached", default=None)
"""What the running code attaches to its calls; None for nothing."""


@contextmanager
def attach(
    *,
    credit: tuple[int, int] | None = None,
    meta: Mapping[str, str] | None = None,
    is_once: bool | None = None,
) -> Iterator[None]:
    """Attach to the calls that begin in this block what is given, and the rest of the outer block.

    Args:
        credit: replaces that of the outer block.
        meta: joins that of the outer block; an entry with the same key replaces the outer one.
        is_once: replaces that of the outer block.
    """
    outer = ATTACHED.get() or Attached()
    inner = Attached(
        outer.credit if credit is None else credit,
        outer.meta if not meta else {**(outer.meta or {}), **meta},
        outer.is_once if is_once is None else is_once,
    )
    token = ATTACHED.set(inner)
    try:
        yield
    finally:
        ATTACHED.reset(token)


def is_login_call() -> bool:
    """Return whether a call that begins now is one of a login."""
    attached = ATTACHED.get()
    return attached is not None and attached.is_login


def is_entry(key: object, value: object) -> bool:
    """Return whether a key and a value, of any size, can be metadata on the wire."""
    return type(key) is str and _is_key(key) is not None and type(value) is str


def joined(meta: Mapping[str, str] | None, credit: tuple[int, int] | None) -> dict[str, str] | None:
    """Return the metadata to send with a call, or None.

    Args:
        meta: the metadata that is given.
        credit: the first credit of streams that the call returns, or None.

    Raises:
        CannotJelly: a key or a value is not text that can be sent.
        TooLarge: it has more than 8 entries, or a value has more than 512 characters.
    """
    made = dict(meta or ())
    for key, value in made.items():
        if not is_entry(key, value):
            raise CannotJelly("metadata is text by keys of 1 to 64 characters of a-z, 0-9 and -")
        if len(value) > LONGEST_VALUE:
            raise TooLarge(f"metadata '{key}' of {len(value)} characters ({LONGEST_VALUE})")
    if credit is not None:
        made[META_KEY] = credit_text(credit)
    if len(made) > MOST_ENTRIES:
        raise TooLarge(f"{len(made)} entries of metadata ({MOST_ENTRIES})")
    return made or None
