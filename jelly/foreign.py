"""Objects made for Twisted's jelly: recognised, and Twisted never imported for it.

Where ``twisted.spread`` has not been imported by someone else, no object can be of it. Its flavors
do their work through the published names of a jellier and a Broker, which ours have; so those that
a part of a program keeps, which was not moved, cross here as they do there.
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

__all__ = ["expression_of_twisted", "has_jelly_hook", "has_twisted_hook"]


def has_jelly_hook(value: Any) -> bool:
    """Tell whether an object chooses its own expression: an IJellyable, of ours or of Twisted's."""
    return bool(IJellyable.providedBy(value)) or has_twisted_hook(value)


def has_twisted_hook(value: Any) -> bool:
    """Tell whether an object is an IJellyable of Twisted's."""
    interfaces = sys.modules.get("twisted.spread.interfaces")
    return interfaces is not None and bool(interfaces.IJellyable.providedBy(value))


def expression_of_twisted(value: Any, jellier: Jellier) -> Expression:
    """Return the expression that an IJellyable of Twisted's chooses.

    Raises:
        CannotJelly: it is a Cacheable, whose observers speak to a Broker of Twisted's; whatever
            else the hook raises passes through.
    """
    flavors = sys.modules.get("twisted.spread.flavors")
    if flavors is not None and isinstance(value, flavors.Cacheable):
        name = class_name(type(value))
        text = f"{name} is a Cacheable of Twisted's, which only Twisted's Broker can send"
        raise CannotJelly(f"{text}: take Cacheable from broker.pb").about(value)
    return value.jellyFor(jellier)  # type: ignore[no-any-return]
