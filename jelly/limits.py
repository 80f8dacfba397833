"""The limits of decoders and encoders."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict

__all__ = ["PUBLISHED_LIMITS", "Limits"]


class Limits(Struct, frozen=True, cache_hash=True):
    """Limits of expressions and graphs, the same for both directions of a connection.

    Attributes:
        max_prefix: digits of a banana integer prefix, of 7 bits each; 64 allows ints of 448 bits.
        max_string: bytes of one string.
        max_list: elements of one list.
        max_depth: levels of nested lists, including the message itself.
        max_expression: bytes of one whole expression, which is one message.
        max_nodes: elements of all lists of one expression together.
        max_expanded: elements of a graph, counted as a tree. A shared part counts each time it is
            referred to, and a shared string one more for each 256 bytes.
        max_key_nodes: elements of a tuple or frozenset that is a dict key or a set member, counted
            as the tree that hashing walks. Shared parts count each time.
        max_decimal_digits: digits of a Decimal.
        max_decimal_exponent: absolute value of a Decimal's adjusted exponent.

    ``max_prefix``, ``max_string`` and ``max_list`` are limits of Perspective Broker's banana. The
    others are additions of this library, since banana does not limit totals.

    Raises:
        ValueError: a limit is less than 1, or ``max_depth`` less than 0. (0 allows no list.)
        TypeError: a limit is not an int.
    """

    max_prefix: int = 64
    max_string: int = 640 * 1024
    max_list: int = 640 * 1024
    max_depth: int = 100
    max_expression: int = 16 * 1024 * 1024
    max_nodes: int = 1_000_000
    max_expanded: int = 1_000_000
    max_key_nodes: int = 10_000
    max_decimal_digits: int = 1_000
    max_decimal_exponent: int = 6_144

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is not int:
                raise TypeError(f"{name}={value!r}: a limit is an int, not {type(value).__name__}")
            least = 0 if name == "max_depth" else 1
            if value < least:
                raise ValueError(f"{name}={value}: a limit is {least} at least")

    def but(self, **changes: int) -> Limits:
        """Return these limits with some of them changed.

        Raises:
            ValueError, TypeError: see the class.
        """
        # Not msgspec's replace, which calls __post_init__ only since 0.21.
        return Limits(**(asdict(self) | changes))


PUBLISHED_LIMITS = Limits(max_expanded=10_000_000)
"""The default limits of Twisted's names: the graphs of older programs have many shared parts."""
