"""Dict keys and set members of a peer's: what is cheap to hash is taken, all else is refused."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from support.effort import units

from jelly.bases import Unjellyable
from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.keys import KeyGuard, is_compound
from jelly.leaves import LEAVES
from jelly.limits import Limits
from jelly.registry import Registry
from jelly.unjellier import Unjellier

MERSENNE = 2**61 - 1


def check(*keys: Any, **limits: int) -> None:
    """Check keys as those of one dict."""
    KeyGuard(Limits(**limits)).check(keys, "dict key", Counter())


def bomb(depth: int, leaf: Any = 1) -> Any:
    """Return a tuple that is a tree of 2 ** depth scalars, made of depth tuples."""
    for _ in range(depth):
        leaf = (leaf, leaf)
    return leaf


def colliding_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs of ints that all have one hash, by running CPython's tuple hash backwards."""
    word = 2**64
    one, two, five = 11400714785074694791, 14029467366897019727, 2870177450012600261
    undo_one, undo_two = pow(one, -1, word), pow(two, -1, word)

    def rotated(number: int, by: int) -> int:
        return ((number << by) | (number >> (64 - by))) % word

    found: list[tuple[int, int]] = []
    first = 0
    goal = rotated(12345 * undo_one % word, 33)
    while len(found) < count:
        first += 1
        sofar = rotated((five + first * two) % word, 31) * one % word
        second = (goal - sofar) * undo_two % word
        second -= word if second >= word // 2 else 0
        if abs(second) < MERSENNE and second != -1:
            found.append((first, second))
    return found


@pytest.mark.parametrize(
    "keys",
    [
        ("a", b"b", True, None, 1, -(2**63), 2**64 - 1, 1.5, float("inf")),
        (("a", 1), (), frozenset({1, (2, 3)}), ((1, 2), (3, 4))),
        (datetime.date(2020, 1, 1), datetime.timedelta(1)),
        tuple(range(5000)),
        tuple((number, str(number)) for number in range(5000)),
    ],
)
def test_plain_keys_are_taken(keys: tuple[Any, ...]) -> None:
    """Keys that a program means as keys are all taken."""
    check(*keys)


def test_what_hashes_others() -> None:
    """No type of a leaf does, nor does a complex; containers and instances with a hash do."""
    assert not any(map(is_compound, [*LEAVES, complex, object, list]))
    assert all(map(is_compound, [tuple, frozenset, range]))


@pytest.mark.parametrize(
    ("key", "kind", "text"),
    [
        (2**64, InsecureJelly, "int key wider than 64 bits"),
        (-(2**64), InsecureJelly, "int key wider than 64 bits"),
        ((1, 2**64), InsecureJelly, "int key wider than 64 bits"),
        (Decimal(1), InsecureJelly, "Decimal as a key"),
        ((Decimal(1),), InsecureJelly, "Decimal as a key"),
        (float("nan"), MalformedJelly, "dict key that is not a number"),
        ((float("nan"),), MalformedJelly, "dict key that is not a number"),
        ([], MalformedJelly, "dict key of type list"),
        ({}, MalformedJelly, "dict key of type dict"),
        (tuple(range(10_000)), LimitExceeded, "key expands to more than 10000 nodes"),
    ],
)
def test_dangerous_keys_are_refused(key: Any, kind: type, text: str) -> None:
    """Each kind of key that could not be hashed cheaply is refused, in words that name the rule."""
    with pytest.raises(kind, match=text):
        check("first", key)


def test_a_list_inside_a_key() -> None:
    """A tuple that holds a list is refused where it would be hashed."""
    with pytest.raises(MalformedJelly, match="set member that cannot be hashed"):
        Unjellier().unjellyFull([b"set", [b"tuple", 1, [b"list"]]])


def test_the_largest_key() -> None:
    """A key may expand to max_key_nodes elements, itself counted, and to no more."""
    check(tuple(range(9)), max_key_nodes=10)
    with pytest.raises(LimitExceeded, match=r"more than 10 nodes \(max_key_nodes\)"):
        check(tuple(range(10)), max_key_nodes=10)
    with pytest.raises(LimitExceeded, match="max_key_nodes"):
        check((tuple(range(5)), tuple(range(5))), max_key_nodes=10)


def test_shared_parts_count_each_time() -> None:
    """Two keys that share a part pay for it twice: that is what hashing does."""
    shared = tuple(range(40))
    check((shared, 1), (shared, 2), max_nodes=100)
    with pytest.raises(LimitExceeded, match=r"keys expand to more than 80 nodes \(max_nodes\)"):
        check((shared, 1), (shared, 2), max_nodes=80)


def test_the_total_is_of_one_operation() -> None:
    """Keys of several dicts of one message are charged together."""
    guard = KeyGuard(Limits(max_nodes=100))
    for _ in range(4):
        guard.check([tuple(range(20))], "dict key", Counter())
    with pytest.raises(LimitExceeded, match="max_nodes"):
        guard.check([tuple(range(20))], "dict key", Counter())


