"""What may be a dict key or a set member: values that are cheap to hash, whoever made them.

Python hashes a tuple by walking it as a tree, each time, without remembering; a few hundred bytes
of nested tuples that share their parts can keep that busy for hours. Ints hash modulo 2**61 - 1, so
wide ones can all be made to collide. Both are refused before the first hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.limits import Limits

__all__ = ["KeyGuard"]

_SIMPLE = frozenset({str, bytes, bool, type(None)})
_NESTED = frozenset({tuple, frozenset})


class KeyGuard:
    """Checks the keys of one operation, whose total work it bounds by max_nodes."""

    __slots__ = ("_limits", "_total", "_weights")

    def __init__(self, limits: Limits):
        self._limits = limits
        self._total = 0
        # Of each tuple and frozenset that was weighed: itself (so that its id stays its own), its
        # weight.
        self._weights: dict[int, tuple[Any, int]] = {}

    def check(self, keys: Iterable[Any], what: str) -> None:
        """Check values that are about to be hashed; ``what`` names them in errors.

        Raises:
            LimitExceeded: a key expands to more than max_key_nodes elements.
            InsecureJelly: a key is an int of more than 64 bits, or a Decimal.
            MalformedJelly: a key is NaN, or of a type that cannot be hashed.
        """
        kinds = set(map(type, keys))
        if kinds <= _SIMPLE:
            return
        for key in keys:
            kind = type(key)
            if kind in _NESTED:
                self._total += self._weigh(key)
                if self._total > self._limits.max_nodes:
                    raise LimitExceeded(
                        f"keys expand to more than {self._limits.max_nodes} nodes (max_nodes)"
                    )
            elif kind not in _SIMPLE:
                _check_one(key, what)

    def hashed(self, make: Any, values: Any, what: str) -> Any:
        """Return ``make(values)``, which hashes; a hash that fails is the peer's fault."""
        try:
            return make(values)
        except (TypeError, AttributeError, RecursionError) as error:
            raise MalformedJelly(f"{what} that cannot be hashed") from error

    def _weigh(self, root: Any) -> int:
        weights, most = self._weights, self._limits.max_key_nodes
        pending = [root]
        while pending:
            value = pending[-1]
            if id(value) in weights:
                pending.pop()
                continue
            nested = [part for part in value if type(part) in _NESTED]
            missing = [part for part in nested if id(part) not in weights]
            if missing:
                pending.extend(missing)
                continue
            for part in value:
                if type(part) not in _NESTED and type(part) not in _SIMPLE:
                    _check_one(part, "dict key")
            weight = len(value) + 1 + sum(weights[id(part)][1] for part in nested)
            if weight > most:
                raise LimitExceeded(f"key expands to more than {most} nodes (max_key_nodes)")
            weights[id(value)] = (value, weight)
            pending.pop()
        return weights[id(root)][1]


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
