"""Contracts as TypeScript: each type, each kind of parameter, each form, and hostile text."""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import pytest
from msgspec import Meta

import broker
from broker.flavors.contracts import description as descriptions
from broker.flavors.contracts.contract import contract_of
from broker.flavors.contracts.description import (
    DescribedClass,
    DescribedContract,
    DescribedMethod,
    DescribedParameter,
    Description,
)


class Size(enum.Enum):
    """Sizes."""

    SMALL = 1
    LARGE = "l"


@dataclass
class Shirt:
    """A shirt."""

    size: Size
    price: decimal.Decimal
    tags: list[str] | None = None


class Ear(Protocol):
    """Hears."""

    def heard(self, text: str) -> None:
        """Hear."""


class Shop(Protocol):
    """Sells shirts.

    In two */ lines.
    """

    async def values(
        self,
        a: bool,
        b: float | None,
        c: dict[str, int],
        d: Mapping[int, str],
        e: set[int],
        f: tuple[int, str],
        g: tuple[int, ...],
        h: Sequence[Shirt | None],
        i: Literal["x", -1, True],
        j: Annotated[int, Meta(ge=1)],
        k: uuid.UUID,
        m: pathlib.Path,
        n: bytes,
        o: Any,
    ) -> tuple[datetime.datetime, datetime.date, datetime.time, datetime.timedelta]:
        """Take and return values."""

    async def kinds(self, default: int, more: int = 0, *, must: str, may: str = "") -> None:
        """Have each kind of parameter."""

    async def open(self, first: int = 0, *, may: int = 0, **others: int) -> list[Ear]:
        """Take any keywords."""

    async def rest(self, *rest: int | str) -> Shirt:
        """Take any arguments."""

    def ear(self, ear: Ear) -> Ear:
        """Return a reference."""

    def shirts(self) -> AsyncIterator[Shirt]:
        """Return a stream."""

    async def store(self, shirts: AsyncIterable[Shirt] | None) -> Size:
        """Take a stream."""

    def told(self, shirt: Shirt) -> None:
        """Be told."""


EXPECTED = """\
import { contract, type Decimal, type PyDate, type PyDateTime, type PyTime, type Ref, \
type RemotePromise, type RemoteReference, type Stream, type TimeDelta } from "perspective-broker";

export interface Shirt {
  size: Size;
  price: Decimal;
  tags?: string[] | null;
}

export type Size = 1 | "l";

/**
 * Sells shirts.
 *
 * In two * / lines.
 */
export interface Shop {
  /** Take and return values. */
  values(a: boolean, b: number | null, c: Record<string, number>, d: Map<number, string>, \
e: Set<number>, f: [number, string], g: number[], h: (Shirt | null)[], i: "x" | -1 | true, \
j: number, k: string, m: string, n: Uint8Array, o: any): \
RemotePromise<[PyDateTime, PyDate, PyTime, TimeDelta]>;
  /** Have each kind of parameter. */
  kinds(default_: number, more: number | undefined, kw: { must: string; may?: string }): \
RemotePromise<null>;
  /** Take any keywords. */
  open(first?: number, kw?: { may?: number; [name: string]: unknown }): \
RemotePromise<RemoteReference[]>;
  /** Take any arguments. */
  rest(...rest: (number | string)[]): RemotePromise<Shirt>;
  /** Return a reference. */
  ear(ear: Ref<Ear>): Ear;
  /** Return a stream. */
  shirts(): AsyncIterable<Shirt>;
  /** Take a stream. */
  store(shirts: Stream<Shirt> | AsyncGenerator<Shirt> | null): RemotePromise<Size>;
  /** Be told. */
  told(shirt: Shirt): void;
}
export const Shop = contract<Shop>("shop.Shop", {
  values: { form: "call" },
  kinds: { form: "call", keywords: 2 },
  open: { form: "call", keywords: 1 },
  rest: { form: "call" },
  ear: { form: "reference", of: () => Ear },
  shirts: { form: "stream" },
  store: { form: "call" },
  told: { form: "one way" },
});

/** Hears. */
export interface Ear {
  /** Hear. */
  heard(text: string): void;
}
export const Ear = contract<Ear>("shop.Ear", {
  heard: { form: "one way" },
});
"""


def described(protocol: Any) -> Description:
    """Return the description of a contract, as a peer sends it."""
    return descriptions._description([contract_of(protocol)])


def test_each_type_and_form() -> None:
    """A contract becomes an interface and a constant; its types become those of TypeScript."""
    text = described(Shop).as_typescript()
    assert text.replace(f"{__name__}.", "shop.").replace(f"{Shop.__module__}.", "shop.") == EXPECTED


async def test_a_served_object() -> None:
    """The text is made from what the peer has sent."""

    class TheEar:
        def heard(self, text: str) -> None:
            """Hear."""

    async with (
        broker.serve(broker.servant(Ear)(TheEar()), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        description = await broker.describe(connection.root)
    assert description.as_typescript() == described(Ear).as_typescript()


HOSTILE = {
    "code": "__import__('os').system('x')",
    "not an expression": "int; import os",
    "nested": "list[" * 5_000 + "]" * 5_000,
    "long": "int | " * 50_000 + "int",
    "a comment": "x */ y",
    "another class": "Evil",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_types(text: str) -> None:
    """A type that is not understood is unknown, whatever its text is."""
    parameter = DescribedParameter("a", "positional or keyword", text, False)
    method = DescribedMethod("f", "", "call", [parameter], text)
    contract = DescribedContract("x", "X", "", True, [method])
    made = Description([contract], [DescribedClass("C", f"class C:\n    a: {text}")])
    assert "  f(a: unknown): RemotePromise<unknown>;" in made.as_typescript()


def test_hostile_names() -> None:
    """A name that is not one of an interface is left out; one of a method is quoted."""
    method = DescribedMethod('f"(): void; g', "", "call", [], "int")
    good = DescribedContract("x\n", "X", "", True, [method])
    bad = DescribedContract("y", "Y { evil", "", True, [])
    text = Description([good, bad], [DescribedClass("a b", "")]).as_typescript()
    assert "evil" not in text
    assert '  "f\\"(): void; g"(): RemotePromise<number>;' in text
    assert 'contract<X>("x\\n", {' in text
