"""Contracts: which Protocol classes can be one, and their methods."""

# ruff: noqa: D101, D102 - contracts and methods without a purpose of their own

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sized
from typing import Protocol, TypeVar

import pytest
from zope.interface import Interface

import broker
from broker.flavors.contracts.contract import contract_of

T = TypeVar("T")
K = TypeVar("K")


class One(Protocol):
    """The first."""

    async def first(self, x: int) -> int: ...


class Two(One, Protocol):
    """The second version."""

    async def second(self) -> None: ...

    def _private(self) -> int: ...


class Store(Protocol[T]):
    async def put(self, value: T) -> list[T]: ...


class Keyed(Store[T], Protocol[K, T]):
    async def get(self, key: K) -> T: ...


class Texts(Keyed[int, str], Protocol):
    pass


def refusal(make: Callable[[], object], kind: type[Exception] = broker.ConfigError) -> str:
    """Return the text of the refusal of a contract."""
    with pytest.raises(kind) as caught:
        make()
    assert type(caught.value) is kind
    return str(caught.value)


def test_methods() -> None:
    """Those of the class and its bases, without private ones, those of the bases first."""
    contract = contract_of(Two)
    assert list(contract.methods) == ["first", "second"]
    assert (contract.title, contract.doc) == ("Two", "The second version.")
    assert contract.name == f"{__name__}.Two"
    assert contract_of(Two) is contract


def test_generic_contracts() -> None:
    """The arguments of a generic contract, or of a base, are those of its methods."""
    put = contract_of(Store[int]).methods["put"]
    assert (put.parameters[0].value.hint, put.returns) == (int, list[int])
    assert contract_of(Store[int]).name == f"{__name__}.Store[int]"
    texts = contract_of(Texts).methods
    assert list(texts) == ["put", "get"]
    assert (texts["put"].parameters[0].value.hint, texts["get"].returns) == (str, str)
    assert texts["get"].parameters[0].value.hint is int
    assert refusal(lambda: contract_of(Store)) == (
        "Store.put: value: the type variable T is not fixed"
    )


def test_the_decorator() -> None:
    """It checks at once, returns the class, and gives it a name for peers."""

    @broker.contract(name="tickets.Office")
    class Office(Protocol):
        async def f(self) -> int: ...

    assert contract_of(Office).name == "tickets.Office"
    assert Office.__name__ == "Office"

    @broker.contract
    class Other(Protocol):
        async def f(self) -> int: ...

    assert contract_of(Other).name == f"{__name__}.test_the_decorator.<locals>.Other"

    def bad() -> object:
        @broker.contract
        class Bad(Protocol):
            def f(self) -> int: ...

        return Bad

    assert refusal(bad) == ("Bad.f: make it async, or return a contract, an AsyncIterator or None")


class Attribute(Protocol):
    size: int


class WithProperty(Protocol):
    @property
    def size(self) -> int: ...


class WithStatic(Protocol):
    @staticmethod
    def f() -> None: ...


class WithClass(Protocol):
    @classmethod
    def f(cls) -> None: ...


class WithValue(Protocol):
    size = 3


class NoForm(Protocol):
    def f(self) -> int: ...


class NoResult(Protocol):
    async def f(self, x: int): ...  # type: ignore[no-untyped-def]


class NoType(Protocol):
    async def f(self, x) -> int: ...  # type: ignore[no-untyped-def]


class Streams(Protocol):
    """Streams in a list."""

    async def f(self, x: list[AsyncIterator[int]]) -> None:
        """Take them."""


class Calls(Protocol):
    async def f(self, x: Callable[[int], int]) -> None: ...


class Answers(Protocol):
    async def f(self, pbanswer: bool) -> None: ...


class Undefined(Protocol):
    async def f(self, x: Seet) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Plain:
    pass


class Unsendable(Protocol):
    async def f(self, x: Plain) -> None: ...


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        (Attribute, "Attribute.size: a contract has methods only"),
        (WithProperty, "WithProperty.size: a contract has methods only"),
        (WithStatic, "WithStatic.f: a contract has methods only"),
        (WithClass, "WithClass.f: a contract has methods only"),
        (WithValue, "WithValue.size: a contract has methods only"),
        (NoForm, "NoForm.f: make it async, or return a contract, an AsyncIterator or None"),
        (NoResult, "NoResult.f: the result has no type"),
        (NoType, "NoType.f: the parameter 'x' has no type"),
        (Streams, "Streams.f: x: a stream is a whole parameter, or a whole result"),
        (Calls, "Calls.f: x: give it a contract with one method, or use broker.callback"),
        (Answers, "Answers.f: 'pbanswer' is an argument of callRemote: name it otherwise"),
        (Undefined, "Undefined.f: 'Seet' is not defined"),
        (
            Unsendable,
            "Unsendable.f: x: a Plain cannot be sent: make it a dataclass, or register it with"
            " @broker.register",
        ),
    ],
)
def test_refusals(protocol: type, text: str) -> None:
    """The text says which method, and what to do; at the first use, or by the decorator."""
    assert refusal(lambda: broker.servant(protocol)) == text
    assert refusal(lambda: broker.contract(protocol)) == text


class IOffice(Interface):  # type: ignore[misc]
    """An interface of zope."""


def test_what_is_not_a_protocol() -> None:
    """It is a TypeError, which names the function."""
    assert refusal(lambda: broker.servant(Plain), TypeError) == (
        "servant() takes a Protocol class, not Plain"
    )
    assert refusal(lambda: broker.implements(3), TypeError) == (  # type: ignore[arg-type]
        "implements() takes a Protocol class, not int"
    )
    assert refusal(lambda: broker.interface_of(IOffice), TypeError) == (
        "interface_of() takes a Protocol class, not IOffice; pb describe --python writes one"
    )
    assert refusal(lambda: broker.contract(Plain), TypeError) == (
        "contract() takes a Protocol class, not Plain"
    )


class Sizes(Sized, Protocol):
    async def f(self) -> int: ...


def test_a_base_that_is_not_a_protocol() -> None:
    """Python takes some of its own classes as bases; they are not contracts."""
    assert refusal(lambda: contract_of(Sizes)) == "Sizes: its base Sized is not a Protocol"
