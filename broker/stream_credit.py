"""The first credit of the streams that calls return."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from broker.core.calls.attached import attach
from broker.errors import ConfigError

__all__ = ["credit"]

_MOST = (1 << 31) - 1


@contextmanager
def credit(items: int | None = None, window: int | None = None) -> Iterator[None]:
    """``with credit(items=1):`` lowers what the peer makes ahead, for the calls that begin inside.

    The streams that these calls return begin with so little credit. In PB's dialects this has no
    effect.

    Args:
        items: items that are made before the program takes one; at least 1. None for the setting
            ``stream_items`` of the policy.
        window: bytes, likewise; None for ``stream_window``.

    Raises:
        ConfigError: an argument is not an int, or less than 1.
    """
    for name, value in (("items", items), ("window", window)):
        if value is not None and (type(value) is not int or value < 1):
            raise ConfigError(f"credit({name}={value!r}): give an int of at least 1")
    with attach(credit=(_most_of(items), _most_of(window))):
        yield


def _most_of(value: int | None) -> int:
    return _MOST if value is None else min(value, _MOST)
