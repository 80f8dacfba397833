"""Generated functions: Python binds, given arguments are checked and passed on, others are not."""

# ruff: noqa: D101, D102 - contracts and methods without a purpose of their own

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from broker.flavors.contracts.contract import contract_of
from broker.flavors.contracts.generated import SELF, generated
from broker.flavors.contracts.method import Parameter


class Forms(Protocol):
    async def none(self) -> int: ...

    async def plain(self, a: int, b: str) -> int: ...

    async def optional(self, a: int, b: str = "x") -> int: ...

    async def only(self, a: int, b: str = "x", /) -> int: ...

    async def more(self, a: int, b: str = "x", *c: int) -> int: ...

    async def named(self, *, a: int, b: str = "x") -> int: ...

    async def rest(self, **c: int) -> int: ...

    async def both(self, a: int, /, b: int, *c: int, d: int, e: int = 1, **f: int) -> int: ...

    async def free(self, a: Any, b: Any = None) -> int: ...

    async def either(self, a: int | None) -> int: ...


def made(name: str, is_packed: bool = False) -> Callable[..., Any]:
    """Return a function that returns what it passes on, and has checked it."""

    def check(parameter: Parameter) -> Callable[[object], object]:
        return lambda value: (parameter.name, value)

    def returned(*args: Any, **kw: Any) -> Any:
        return args, kw

    return generated(
        contract_of(Forms).methods[name],
        name,
        (SELF,),
        "_broker_function(",
        check,
        "return _broker_result",
        {"_broker_function": returned},
        is_packed,
    )


def test_what_is_passed_on() -> None:
    """Exact values pass; others are checked; those left out are not passed on."""
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
        ("none", (), {}, ((), {})),
        ("plain", (1, "x"), {}, ((1, "x"), {})),
        ("plain", (True,), {"b": 3}, ((("a", True), ("b", 3)), {})),
        ("optional", (1,), {}, ((1,), {})),
        ("optional", (1, "y"), {}, ((1,), {"b": "y"})),
        ("optional", (1,), {"b": 3}, ((1,), {"b": ("b", 3)})),
        ("only", (1,), {}, ((1,), {})),
        ("only", (1, "y"), {}, ((1, "y"), {})),
        ("more", (1, "y", 2, 3), {}, ((1, "y", ("c", 2), ("c", 3)), {})),
        ("more", (1,), {"b": "y"}, ((1,), {"b": "y"})),
        ("named", (), {"a": 1}, ((), {"a": 1})),
        ("named", (), {"a": "1", "b": "y"}, ((), {"a": ("a", "1"), "b": "y"})),
        ("rest", (), {"x": 1}, ((), {"x": ("c", 1)})),
        ("both", (1, 2, 3), {"d": 4, "f": 5}, ((1, 2, ("c", 3)), {"d": 4, "f": ("f", 5)})),
        ("free", (object,), {}, ((object,), {})),
        ("free", (1, 2), {}, ((1,), {"b": 2})),
        ("either", (None,), {}, ((None,), {})),
        ("either", ("x",), {}, ((("a", "x"),), {})),
    ]
    for name, args, kw, expected in cases:
        assert made(name)(None, *args, **kw) == expected, (name, args, kw)
        if name != "none":
            assert made(name, True)(None, *args, **kw) == (expected, {}), (name, args, kw)
    assert made("none", True)(None) == (((), {}), {})


@pytest.mark.parametrize("name", contract_of(Forms).methods)
def test_signatures(name: str) -> None:
    """They are those of the contract, with other defaults."""
    wanted = inspect.signature(getattr(Forms, name)).parameters.values()
    found = inspect.signature(made(name)).parameters.values()
    assert [(p.name, p.kind) for p in found][1:] == [(p.name, p.kind) for p in wanted][1:]


def test_binding_fails_as_in_python() -> None:
    """The error is Python's own, with the name of the method."""
    with pytest.raises(TypeError, match=r"^plain\(\) missing 1 required positional argument: 'b'$"):
        made("plain")(None, 1)
