"""A peer's state in an instance: what comes in, what is refused, and what runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

import pytest

from jelly.errors import InsecureJelly, MalformedJelly
from jelly.state import put_plain_state, put_state, share_state


class Loose:
    """A class that published programs fill freely, with plain defaults."""

    title = None
    words: Any = ()
    limit: ClassVar[int] = 3
    kind = dict
    run = partial(print)

    def method(self) -> None:
        """Be hidden by nothing."""

    @property
    def size(self) -> int:
        """Be hidden by nothing."""
        return 1

    @cached_property
    def is_admin(self) -> bool:
        """Be hidden by nothing."""
        return False

    @classmethod
    def of_class(cls) -> None:
        """Be hidden by nothing."""

    @staticmethod
    def of_nobody() -> None:
        """Be hidden by nothing."""


HIDING = ["limit", "kind", "run", "method", "size", "is_admin", "of_class", "of_nobody"]
HIDING += ["__class__", "__dict__", "__x"]


@pytest.mark.parametrize("name", HIDING)
@pytest.mark.parametrize("put", [partial(put_state, declared=False), put_plain_state])
def test_nothing_is_hidden(name: str, put: Any) -> None:
    """Nothing hides a method, a descriptor, a class or a ClassVar, and nothing else is set then."""
    loose = Loose()
    with pytest.raises(InsecureJelly, match=rf"^field '{name}' hides what .*Loose defines$"):
        put(loose, {"title": "x", name: 1})
    assert vars(loose) == {}


@pytest.mark.parametrize("put", [partial(put_state, declared=False), put_plain_state])
def test_plain_defaults_are_taken_over(put: Any) -> None:
    """What has a plain default, or none, comes in."""
    loose = Loose()
    put(loose, {"title": "x", "words": [1], "other": 2})
    assert vars(loose) == {"title": "x", "words": [1], "other": 2}


@pytest.mark.parametrize("state", [5, [], (), "x", {1: 2}, {b"x": 1}])
def test_a_state_is_a_dict_of_str(state: Any) -> None:
    """Anything else is malformed."""
    for declared in (True, False):
        with pytest.raises(MalformedJelly):
            put_state(Loose(), state, declared)


@dataclass
class Order:
    """A dataclass with everything."""

    count: int
    price: int = 5
    tags: list[str] = field(default_factory=list)
    total: int = field(init=False)
    rate: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Work out, and refuse."""
        if self.count < 0:
            raise ValueError(f"{self.count} is too few")
        self.total = self.count * self.price * self.rate


def filled(cls: Any, state: dict[str, Any], **options: Any) -> Any:
    """Return an instance with declared fields."""
    value = cls.__new__(cls)
    put_state(value, state, True, **options)
    return value


def test_a_dataclass_is_completed() -> None:
    """Defaults are filled in, and ``__post_init__`` runs, once all fields are there."""
    made = filled(Order, {"count": 3})
    assert made == Order(3)
    assert made.total == 30
    assert made.tags is not filled(Order, {"count": 3}).tags
    assert filled(Order, {"count": 3, "total": 1}).total == 30


def test_what_post_init_refuses() -> None:
    """It is malformed; the text names the kind of error, and nothing that the peer sent."""
    with pytest.raises(MalformedJelly, match=r"^the fields of .*Order are refused: ValueError$"):
        filled(Order, {"count": -12345})


def test_other_errors_of_post_init_pass() -> None:
    """An error that says something else than a wrong value stays what it is."""

    @dataclass
    class Broken:
        x: int

        def __post_init__(self) -> None:
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        filled(Broken, {"x": 1})


@pytest.mark.parametrize("name", ["rate", "unknown", "__class__", "__post_init__"])
def test_what_is_not_declared(name: str) -> None:
    """A ClassVar is no field, and neither is what the class does not know."""
    with pytest.raises(InsecureJelly, match=rf"^field '{name}' is not declared by .*Order$"):
        filled(Order, {"count": 1, name: 1})


def test_missing_fields() -> None:
    """A field without a default must come, of every class; a computed one must be there at last."""

    class Annotated:
        x: int
        y: int = 5

    @dataclass
    class Forgetful:
        x: int = field(init=False)

    for cls, name in ((Order, "count"), (Annotated, "x"), (Forgetful, "x")):
        with pytest.raises(MalformedJelly, match=rf"^field '{name}' of .* is missing$"):
            filled(cls, {})
    assert filled(Annotated, {"x": 1}).y == 5
    assert vars(filled(Annotated, {}, present={"x"})) == {}
    assert vars(filled(Annotated, {"more": 1}, also=("more",), is_part=True)) == {"more": 1}


def test_undeclared_dataclasses() -> None:
    """One that was not registered gets what comes and its defaults; its hook does not run."""
    value = Order.__new__(Order)
    put_state(value, {"count": -3, "other": 1}, False)
    assert vars(value) == {"count": -3, "other": 1, "price": 5, "tags": []}
    with pytest.raises(MalformedJelly, match=r"'count' of .* is missing"):
        put_state(Order.__new__(Order), {}, False)


def test_slots_and_frozen_classes() -> None:
    """State goes into slots, and past the guard of a frozen class; a slot-less name is refused."""

    @dataclass(frozen=True, slots=True)
    class Point:
        x: int

    class Slotted:
        __slots__ = ("x",)

    assert filled(Point, {"x": 1}) == Point(1)
    with pytest.raises(InsecureJelly, match="'y' is not declared"):
        put_state(Slotted(), {"y": 1}, False)


def test_fields_with_code() -> None:
    """A field that is a descriptor with a setter is set by it, and may refuse."""

    class Celsius:
        degrees: int

        @property  # type: ignore[no-redef]
        def degrees(self) -> int:
            """Return it."""
            return self._degrees

        @degrees.setter
        def degrees(self, value: int) -> None:
            if value < -273:
                raise ValueError(value)
            self._degrees = value

        _degrees: ClassVar[int]

    class Fixed:
        x: int

        @property  # type: ignore[no-redef]
        def x(self) -> int:
            """Return it."""
            return 1

    assert vars(filled(Celsius, {"degrees": 20})) == {"_degrees": 20}
    with pytest.raises(MalformedJelly, match=r"^field 'degrees' of .* is refused: ValueError$"):
        filled(Celsius, {"degrees": -300})
    with pytest.raises(InsecureJelly, match="hides"):
        filled(Fixed, {"x": 1})


def test_setstate() -> None:
    """A ``__setstate__`` of the class takes the state; that of exceptions would take anything."""

    class Own:
        def __setstate__(self, state: Any) -> None:
            self.seen = state

    class Fault(Exception):
        def method(self) -> None:
            """Be hidden by nothing."""

    own = Own()
    put_plain_state(own, [1])
    assert own.seen == [1]
    put_plain_state(Loose(), None)
    fault = Fault()
    with pytest.raises(InsecureJelly, match="hides"):
        put_plain_state(fault, {"method": 1})
    put_plain_state(fault, {"code": 1})
    assert vars(fault) == {"code": 1}


def test_shared_state() -> None:
    """Two instances may stand on one dict, frozen or not."""

    @dataclass(frozen=True)
    class Frozen:
        x: int

    first, second = Frozen(1), Frozen(2)
    share_state(second, vars(first))
    assert vars(second) is vars(first)
