"""Recognises objects made for Twisted's jelly, without importing Twisted.

If the program has not imported ``twisted.spread``, it cannot have such an object. Twisted's flavors
use the published methods of a jellier and a Broker, which this library has too. So a part of a
program that still uses Twisted's flavors can send them as before.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jelly.atoms import Expression
from jelly.errors import CannotJelly
from jelly.interfaces import IJellyable
from jelly.security import class_name

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["expression_of_twisted", "has_jelly_hook"]


def has_jelly_hook(value: object) -> bool:
    """Return whether an object is an IJellyable, of this library or of Twisted."""
    if IJellyable.providedBy(value):
        return True
    interfaces = sys.modules.get("twisted.spread.interfaces")
    return interfaces is not None and bool(interfaces.IJellyable.providedBy(value))


def expression_of_twisted(value: Any, jellier: Jellier) -> Expression:
    """Return the expression that an IJellyable of Twisted makes.

    Raises:
        CannotJelly: it is a Cacheable, whose observers need a Broker of Twisted. Other errors of
            the hook are passed on.
    """
    flavors = sys.modules.get("twisted.spread.flavors")
    if flavors is not None and isinstance(value, flavors.Cacheable):
        name = class_name(type(value))
        text = f"{name} is a Cacheable of Twisted's, which only Twisted's Broker can send"
        raise CannotJelly(f"{text}: take Cacheable from broker.pb").about(value)
    return value.jellyFor(jellier)  # type: ignore[no-any-return]
