"""Metadata of calls: text that an application sends along with its calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from broker.core.calls.attached import ATTACHED, LONGEST_VALUE, MOST_ENTRIES, attach
from broker.errors import ConfigError, TooLarge

__all__ = ["as_sent", "metadata"]

_is_name = re.compile(r"[a-z][a-z0-9_]{0,61}\Z").match


@contextmanager
def metadata(**entries: str) -> Iterator[None]:
    """``with metadata(tenant="a"):`` sends text along with the calls that begin inside.

    It joins what an outer block has set; an entry of the same name replaces the outer one. On the
    wire an entry is called ``x-`` and its name, with ``_`` as ``-``. In PB's dialects metadata is
    not sent, and neither is it with the events of ``Subscribers``. Nothing that a peer sends as
    metadata is verified.

    Args:
        entries: text of at most 512 characters by name. A name has at most 62 characters of
            ``a-z 0-9 _`` and begins with a letter.

    Raises:
        ConfigError: a name is not of this form, or a value is not a str.
        TooLarge: a value is too long, or there are more than 8 entries in all. A call whose other
            metadata does not fit fails with TooLarge too.
    """
    meta = as_sent(entries)
    outer = ATTACHED.get()
    together = len({*meta, *((outer and outer.meta) or ())})
    if together > MOST_ENTRIES:
        raise TooLarge(f"{together} entries of metadata ({MOST_ENTRIES})")
    with attach(meta=meta):
        yield


def as_sent(entries: Mapping[str, str]) -> dict[str, str]:
    """Return metadata by the keys on the wire.

    Raises:
        ConfigError, TooLarge: see `metadata`.
    """
    for name, value in entries.items():
        if type(name) is not str or not _is_name(name):
            raise ConfigError(f"metadata: a name is {_FORM}")
        if type(value) is not str:
            raise ConfigError(f"metadata({name}=…): give a str, not {type(value).__name__}")
        if len(value) > LONGEST_VALUE:
            raise TooLarge(f"metadata '{name}' of {len(value)} characters ({LONGEST_VALUE})")
    return {key_of(name): value for name, value in entries.items()}


def key_of(name: str) -> str:
    """Return the key on the wire of an entry."""
    return "x-" + name.replace("_", "-")


_FORM = "a letter of a-z and at most 61 more of a-z, 0-9 and _"
