"""Checks dict keys and set members: a peer's values must be cheap to hash.

Python hashes a tuple by walking it as a tree, each time, without storing the result. A few hundred
bytes of nested tuples with shared parts can take hours to hash. The same is true for an instance
whose hash is the hash of its fields. Ints hash modulo 2**61 - 1, so wide ints can be chosen to
collide. Both are refused before the first hash. The hash of a tuple of ints can be predicted too:
keys chosen to have the same hash are refused before they are put into one dict.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from typing import Any, TypeVar

from msgspec import Struct

from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.leaves import LEAVES, SCALARS
from jelly.limit_errors import KEYS, limit_error
from jelly.limits import Limits

__all__ = ["KeyGuard", "is_compound"]

Keys = TypeVar("Keys")
Made = TypeVar("Made")

# Hashed unchecked: a peer cannot foresee the hash of a text, and the others have three values.
_UNCHECKED = SCALARS - {int, float}
_NUMBERED = _UNCHECKED | {int}
_NESTED = frozenset({tuple, frozenset})
# The hash of these depends only on their own value; so does that of a complex, which is not sent.
_ALONE = LEAVES | {complex}
# Most keys of one dict that may have the same hash. By chance, hardly two do.
_MOST_ALIKE = 16


class KeyGuard:
    """Checks the keys of one operation, and limits the total work of hashing to max_nodes.

    Attributes:
        total: elements of all compound keys, each counted as the tree that hashing walks.
    """

    __slots__ = ("_limits", "_weights", "total")

    def __init__(self, limits: Limits):
        self._limits = limits
        self.total = 0
        # By id, each compound value and its weight. The reference to the value keeps its id from
        # being used again.
        self._weights: dict[int, tuple[object, int]] = {}

    def check(self, keys: Iterable[object], what: str, alike: Counter[int]) -> None:
        """Check values that are about to be hashed.

        Args:
            keys: these values.
            what: their name in errors.
            alike: the number of compound keys with each hash in the same set or dict. It is
                updated.

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
            # Only the smallest and the largest int: 40,000 ints take a third of the time.
            ints = [key for key in keys if type(key) is int]
            _check_one(min(ints), what)
            _check_one(max(ints), what)
            return
        compound: list[object] = []
        for key in keys:
            kind = type(key)
            if is_compound(kind):
                compound.append(key)
                self.total += self._weigh(key)
                if self.total > self._limits.max_nodes:
                    most = self._limits.max_nodes
                    raise limit_error(LimitExceeded, "max_nodes", most, self.total, KEYS)
            elif kind not in _UNCHECKED:
                _check_one(key, what)
        if compound:
            hashes = self.hashed(lambda keys: list(map(hash, keys)), compound, what)
            alike.update(hashes)
            if max(map(alike.__getitem__, hashes)) > _MOST_ALIKE:
                raise InsecureJelly(f"more than {_MOST_ALIKE} keys with the same hash")

    def hashed(self, make: Callable[[Keys], Made], values: Keys, what: str) -> Made:
        """Return ``make(values)``, which hashes the values; raise MalformedJelly if that fails."""
        try:
            return make(values)
        except (TypeError, AttributeError, RecursionError) as error:
            raise MalformedJelly(f"{what} that cannot be hashed") from error

    def _weigh(self, root: object) -> int:
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
                # A part that was entered and not weighed contains this value. Hashing will fail.
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
                raise limit_error(LimitExceeded, "max_key_nodes", most, weight)
            weights[id(value)] = (value, weight)
            pending.pop()
        return weights[id(root)][1]


def is_compound(kind: type) -> bool:
    """Return whether a value of this type is compound: its hash depends on other values."""
    own: Any = kind.__hash__
    return own is not None and own is not object.__hash__ and kind not in _ALONE


def _hashed_parts(value: object) -> Collection[object]:
    """Return the values that hashing a value would hash, or more if its class has its own hash."""
    if isinstance(value, tuple | frozenset):
        return value
    if isinstance(value, Struct):
        return [getattr(value, name, None) for name in value.__struct_fields__]
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
