"""Containers: filled a few entries at a time, in their order, whatever waits for its parts."""

from __future__ import annotations

from typing import Any

import pytest

from jelly.errors import InsecureJelly, MalformedJelly
from jelly.security import SecurityOptions
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


TEXT_KEY = [b"unicode", b"k"]
PAIRS: list[Any] = [
    [TEXT_KEY, 1],
    [TEXT_KEY, [b"unicode", "é".encode()]],
    [TEXT_KEY, [b"boolean", b"true"]],
    [TEXT_KEY, [b"None"]],
    [TEXT_KEY, [b"list", 1]],
    [b"k", 1],
    [5, 1],
    [TEXT_KEY, [b"unicode", b"\xff"]],
    [TEXT_KEY, [b"unicode"]],
    [TEXT_KEY, []],
    [TEXT_KEY, [[b"unicode"]]],
    [TEXT_KEY, [b"boolean", b"maybe"]],
    [TEXT_KEY, [b"no.such.class", 1]],
    [TEXT_KEY, "text"],
    [[b"unicode", b"\xff"], 1],
    [[b"unicode", b"k", 1], 1],
    [[], 1],
    [TEXT_KEY],
    [TEXT_KEY, 1, 2],
    5,
    TEXT_KEY,
    [TEXT_KEY, [b"dereference", 7]],
]


def outcome(pairs: list[Any], security: Any) -> Any:
    """The value of one key, or the error, of a dict; and the nodes it counts for each pair."""
    unjellier = Unjellier(security)
    try:
        made = unjellier.unjellyFull([b"dictionary", *pairs])
    except Exception as error:
        return type(error), str(error)
    return repr([(key, made[key]) for key in made if key != b"other"])


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
@pytest.mark.parametrize("refused", [b"", b"unicode", b"boolean"])
def test_small_dicts_are_as_others(pair: Any, refused: bytes) -> None:
    """A small dict, which is made at once, has the values and the errors of a large one."""
    security = SecurityOptions()
    security.allowBasicTypes()
    security.allowedTypes.pop(refused, None)
    filler = [[b"other", 1]] * 30
    assert outcome([pair], security) == outcome([pair, *filler], security)


def test_small_dicts_count_as_others() -> None:
    """Their nodes are counted, and each of them is a visit."""
    security = SecurityOptions()
    security.allowBasicTypes()
    counted = []
    for key in (b"k", TEXT_KEY):
        unjellier = Unjellier(security)
        unjellier.unjellyFull([b"list", *([[b"dictionary", [key, 1]]] * 1000)])
        counted.append(unjellier.expanded)
    assert counted[0] == counted[1] == 1001 + 6 * 1000
    walk = Unjellier(security).walk([b"list", *([[b"dictionary", [TEXT_KEY, 1]]] * 1000)])
    assert sum(1 for _ in walk) > 10
