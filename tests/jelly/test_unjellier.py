"""Expressions to graphs: sharing and cycles of every kind, and what no jellier produces."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from jelly.bases import Unjellyable, Unpersistable
from jelly.errors import (
    DecodeError,
    InsecureJelly,
    LimitExceeded,
    MalformedJelly,
)
from jelly.limits import Limits
from jelly.registry import Registry
from jelly.security import SecurityOptions
from jelly.unjellier import Unjellier


class Point(Unjellyable):
    """A copy that takes any state."""


class Wrapped(Unjellyable):
    """A copy with an unjellyFor of its own."""

    def unjellyFor(self, unjellier: Any, jellyList: list[Any]) -> Any:
        """Take the part, and return something else where that says so."""
        self.part = unjellier.unjelly(jellyList[1])
        return "other" if self.part == "other" else self


def text(word: str) -> list[Any]:
    """The expression of a str."""
    return [b"unicode", word.encode()]


def ref(number: int, expression: Any) -> list[Any]:
    """A value that is referred to."""
    return [b"reference", number, expression]


def deref(number: int) -> list[Any]:
    """A reference to a value."""
    return [b"dereference", number]


def make(**options: Any) -> Unjellier:
    """An unjellier that knows the classes of this file."""
    registry = Registry()
    for cls in (Point, Wrapped):
        registry.add_class(cls.__name__.encode(), cls)
    registry.add_factory(b"factory", lambda state: ("made", state))
    options.setdefault("registry", registry)
    return Unjellier(options.pop("security", None), **options)


def unjelly(expression: Any, **options: Any) -> Any:
    """The graph of an expression."""
    return make(**options).unjellyFull(expression)


def attributes(**state: Any) -> list[Any]:
    """The expression of a state."""
    return [b"dictionary", *([text(name), value] for name, value in state.items())]


# Containers.


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (5, 5),
        (b"x", b"x"),
        (1.5, 1.5),
        ([b"list"], []),
        ([b"list", 1, text("a"), [b"None"]], [1, "a", None]),
        ([b"tuple"], ()),
        ([b"tuple", 1, [b"tuple", 2, [b"list"]]], (1, (2, []))),
        ([b"dictionary"], {}),
        ([b"dictionary", [1, [b"list"]], [text("a"), b"b"]], {1: [], "a": b"b"}),
        ([b"set", 1, text("a")], {1, "a"}),
        ([b"frozenset", [b"frozenset", 1]], frozenset({frozenset({1})})),
        ([b"set"], set()),
        ([b"frozenset"], frozenset()),
        (["list", 1], [1]),
    ],
)
def test_values(expression: Any, value: Any) -> None:
    """Each container is made, empty and with parts."""
    made = unjelly(expression)
    assert (type(made), made) == (type(value), value)


def test_sharing() -> None:
    """A reference stands for the very same object, before or after others."""
    made = unjelly([b"list", ref(1, [b"list", 5]), deref(1), [b"tuple", deref(1)]])
    assert made == [[5], [5], ([5],)]
    assert made[0] is made[1] is made[2][0]


@pytest.mark.parametrize("value", [5, b"x", text("a"), [b"None"], [b"date", b"2020 1 1"]])
def test_references_to_plain_values(value: Any) -> None:
    """Whatever is referred to may be a plain value too."""
    first, second = unjelly([b"list", ref(1, value), deref(1)])
    assert first is second


def test_a_list_in_itself() -> None:
    """A list may hold itself, by way of other lists too."""
    made = unjelly(ref(1, [b"list", [b"list", deref(1)], deref(1)]))
    assert made[0][0] is made
    assert made[1] is made


def test_a_dict_in_itself() -> None:
    """A dict may hold itself as a value."""
    made = unjelly(ref(1, [b"dictionary", [text("me"), deref(1)]]))
    assert made["me"] is made


def test_a_tuple_in_what_it_holds() -> None:
    """A list inside a tuple may hold the tuple."""
    made = unjelly(ref(1, [b"tuple", [b"list", deref(1)], 5]))
    assert type(made) is tuple
    assert made[0][0] is made
    assert made[1] == 5


def test_tuples_in_each_other() -> None:
    """A cycle may lead through several tuples, and a dict, before it closes."""
    inner = [b"tuple", [b"dictionary", [1, deref(1)]], deref(1)]
    made = unjelly(ref(1, [b"tuple", [b"list", inner, deref(1)]]))
    assert made[0][1] is made
    assert made[0][0][1] is made
    assert made[0][0][0][1] is made


def test_a_tuple_known_by_two_numbers() -> None:
    """A tuple that waits for another can be referred to meanwhile."""
    inner = ref(2, [b"tuple", deref(1), 7])
    made = unjelly(ref(1, [b"tuple", [b"list", inner, deref(2), [b"tuple", deref(2)]]]))
    first, second, (third,) = made[0]
    assert first is second is third
    assert first[0] is made
    assert first[1] == 7


def test_a_set_in_its_member() -> None:
    """A set may hold a tuple that holds a copy that holds the set."""
    point = [b"Point", attributes(home=deref(1))]
    made = unjelly(ref(1, [b"set", [b"tuple", point, 1]]))
    ((member, one),) = made
    assert member.home is made
    assert one == 1


def test_a_frozenset_in_its_member() -> None:
    """A frozenset may hold a copy that holds the frozenset."""
    made = unjelly(ref(1, [b"frozenset", [b"Point", attributes(home=deref(1))]]))
    (member,) = made
    assert type(made) is frozenset
    assert member.home is made


def test_a_dict_key_that_leads_back() -> None:
    """A dict key may be a copy, inside a tuple, whose attribute is the dict."""
    key = [b"tuple", [b"Point", attributes(owner=deref(1))], 3]
    made = unjelly(ref(1, [b"dictionary", [key, deref(1)]]))
    (((point, three), value),) = made.items()
    assert point.owner is made is value
    assert three == 3


def test_a_dict_whose_key_is_a_tuple_to_come() -> None:
    """A key that is part of a tuple in the making is put in place at the end."""
    point = [b"Point", attributes(inside=[b"list", deref(1)])]
    made = unjelly([b"list", ref(1, [b"tuple", point]), [b"dictionary", [deref(1), b"x"]]])
    assert made[1] == {made[0]: b"x"}
    assert made[0][0].inside[0] is made[0]


def test_copies_in_each_other() -> None:
    """Two copies may hold each other, and share what they hold."""
    shared = ref(2, [b"list", 1])
    other = [b"Point", attributes(back=deref(1), shared=deref(2))]
    made = unjelly(ref(1, [b"Point", attributes(shared=shared, other=other)]))
    assert made.other.back is made
    assert made.other.shared is made.shared


def test_the_state_of_a_copy_is_complete() -> None:
    """A copy gets its state when all tuples in it are there."""
    state = attributes(home=deref(1), pair=[b"tuple", deref(1), 2])
    made = unjelly(ref(1, [b"tuple", [b"Point", state]]))
    assert made[0].pair == (made, 2)
    assert made[0].pair[0] is made


@pytest.mark.parametrize(
    "expression",
    [
        ref(1, [b"tuple", deref(1)]),
        ref(1, [b"tuple", [b"tuple", deref(1)]]),
        ref(1, [b"frozenset", deref(1)]),
        ref(1, [b"tuple", [b"frozenset", deref(1)]]),
        [b"list", ref(1, [b"tuple", ref(2, [b"tuple", deref(1)]), deref(2)])],
    ],
)
def test_tuples_that_hold_themselves(expression: Any) -> None:
    """What Python could not make is refused, and no placeholder gets out."""
    with pytest.raises(MalformedJelly, match="tuple contains itself"):
        unjelly(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (deref(77), "reference 77 was never defined"),
        ([b"list", deref(1), ref(1, [b"list"])], "reference 1 was never defined"),
        (deref(2**63 - 1), "reference 9223372036854775807 was never defined"),
        (deref(2**63), "dereference without a number from 0 to 2"),
        (deref(-1), "dereference without a number from 0 to 2"),
        (ref(2**63, [b"list"]), "reference without a number from 0 to 2"),
        (ref(True, [b"list"]), "reference without a number from 0 to 2"),
        ([b"list", ref(1, [b"list"]), ref(1, [b"list"])], "reference 1 defined twice"),
        (ref(1, ref(2, [b"list"])), "reference 1 is another reference"),
        ([b"dereference"], "dereference without a number from 0 to 2"),
        ([b"dereference", b"1"], "dereference without a number from 0 to 2"),
        ([b"dereference", 1, 2], "dereference of 2 fields"),
        ([b"reference"], "reference without a number from 0 to 2"),
        ([b"reference", 1], "reference of 1 fields"),
        ([b"reference", b"x", [b"list"]], "reference without a number from 0 to 2"),
        ([b"reference", 1, [b"list"], 2], "reference of 3 fields"),
        ([], "does not start with a tag"),
        ([5], "does not start with a tag"),
        ([[b"list"]], "does not start with a tag"),
        ([b"list", ()], "tuple in an expression"),
        ("text", "str in an expression"),
        ([b"list", None], "NoneType in an expression"),
        ([b"dictionary", 5], "dictionary of something other than pairs"),
        ([b"dictionary", [1]], "dictionary of something other than pairs"),
        ([b"dictionary", [1, 2, 3]], "dictionary of something other than pairs"),
        ([b"dictionary", [[b"list"], 1]], "dict key of type list"),
        ([b"set", [b"dictionary"]], "set member of type dict"),
        ([b"frozenset", [b"set"]], "set member of type set"),
        ([b"Point"], "Point of 0 fields"),
        ([b"Point", [b"dictionary"], 1], "Point of 2 fields"),
        ([b"Point", [b"list"]], "state of Point is not a dictionary"),
        ([b"factory"], "factory of 0 fields"),
        ([b"persistent"], "persistent of 0 fields"),
        ([b"unpersistable"], "unpersistable of 0 fields"),
    ],
)
def test_malformed(expression: Any, words: str) -> None:
    """What no jellier produces is MalformedJelly, in words without the peer's value."""
    with pytest.raises(MalformedJelly, match=words):
        unjelly(expression)


