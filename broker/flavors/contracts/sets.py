"""Sets that a receiver makes of a list or a tuple, whose members the peer has chosen.

A set that crosses as a set has its members checked by the unjellier. A list has no such check. So
many ints with one hash could be sent in a list, to be put into a set: 40,000 took half a minute.
"""

from __future__ import annotations

import collections.abc
from collections import Counter
from collections.abc import Collection
from typing import cast

from broker.flavors.contracts.hints import type_text
from broker.flavors.contracts.leaves import choice
from broker.flavors.contracts.stand_ins import Mismatch, convert
from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.keys import KeyGuard
from jelly.limits import Limits

__all__ = ["SETS", "check_members", "set_wire"]

SETS = frozenset({set, frozenset, collections.abc.Set, collections.abc.MutableSet})
_LIMITS = Limits()


def check_members(members: Collection[object]) -> None:
    """Check the members of a set that is about to be made.

    Raises:
        InsecureJelly, LimitExceeded, MalformedJelly: see `jelly.keys.KeyGuard`.
    """
    KeyGuard(_LIMITS).check(members, "set member", Counter())


def set_wire(hint: object, wire: object, member: object) -> type:
    """Return the type for msgspec that checks the members of a list before it makes a set.

    Args:
        hint: the type, as the contract has it.
        wire: the same type with stand-ins.
        member: the type of the members, with stand-ins.
    """

    def take(value: object) -> object:
        if isinstance(value, list | tuple):
            members = cast("list[object]", convert(list(value), list.__class_getitem__(member)))
            try:
                check_members(members)
            except (InsecureJelly, LimitExceeded, MalformedJelly) as error:
                raise Mismatch(str(error)) from None
            value = set(members)
        return convert(value, wire)

    return choice(type_text(hint), take)
