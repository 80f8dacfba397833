"""Jelly: any expression is refused by the family of errors, or is a graph that comes back."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from vectors import graphs

from fuzz.dice import Dice
from fuzz.expressions import Jellied, raw
from jelly.bases import Jellyable, Unjellyable
from jelly.errors import DecodeError, EncodeError, InsecureJelly, LimitExceeded
from jelly.jellier import Jellier
from jelly.knots import Knot
from jelly.limits import Limits
from jelly.registry import Registry
from jelly.security import SecurityOptions
from jelly.unjellier import Unjellier

__all__ = ["fuzz"]

_LIBRARY = SimpleNamespace(
    Jellyable=Jellyable, Unjellyable=Unjellyable, Copyable=Jellyable, RemoteCopy=Unjellyable
)
_CLASSES = graphs.make_classes(_LIBRARY)
_TAGS = (b"graphs.Point", b"graphs.Card")
_REGISTRY = Registry()
_REGISTRY.add_class(_TAGS[0], _CLASSES.Point)
_REGISTRY.add_class(_TAGS[1], _CLASSES.Card)
_SMALL = Limits(max_key_nodes=8, max_nodes=200, max_decimal_digits=20, max_decimal_exponent=30)


def _security(with_code: bool) -> SecurityOptions:
    options = SecurityOptions()
    if with_code:
        options.allowInstancesOf(graphs.Plain)
        options.allowTypes("function", "method")
    else:
        options.allowBasicTypes()
    return options


_OPEN, _CLOSED = _security(True), _security(False)


def fuzz(data: bytes) -> None:
    """Run one input."""
    dice = Dice(data)
    with_code = dice.once_in(2)
    limits = _SMALL if dice.once_in(4) else Limits()
    security = _OPEN if with_code else _CLOSED
    made = Jellied(dice, _TAGS, code=with_code).make() if dice.below(8) else raw(dice)

    def unjelly(expression: Any) -> Any:
        unjellier = Unjellier(security, registry=_REGISTRY, limits=limits, allow_code=with_code)
        return unjellier.unjellyFull(expression)

    try:
        value = unjelly(made)
    except (DecodeError, LimitExceeded):
        return
    finally:
        assert "antigravity" not in sys.modules, "an expression imported a module"
    portrait = graphs.portrait(value)
    assert Knot.__name__ not in repr(portrait), "a placeholder came out"
    try:
        back = unjelly(Jellier(security, limits=limits).jelly(value))
    except EncodeError:
        # What only an expression can have, such as one of ours that stands for no value.
        return
    except InsecureJelly:
        assert with_code, "a value that came in may not come in again"
        # A function that was found in its class: what it is called goes out, and is no function.
        return
    assert graphs.portrait(back) == portrait, "a graph does not come back as it was"