# Tags, classes and hooks.


@pytest.mark.parametrize("tag", [b"os.path", b"nobody", b"a" * 1000, b"\xff\n", "os.path", "x"])
def test_unknown_tags(tag: bytes | str) -> None:
    """A tag that is neither allowed nor registered is refused; nothing is imported."""
    security = SecurityOptions()
    security.allowBasicTypes()
    before = set(sys.modules)
    with pytest.raises(
        InsecureJelly, match=r"^type '[ -~]{0,64}' is not registered(; [ -~]{0,140})?$"
    ):
        unjelly([b"list", [tag, [b"dictionary"]]], security=security)
    assert set(sys.modules) == before


def test_every_tag_is_asked_for() -> None:
    """Scalars and containers are accepted only if the policy lists them."""
    security = SecurityOptions()
    security.allowedTypes = {b"list": 1}
    assert unjelly([b"list", 5], security=security) == [5]
    for tag in (b"None", b"unicode", b"tuple", b"dictionary", b"set", b"reference", b"date"):
        for form in (tag, tag.decode()):
            with pytest.raises(InsecureJelly):
                unjelly([b"list", [form]], security=security)
            with pytest.raises(InsecureJelly):
                unjelly([b"list", [b"list", [form, 1]]], security=security)


def test_rows_come_first() -> None:
    """A tag in ``rows`` needs no permission, and is used before the registry."""
    security = SecurityOptions()
    rows = {b"remote": lambda unjellier, parts: ("row", parts[1])}
    assert unjelly([b"remote", 5], security=security, rows=rows) == ("row", 5)


