"""Which fields a class declares, however its annotations are written."""

from __future__ import annotations

import dataclasses
import typing
import typing as t
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import pytest

from jelly.fields import engine_class, found_in, shape_of, unstored_shape_of

if TYPE_CHECKING:
    import nowhere
    from nowhere import Unknown

Shared = ClassVar[int]


class Written:
    """Annotations of every kind, all of them strings."""

    plain: int
    default: int = 5
    forward: Unknown
    listed: list[Unknown] | None
    final: Final[int] = 3
    annotated: Annotated[int, "metres"]
    quoted: "int"  # noqa: UP037 - a string in a string
    _private: int
    __mangled: int
    bare: ClassVar = 1
    rate: ClassVar[int] = 1
    unresolved: ClassVar[Unknown]
    qualified: typing.ClassVar[int]
    renamed: t.ClassVar[int]
    alias: Shared
    hidden: nowhere.ClassVar[int]
    unknown_wrapper: nowhere.Annotated[nowhere.ClassVar[int], 1]
    inside: Annotated[ClassVar[int], "metres"]
    quoted_class: "ClassVar[int]"  # noqa: UP037 - a string in a string
    seed: InitVar[int]
    seed_by_module: dataclasses.InitVar[int]
    bare_seed: InitVar
    _: KW_ONLY
    __dunder__: int


FIELDS = {
    "plain",
    "default",
    "forward",
    "listed",
    "final",
    "annotated",
    "quoted",
    "_private",
    "_Written__mangled",
}


def test_annotations() -> None:
    """Fields are what is annotated, but ClassVar, InitVar, KW_ONLY and dunder names."""
    shape = shape_of(Written)
    assert set(shape.names) == shape.fields == FIELDS
    assert set(shape.required) == FIELDS - {"default", "final"}
    assert "rate" in shape.closed
    assert not shape.closed & FIELDS


def evaluated() -> type:
    """Return a class whose annotations are no strings."""
    names: dict[str, Any] = {
        "a": int,
        "b": ClassVar[int],
        "c": InitVar[int],
        "d": Final[int],
        "e": t.ForwardRef("ClassVar[int]"),
        "f": "ClassVar[int]",
        "g": t.ForwardRef("Unknown"),
        "h": "not an expression",
        "i": Annotated[ClassVar[int], 1],
        "j": 5,
        "k": InitVar,
        "l": KW_ONLY,
    }
    return type("Evaluated", (), {"__annotations__": names, "__module__": __name__})


def test_annotations_that_are_no_strings() -> None:
    """They mean the same as objects; what cannot be understood is a field."""
    assert set(shape_of(evaluated()).names) == {"a", "d", "g", "h", "j"}


@dataclass(kw_only=True)
class Base:
    """A dataclass."""

    x: int
    y: int = 5
    z: list[int] = field(default_factory=list)
    made: int = field(init=False)
    limit: ClassVar[int] = 3
    seed: InitVar[int] = 7


def test_a_dataclass() -> None:
    """The fields of a dataclass are those of ``dataclasses.fields``."""
    shape = shape_of(Base)
    assert shape.names == ("x", "y", "z", "made")
    assert (shape.required, shape.computed, shape.initvars) == (("x",), ("made",), ("seed",))
    assert {name: make() for name, make in shape.defaults.items()} == {"y": 5, "z": []}


def test_bases() -> None:
    """Annotations of bases count for a class that is none itself a dataclass; of a dataclass not.

    A subclass may make a field of its base a ClassVar, and the other way round.
    """

    class Mixin:
        mixed: int

    @dataclass
    class Decorated(Mixin):
        own: int

    class Plain(Base, Mixin):
        more: int
        x: ClassVar[int] = 1  # type: ignore[misc]
        limit: int  # type: ignore[misc]

    assert shape_of(Decorated).names == ("own",)
    assert set(shape_of(Plain).names) == {"y", "z", "made", "mixed", "more", "limit"}
    assert "x" in shape_of(Plain).closed
    assert "limit" not in shape_of(Plain).closed


def test_slots_have_no_default() -> None:
    """An annotation with a slot of its name is required: a slot is no default."""

    class Slotted:
        __slots__ = ("a",)
        a: int

    assert shape_of(Slotted).required == ("a",)


def test_our_own_classes() -> None:
    """Annotations of a class of ours are no fields, and what it keeps stays closed."""

    @engine_class("kept", "claimed")
    class Ours:
        kept: int
        told: int
        limit: ClassVar[int]

    class Theirs(Ours):
        claimed: int
        own: int

    assert shape_of(Theirs).names == ("own",)
    assert shape_of(Theirs).closed == {"kept", "claimed", "limit"}


def test_a_decorator_above_may_still_add_fields() -> None:
    """What is asked before a class is complete is not kept."""

    class Later:
        x: int = 5

    assert unstored_shape_of(Later).names == ("x",)
    made = dataclass(Later)
    assert shape_of(made).defaults["x"]() == 5
    assert shape_of(made) is shape_of(made)


@pytest.mark.parametrize(
    ("name", "found"), [("limit", 3), ("nothing", dataclasses.MISSING), ("y", 5)]
)
def test_found_in(name: str, found: Any) -> None:
    """What a class defines is found unbound, in its bases too."""
    assert found_in(type("Sub", (Base,), {}), name) == found
