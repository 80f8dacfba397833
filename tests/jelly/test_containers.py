"""Containers: filled a few entries at a time, in their order, whatever waits for its parts."""

from __future__ import annotations

from typing import Any

import pytest

from jelly.errors import InsecureJelly, MalformedJelly
from jelly.unjellier import Unjellier

MERSENNE = 2**61 - 1


def unjelly(expression: Any) -> Any:
    """The value of an expression."""
    return Unjellier().unjellyFull(expression)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_every_length(count: int) -> None:
    """Dicts and sets of any length have all their entries, dicts in the order of the wire."""
    keys = [[b"unicode", b"%d" % n] for n in range(count)]
    assert list(unjelly([b"dictionary", *([key, 1] for key in keys)])) == list(
        map(str, range(count))
    )
    assert unjelly([b"set", *keys]) == set(map(str, range(count)))
    assert unjelly([b"frozenset", *keys]) == frozenset(map(str, range(count)))


def test_the_last_value_of_a_key_counts() -> None:
    """A key that comes twice has the later value, also where both wait for their parts."""
    pairs = [[n % 10, n] for n in range(600)]
    assert unjelly([b"dictionary", *pairs]) == {n: 590 + n for n in range(10)}
    late = [[[b"tuple", n % 100], [b"dereference", 1]] for n in range(300)]
    late += [[[b"tuple", n % 100], n] for n in range(300)]
    made = unjelly([b"reference", 1, [b"tuple", [b"dictionary", *late]]])
    assert made[0] == {(n,): 200 + n for n in range(100)}


def test_the_order_is_kept_behind_what_waits() -> None:
    """Entries behind one that waits for its parts are entered behind it."""
    pairs = [[[b"unicode", b"%d" % n], n] for n in range(600)]
    pairs[300][1] = [b"dereference", 1]
    made = unjelly([b"reference", 1, [b"tuple", [b"dictionary", *pairs]]])
    assert list(made[0]) == [str(n) for n in range(600)]
    assert made[0]["300"] is made


def test_a_later_pair_that_is_none() -> None:
    """A dictionary is refused whichever of its parts is no pair."""
    pairs: list[Any] = [[n, n] for n in range(600)]
    for wrong in (5, [1], [1, 2, 3]):
        with pytest.raises(MalformedJelly, match="dictionary of something other than pairs"):
            unjelly([b"dictionary", *pairs, wrong])


@pytest.mark.parametrize("tag", [b"set", b"frozenset"])
def test_equal_hashes_are_counted_over_all_entries(tag: bytes) -> None:
    """Keys of one hash are refused beyond 16, however far they stand from each other."""
    alike = [[b"tuple", n, 0] for n in (5, 5 + MERSENNE)]
    assert len(unjelly([tag, *alike])) == 2
    members: list[Any] = []
    for n in range(3):
        members += [[b"tuple", 5 + n * MERSENNE, place] for place in range(300)]
    assert len(unjelly([tag, *members])) == 900
    with pytest.raises(InsecureJelly, match="more than 16 keys with the same hash"):
        unjelly([tag, *([b"tuple", 5 + MERSENNE * (n % 5), [b"tuple", 1 + MERSENNE * (n // 5)]]
                        for n in range(25))])  # fmt: skip


def test_a_frozenset_in_a_cycle() -> None:
    """A frozenset that waits for its members is made at the end, and stands where it belongs."""
    made = unjelly([b"reference", 1, [b"list", [b"frozenset", [b"tuple", 1]], [b"dereference", 1]]])
    assert made[0] == {(1,)}
    assert made[1] is made