@dataclass(frozen=True)
class Frozen(Unjellyable):
    """An instance that hashes its fields, but for one."""

    part: Any
    note: Any = field(default=None, hash=False)


@pytest.mark.parametrize("make", [bomb, lambda d: frozenset({bomb(d)} if d < 20 else ())])
def test_small_bombs(make: Callable[[int], Any]) -> None:
    """A nested key below the limit is taken."""
    check(make(10))


@pytest.mark.parametrize("wrap", [lambda x: x, Frozen, lambda x: (Frozen(part=(x, x)), 1)])
def test_hash_bombs(wrap: Callable[[Any], Any]) -> None:
    """Sixty nested tuples, which Python would hash for years, are refused before any hash."""
    with pytest.raises(LimitExceeded, match=r"10000 nodes \(max_key_nodes\)"):
        check(wrap(bomb(60)))


def test_what_is_not_hashed_does_not_count() -> None:
    """A field that the class leaves out of its hash may be anything, and any size."""
    check(Frozen(part=1, note=bomb(60)))
    assert hash(Frozen(part=1, note=[])) == hash(Frozen(part=1, note={}))


class ById:
    """An instance that hashes one of its attributes, and holds itself."""

    def __init__(self, number: int):
        self.number = number
        self.parts = (self, [1, 2])

    def __hash__(self) -> int:
        return hash(self.number)


def test_instances_that_hold_themselves() -> None:
    """A cycle through an instance's attributes does not keep the check busy."""
    check(ById(1), (ById(2),), ById(3))


def test_a_hash_that_never_ends() -> None:
    """A key whose hash needs itself is the peer's fault, not ours."""
    key = Frozen(part=0)
    object.__setattr__(key, "part", (key,))
    with pytest.raises(MalformedJelly, match="dict key that cannot be hashed"):
        KeyGuard(Limits()).check([key], "dict key", Counter())


def test_wide_ints_that_collide() -> None:
    """40,000 ints made to have one hash are refused at once."""
    keys = [[number * MERSENNE, 0] for number in range(1, 40_001)]

    def make() -> None:
        with pytest.raises(InsecureJelly, match="int key wider than 64 bits"):
            Unjellier().unjellyFull([b"dictionary", *keys])

    assert units(make, 100) <= 100


@pytest.mark.parametrize("tag", [b"dictionary", b"set", b"frozenset"])
def test_tuples_that_collide(tag: bytes) -> None:
    """Pairs of ints that were chosen to have one hash are refused before they meet in a dict."""
    pairs = colliding_pairs(17)
    assert len({hash(pair) for pair in pairs}) == 1
    expressions: list[Any] = [[b"tuple", *pair] for pair in pairs]
    if tag == b"dictionary":
        expressions = [[key, 0] for key in expressions]
    with pytest.raises(InsecureJelly, match="more than 16 keys with the same hash"):
        Unjellier().unjellyFull([tag, *expressions])
    assert len(Unjellier().unjellyFull([tag, *expressions[:16]])) == 16


def test_instances_that_collide() -> None:
    """Instances whose fields were chosen to have one hash are refused too."""
    with pytest.raises(InsecureJelly, match="more than 16 keys with the same hash"):
        check(*(Frozen(part=pair) for pair in colliding_pairs(20)))


@pytest.mark.parametrize("error", [TypeError, AttributeError, RecursionError])
def test_a_hash_that_fails(error: type[Exception]) -> None:
    """A key whose hash raises is a malformed expression."""

    def make(values: Any) -> Any:
        raise error

    with pytest.raises(MalformedJelly, match="set member that cannot be hashed"):
        KeyGuard(Limits()).hashed(make, [], "set member")


def test_a_blank_instance_as_a_key() -> None:
    """A copy that is a key inside its own state cannot be hashed yet, and is refused."""
    registry = Registry()
    registry.add_class(b"Frozen", Frozen)
    inside = [b"dictionary", [[b"dereference", 1], 1]]
    state = [b"dictionary", [[b"unicode", b"part"], inside]]
    with pytest.raises(MalformedJelly, match="cannot be hashed"):
        Unjellier(registry=registry).unjellyFull([b"reference", 1, [b"Frozen", state]])


def test_deep_keys_by_reference() -> None:
    """A key nested ten thousand deep, one reference at a time, is refused without recursion."""
    parts: list[Any] = [[b"reference", 1, [b"tuple"]]]
    limits = Limits(max_expanded=1 << 40)
    for number in range(2, 20_000):
        parts.append([b"reference", number, [b"tuple", [b"dereference", number - 1]]])
    parts.append([b"dictionary", [[b"dereference", 19_999], 1]])
    with pytest.raises(LimitExceeded, match="max_key_nodes"):
        Unjellier(limits=limits).unjellyFull([b"list", *parts])
