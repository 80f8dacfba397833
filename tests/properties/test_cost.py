"""What a message costs: never many times what a plain one of its size does, whatever is in it.

Each message is handled by a server in memory, and its processor time compared with that of a plain
message of the same size, dialect and policy, to the same method: lists of lists of one int. What
else the machine does is not in a process's own time, but it slows that down, through caches and
clocks; so both are measured again, and their least times taken, where a message seems to cost too
much. Counting steps instead would miss what happens in C, such as hashes that collide.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from attacks.attacker import BOTH, POLICIES, Speaker, Target, Victim, cost
from attacks.catalogue import PRIME, bomb, nested, shared, tuples_with_one_hash
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from broker.flavors.reference import RemoteReference

MOST = 20
"""Times of a plain message."""
FLOOR = 0.001
"""Seconds that a plain message counts as at least: what every message costs is in them."""
TRIES = 6
SIZES = (2_000, 16_000, 64_000)

EXPANDED = {"strict": 1_000_000, "published": 10_000_000}
"""Nodes of a graph as a tree, up to which a method gets it."""
NODE = 30e-9
"""Seconds for each node where a method itself walks what it was given, as by hashing it."""


class Users(Target):
    """Does with a value what applications do."""

    def __init__(self) -> None:
        self.table: dict[Any, Any] = {}
        self.members: set[Any] = set()

    def remote_key(self, value: Any) -> None:
        """Use it as a key of a dict."""
        self.table[value] = 1

    def remote_lookup(self, value: Any) -> Any:
        """Look it up where it is not."""
        return {}[value]

    def remote_member(self, value: Any) -> bool:
        """Put it into a set."""
        self.members.add(value)
        return value in self.members

    def remote_gather(self, value: Any) -> int:
        """Put the peer's objects in it into a set; its numbers are the peer's own choice."""
        self.members.update(part for part in value if isinstance(part, RemoteReference))
        return len(self.members)

    def remote_refuse(self, value: Any) -> None:
        """Raise an error that holds it."""
        raise ValueError(value)


METHODS = (b"echo", b"keep", b"key", b"lookup", b"member", b"gather", b"refuse")
WALKING = {b"key", b"lookup", b"member", b"gather"}

NUMBERS: dict[str, Callable[[int], Any]] = {
    "small": lambda n: n,
    "of one hash": lambda n: n * PRIME,
    "of one hash, signed": lambda n: n * PRIME * (-1) ** n,
    "of 448 bits": lambda n: (n << 430) + n * PRIME,
    "with equal low bits": lambda n: n << 40,
    "the largest ids": lambda n: (1 << 63) - n,
    "floats": lambda n: float(n << 40),
    "floats of one hash": lambda n: float(n * PRIME),
}

PARTS: dict[str, Callable[[Any, int], Any]] = {
    "number": lambda number, n: number,
    "shared list": lambda number, n: [b"reference", number, [b"list"]],
    "shared tuple": lambda number, n: [b"reference", number, [b"tuple", n]],
    "shared dict": lambda number, n: [b"reference", number, [b"dictionary", [n, n]]],
    "shared text": lambda number, n: [b"reference", number, [b"unicode", b"x"]],
    "again": lambda number, n: [b"dereference", number],
    "object": lambda number, n: [b"remote", number],
    "object of ours": lambda number, n: [b"local", number],
    "cache": lambda number, n: [b"cached", number],
    "cache of ours": lambda number, n: [b"lcache", number],
    "set": lambda number, n: [b"set", number],
    "frozenset": lambda number, n: [b"frozenset", [b"tuple", number]],
    "dict": lambda number, n: [b"dictionary", [number, n]],
    "dict by pairs": lambda number, n: [b"dictionary", [[b"tuple", number, n], n]],
    "decimal": lambda number, n: [b"decimal", number if type(number) is int else n, n % 100],
    "deep": lambda number, n: nested(1 + n % 80),
    "deep by references": lambda number, n: shared(1 + n % 40),
}

WHOLES: dict[str, Callable[[list[Any]], Any]] = {
    "a list": lambda parts: [b"list", *parts],
    "a tuple": lambda parts: [b"tuple", *parts],
    "a set": lambda parts: [b"set", *parts],
    "a frozenset": lambda parts: [b"frozenset", *parts],
    "keys": lambda parts: [b"dictionary", *([part, 0] for part in parts)],
    "values": lambda parts: [b"dictionary", *([n, part] for n, part in enumerate(parts))],
    "keys by pairs": lambda parts: [b"dictionary", *([[b"tuple", part], 0] for part in parts)],
}


class Recipe(NamedTuple):
    """How a message is made.

    Attributes:
        method: that it calls.
        size: of its bytes, about.
        whole: what its value is.
        kinds: what its parts are, in turn: of PARTS, with numbers of NUMBERS.
        levels: of shared parts that come first; 0 for none.
    """

    method: bytes
    size: int
    whole: str
    kinds: tuple[tuple[str, str], ...]
    levels: int = 0

    def message(self, speaker: Speaker) -> bytes:
        """The bytes, no more than its size by much."""
        some = self._parts(60)
        each = max(1, len(speaker.call([b"list", *some])) // 60)
        return self._call(speaker, self._parts(max(1, self.size // each)))

    def _call(self, speaker: Speaker, parts: list[Any]) -> bytes:
        if self.levels:
            parts = [renumbered(shared(self.levels)), *parts]
        return speaker.call(WHOLES[self.whole](parts), name=self.method)

    def _parts(self, count: int) -> list[Any]:
        made = []
        for index in range(count):
            kind, scheme = self.kinds[index % len(self.kinds)]
            n = 1 + index // len(self.kinds)
            part = PARTS[kind](NUMBERS[scheme](n), n)
            # Levels that refer to each other need numbers of their own in each part.
            made.append(renumbered(part, n) if kind == "deep by references" else part)
        return made


def renumbered(part: Any, n: int = 0) -> Any:
    """An expression with other numbers for its references."""
    if type(part) is not list:
        return part
    if part[0] in (b"reference", b"dereference"):
        return [part[0], (1 << 32) + 64 * n + part[1], *map(renumbered_of(n), part[2:])]
    return [part[0], *map(renumbered_of(n), part[1:])]


def renumbered_of(n: int) -> Callable[[Any], Any]:
    """The same, for one part after the other."""
    return lambda part: renumbered(part, n)


RECIPES = st.builds(
    Recipe,
    st.sampled_from(METHODS),
    st.sampled_from(SIZES),
    st.sampled_from(list(WHOLES)),
    st.lists(
        st.tuples(st.sampled_from(list(PARTS)), st.sampled_from(list(NUMBERS))),
        min_size=1,
        max_size=3,
    ).map(tuple),
    st.sampled_from((0, 0, 0, 8, 16, 24, 44)),
)

KNOWN = [
    Recipe(b"keep", 64_000, "a list", (("shared list", "of one hash"),)),
    Recipe(b"keep", 64_000, "a list", (("object", "of one hash"),)),
    Recipe(b"gather", 64_000, "a list", (("object", "of one hash"),)),
    Recipe(b"gather", 64_000, "a list", (("object", "with equal low bits"),)),
    Recipe(b"echo", 64_000, "a list", (("object", "small"),)),
    Recipe(b"keep", 64_000, "a set", (("number", "floats of one hash"),)),
    Recipe(b"keep", 64_000, "a list", (("shared list", "small"), ("again", "small"))),
    Recipe(b"echo", 64_000, "a list", (("deep", "small"),)),
    Recipe(b"refuse", 64_000, "a list", (("deep by references", "small"),)),
    Recipe(b"refuse", 2_000, "a list", (("number", "small"),), 20),
    Recipe(b"lookup", 2_000, "a tuple", (("number", "small"),), 20),
    Recipe(b"key", 2_000, "a tuple", (("number", "small"),), 24),
]


def handled(data: bytes, dialect: str, policy: str, enough: float) -> float:
    """Seconds that a message takes; it is not measured again once it took no more than enough."""
    return cost(
        lambda victim: victim.hear(data),
        lambda: Victim(dialect, policy, Users()),
        TRIES,
        enough,
    )


@functools.cache
def plain(size: int, dialect: str, policy: str) -> float:
    """Seconds that a plain message of that size takes."""
    speaker = Speaker(dialect)
    each = len(speaker.call(*[[b"list", 1]] * 1_000)) / 1_000
    data = speaker.call([b"list", *[[b"list", 1]] * int(size / each)], name=b"keep")
    return max(FLOOR, handled(data, dialect, policy, 0.0))


def check(data: bytes, method: bytes, dialect: str, policy: str) -> None:
    """Handle a message, and compare."""
    size = next((size for size in SIZES if len(data) <= size), len(data))
    most = MOST * plain(size, dialect, policy)
    if method in WALKING:
        most += EXPANDED[policy] * NODE
    seconds = handled(data, dialect, policy, most)
    assert seconds <= most, f"{len(data)} bytes take {seconds:.3f} s, at most {most:.3f} s"


def with_known(test: Any) -> Any:
    """Try the messages first that once cost too much."""
    for recipe in reversed(KNOWN):
        test = example(recipe)(test)
    return test


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dialect", BOTH)
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@with_known
@given(RECIPES)
def test_no_message_costs_much_more_than_a_plain_one(
    dialect: str, policy: str, recipe: Recipe
) -> None:
    """A message of up to 64 kB takes at most 20 times as long as a plain one of its size."""
    check(recipe.message(Speaker(dialect)), recipe.method, dialect, policy)


@pytest.mark.parametrize(("dialect", "policy"), [("pb", "strict"), ("msgpack/1", "published")])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "value",
    [
        [b"list", bomb(20)],
        [b"tuple", *tuples_with_one_hash(2_000)],
        [b"frozenset", *tuples_with_one_hash(2_000)],
        [b"dictionary", *([pair, 1] for pair in tuples_with_one_hash(2_000))],
    ],
    ids=["a bomb", "pairs of one hash", "a frozenset of them", "a dict of them"],
)
def test_values_that_were_made_to_cost(
    value: Any, method: bytes, dialect: str, policy: str
) -> None:
    """Values whose hash or whose tree was made to cost much take no longer either."""
    data = Speaker(dialect).call(value, name=method)
    check(data, method, dialect, policy)


def gathered(kind: str, scheme: str, dialect: str) -> bytes:
    """A message with many parts of a kind, with numbers of a scheme."""
    parts = [PARTS[kind](NUMBERS[scheme](n), n) for n in range(1, 1_501)]
    return Speaker(dialect).call([b"list", *parts], name=b"gather")


@functools.cache
def harmless(kind: str, dialect: str, policy: str) -> float:
    """Seconds that such a message takes with small numbers."""
    return handled(gathered(kind, "small", dialect), dialect, policy, FLOOR)


ALONE = [kind for kind in PARTS if not kind.startswith("deep")]


@pytest.mark.parametrize(("dialect", "policy"), [("pb", "strict"), ("msgpack/1", "published")])
@pytest.mark.parametrize("scheme", [scheme for scheme in NUMBERS if scheme != "small"])
@pytest.mark.parametrize("kind", ALONE)
def test_no_choice_of_numbers_costs_much(kind: str, scheme: str, dialect: str, policy: str) -> None:
    """Numbers that were chosen to collide cost as much as small ones, but for their size."""
    data = gathered(kind, scheme, dialect)
    most = 5 * harmless(kind, dialect, policy) + 10 * FLOOR
    seconds = handled(data, dialect, policy, most)
    assert seconds <= most, f"{seconds:.3f} s, at most {most:.3f} s"
