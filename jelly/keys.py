"""What may be a dict key or a set member: values that are cheap to hash, whoever made them.

Python hashes a tuple by walking it as a tree, each time, without remembering; a few hundred bytes
of nested tuples that share their parts can keep that busy for hours, and so can an instance whose
hash is that of its fields. Ints hash modulo 2**61 - 1, so wide ones can all be made to collide.
Both are refused before the first hash. The hash of a tuple of ints is no secret either: keys that
were chosen to have one hash are refused before they meet in one dict.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.leaves import LEAVES, SCALARS
from jelly.limits import Limits

__all__ = ["KeyGuard", "is_compound"]

# Hashed unchecked: nobody knows the hash of a text, and of the others there are three values.
_UNCHECKED = SCALARS - {int, float}
_NUMBERED = _UNCHECKED | {int}
_NESTED = frozenset({tuple, frozenset})
# Hashed by their own value alone: a complex, too, which has no expression.
_ALONE = LEAVES | {complex}
# Keys of one dict that may have the same hash; by chance hardly two do.
_MOST_ALIKE = 16


class KeyGuard:
    """Checks the keys of one operation, whose total work it bounds by max_nodes.

    Attributes:
        total: elements of all keys that hash others, each counted as the tree that hashing walks.
    """

    __slots__ = ("_limits", "_weights", "total")

    def __init__(self, limits: Limits):
        self._limits = limits
        self.total = 0
        # Of each tuple and frozenset that was weighed: itself (so that its id stays its own), its
        # weight.
        self._weights: dict[int, tuple[Any, int]] = {}

    def check(self, keys: Iterable[Any], what: str, alike: Counter[int]) -> None:
        """Check values that are about to be hashed.

        Args:
            keys: these values.
            what: names them in errors.
            alike: how many keys of the same set or dict have each hash; it is brought up to date.
                Only keys that hash others are counted.

        Raises:
            LimitExceeded: a key expands to more than max_key_nodes elements.
            InsecureJelly: a key is an int of more than 64 bits, or a Decimal, or more keys have the
                same hash than chance explains.
            MalformedJelly: a key is NaN, or of a type that cannot be hashed.
        """
        kinds = set(map(type, keys))
        if kinds <= _UNCHECKED:
            return
        if kinds <= _NUMBERED:
            # All ints lie between two of them: 40,000 are checked in a third of the time.
            ints = [key for key in keys if type(key) is int]
            _check_one(min(ints), what)
            _check_one(max(ints), what)
            return
        compound: list[Any] = []
        for key in keys:
            kind = type(key)
            if is_compound(kind):
                compound.append(key)
                self.total += self._weigh(key)
                if self.total > self._limits.max_nodes:
                    raise LimitExceeded(
                        f"keys expand to more than {self._limits.max_nodes} nodes (max_nodes)"
                    )
            elif kind not in _UNCHECKED:
                _check_one(key, what)
        if compound:
            hashes = self.hashed(lambda keys: list(map(hash, keys)), compound, what)
            alike.update(hashes)
            if max(map(alike.__getitem__, hashes)) > _MOST_ALIKE:
                raise InsecureJelly(f"more than {_MOST_ALIKE} keys with the same hash")

    def hashed(self, make: Any, values: Any, what: str) -> Any:
        """Return ``make(values)``, which hashes; a hash that fails is the peer's fault."""
        try:
            return make(values)
        except (TypeError, AttributeError, RecursionError) as error:
            raise MalformedJelly(f"{what} that cannot be hashed") from error

    def _weigh(self, root: Any) -> int:
        weights, most = self._weights, self._limits.max_key_nodes
        pending = [root]
        entered: set[int] = set()
        while pending:
            value = pending[-1]
            if id(value) in weights:
                pending.pop()
                continue
            parts = _hashed_parts(value)
            nested = [part for part in parts if is_compound(type(part))]
            if id(value) not in entered:
                entered.add(id(value))
                # A part that was entered and not weighed holds this value: hashing will tell.
                missing = [p for p in nested if id(p) not in weights and id(p) not in entered]
                if missing:
                    pending.extend(missing)
                    continue
            if type(value) in _NESTED:
                for part in parts:
                    if type(part) in _ALONE:
                        _check_one(part, "dict key")
            weight = 1 + len(parts) + sum(weights[id(p)][1] for p in nested if id(p) in weights)
            if weight > most:
                raise LimitExceeded(f"key expands to more than {most} nodes (max_key_nodes)")
            weights[id(value)] = (value, weight)
            pending.pop()
        return weights[id(root)][1]


def is_compound(kind: type) -> bool:
    """Whether hashing a value of this type hashes others."""
    own: Any = kind.__hash__
    return own is not None and own is not object.__hash__ and kind not in _ALONE


def _hashed_parts(value: Any) -> Collection[Any]:
    """Return what hashing a value would hash; more than that where a class has its own way."""
    if isinstance(value, tuple | frozenset):
        return value
    if dataclasses.is_dataclass(value):
        return [
            getattr(value, field.name, None)
            for field in dataclasses.fields(value)
            if (field.compare if field.hash is None else field.hash)
        ]
    return list(getattr(value, "__dict__", {}).values())


def _check_one(key: Any, what: str) -> None:
    kind = type(key)
    if kind is int:
        if key.bit_length() > 64:
            raise InsecureJelly("int key wider than 64 bits")
    elif kind is float:
        if key != key:
            raise MalformedJelly(f"{what} that is not a number")
    elif kind is Decimal:
        raise InsecureJelly("Decimal as a key")
    elif kind.__hash__ is None:
        raise MalformedJelly(f"{what} of type {kind.__name__}")