def test_code_only_where_allowed() -> None:
    """Names of code are refused by a policy without them, whatever security says."""
    for tag in (b"class", b"module", b"function", b"method", b"instance"):
        with pytest.raises(InsecureJelly, match="not accepted by this policy"):
            unjelly([tag, b"jelly.limits.Limits"], allow_code=False)
    assert unjelly([b"class", b"jelly.limits.Limits"]) is Limits


def test_a_cycle_through_a_hook() -> None:
    """A hook may meet the blank instance that it fills, but no tuple in the making."""
    made = unjelly(ref(1, [b"Wrapped", [b"list", deref(1)]]))
    assert made.part[0] is made
    for tag in (b"Wrapped", b"factory"):
        with pytest.raises(MalformedJelly, match="tuple contains itself"):
            unjelly(ref(1, [b"tuple", [tag, deref(1)]]))
        with pytest.raises(MalformedJelly, match="tuple contains itself"):
            unjelly(ref(1, [b"tuple", [tag, [b"list", deref(1)]]]))


def test_persistent() -> None:
    """A persistent id is loaded by the callback; without one its place is kept."""
    load: Callable[[Any, Any], Any] = lambda identity, unjellier: ("loaded", identity)  # noqa: E731
    assert unjelly([b"persistent", b"id"], persistentLoad=load) == ("loaded", b"id")
    kept = unjelly([b"persistent", b"id"])
    assert isinstance(kept, Unpersistable)
    assert "Persistent callback not found" in kept.reason
    other = unjelly([b"unpersistable", b"why\n"])
    assert other.reason == "Unpersistable data: why\\n"


# No recursion, no long work.


def nested(tag: bytes, depth: int) -> Any:
    """An expression of that many lists inside each other."""
    expression: Any = [tag]
    for _ in range(depth):
        expression = [b"dictionary", [1, expression]] if tag == b"dictionary" else [tag, expression]
    return expression


@pytest.mark.parametrize(
    ("tag", "depth"), [(b"list", 1_000_000), (b"tuple", 200_000), (b"dictionary", 200_000)]
)
def test_very_deep(tag: bytes, depth: int, without_gc: None) -> None:
    """An expression of any depth is made without recursion.

    Work that grew faster than the depth would not end before the time limit of a test.
    """
    made = unjelly(nested(tag, depth))
    for _ in range(depth):
        (made,) = made.values() if tag == b"dictionary" else made
    assert not made


def test_a_million_deep_by_reference() -> None:
    """A chain of tuples by references is made, too, and a cycle that long."""
    parts = [ref(1, [b"list"])]
    parts += [ref(n, [b"tuple", deref(n - 1)]) for n in range(2, 50_000)]
    limits = Limits(max_expanded=1 << 40)
    made = Unjellier(limits=limits).unjellyFull([b"list", *parts])
    assert made[-1] == (made[-2],)
    chain: Any = deref(1)
    for _ in range(50_000):
        chain = [b"tuple", chain]
    looped = unjelly(ref(1, [b"list", chain]))
    inside = looped[0]
    while type(inside) is tuple:
        (inside,) = inside
    assert inside is looped


def test_deep_sets() -> None:
    """Nested frozensets are keys of each other: refused by their size, not by recursion."""
    with pytest.raises(LimitExceeded, match="keys expand to more than 1000000 nodes"):
        unjelly(nested(b"frozenset", 100_000))


def test_hooks_nest_as_deep_as_the_limit() -> None:
    """Hooks inside hooks end at max_depth, never in a RecursionError."""
    deep = nested(b"Wrapped", 10_000)
    with pytest.raises(LimitExceeded, match=r"nesting deeper than 100 \(max_depth\)"):
        unjelly(deep)


def test_copies_nest_without_hooks() -> None:
    """Copies without a hook of their own nest as deep as lists do."""
    expression: Any = [b"Point", [b"dictionary"]]
    for _ in range(20_000):
        expression = [b"Point", [b"dictionary", [text("next"), expression]]]
    made = unjelly(expression)
    for _ in range(20_000):
        made = made.next
    assert vars(made) == {}


def test_only_our_errors() -> None:
    """Every tag with every kind of wrong field gives an error of ours."""
    tags = [b"list", b"tuple", b"set", b"frozenset", b"dictionary", b"reference", b"dereference"]
    tags += [b"unicode", b"boolean", b"decimal", b"date", b"class", b"module", b"function"]
    tags += [b"method", b"instance", b"persistent", b"unpersistable", b"Point", b"factory", b"x.y"]
    fields: list[list[Any]] = [[], [1], [b""], [b"\xff"], [[]], [[b"None"]], [1, 2], [[b"list"], 1]]
    fields += [[b"a", [b"None"], [b"None"]], [1.5, b"x", 3]]
    security = SecurityOptions()
    security.allowInstancesOf(Point)
    security.allowTypes("function", "method")
    for tag in tags:
        for rest in fields:
            try:
                unjelly([tag, *rest], security=security)
            except (DecodeError, LimitExceeded):
                continue
