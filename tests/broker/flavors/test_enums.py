"""Registered Enums: a member crosses as its value under the name of its class."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import pytest
from support.copied_classes import text
from support.memory import BrokerPair

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConfigError
from jelly.errors import CannotJelly, MalformedJelly
from jelly.registry import defaults

POLICIES = [
    policy.but(dialects=dialects)
    for policy in (STRICT, PUBLISHED)
    for dialects in (("pb",), ("msgpack/1",))
]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget what a test has registered."""
    declared = defaults.declared
    kept = dict(declared.forms), dict(declared.factories)
    yield
    declared.forms, declared.factories = kept


@broker.register("shop.Colour")
class Colour(enum.Enum):
    """As in the page on copies."""

    RED = "red"
    BLUE = "blue"


@broker.register("shop.Level")
class Level(enum.IntEnum):
    """Members that are ints."""

    LOW = 1
    HIGH = 3


@broker.register("shop.Bits")
class Bits(enum.IntFlag):
    """Flags; an IntFlag takes any int."""

    A = 1
    B = 2


@broker.register("shop.Odd")
class Odd(enum.Enum):
    """Values of other types."""

    NONE = None
    PAIR = (1, "a")

    @classmethod
    def _missing_(cls, value: object) -> Any:
        raise LookupError("secret")


class Echo(broker.Root):
    """Returns what it gets."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


MEMBERS = [Colour.RED, Colour.BLUE, Level.HIGH, Bits.A, Bits.A | Bits.B, Bits(0), *Odd]


@pytest.mark.parametrize("policy", POLICIES)
def test_members_cross(policy: Policy) -> None:
    """A member arrives as itself, anywhere; the wire has its value, and never a reference."""
    pair = BrokerPair(Echo(), policy=policy)
    for member in MEMBERS:
        sent = [member, {member: member}, {member}, (member,)]
        came = pair.call("echo", sent)
        assert came == sent
        assert came[0] is member
    pair = BrokerPair(Echo(), policy=policy)
    pair.call("echo", [Colour.RED, Colour.RED])
    wire = b"".join(pair.transport(pair.client).writes)
    assert b"shop.Colour" in wire
    assert b"dereference" not in wire


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "expression",
    [
        [b"shop.Colour", text("secret")],
        [b"shop.Colour", b"red"],
        [b"shop.Colour", [b"list"]],
        [b"shop.Level", 2],
        [b"shop.Level", [b"boolean", b"true"]],
        [b"shop.Level", 1.0],
        [b"shop.Bits", 4],
        [b"shop.Bits", -1],
        [b"shop.Bits", text("a")],
        [b"shop.Odd", 5],
    ],
)
def test_unknown_values(policy: Policy, expression: Any) -> None:
    """A value that no member has is refused; a bool or a float is not the int that it equals."""
    client = BrokerPair(policy=policy).client
    before = len(Bits._value2member_map_)
    with pytest.raises(MalformedJelly) as caught:
        client.unserialize(expression)
    assert str(caught.value) == f"unknown value of enum {expression[0].decode()}"
    assert len(Bits._value2member_map_) == before


@pytest.mark.parametrize("policy", POLICIES)
def test_one_that_is_not_registered(policy: Policy) -> None:
    """It is refused with the way out and the place."""
    other = enum.Enum("Other", {"A": 1})
    other.__module__ = "shop"
    failure = BrokerPair(Echo(), policy=policy).call("echo", [1, {"colours": [other.A]}])
    assert failure.check(CannotJelly)
    assert failure.getErrorMessage() == (
        "enum shop.Other cannot be sent: register it with @broker.register, or send its value;"
        " see 'Send your own objects' (args[0][1]['colours'][0] of 'echo')"
    )


def test_many_flags() -> None:
    """Python keeps each combination of flags, so a class with many of them is refused."""
    few = enum.IntFlag("Few", {f"F{n}": 1 << n for n in range(16)})
    assert broker.register(few, "shop.Few") is few
    many = enum.IntFlag("Many", {f"F{n}": 1 << n for n in range(17)})
    with pytest.raises(ConfigError, match="Many has more than 16 flags"):
        broker.register(many, "shop.Many")


def test_names() -> None:
    """Its name is that of one class, as of any other."""
    with pytest.raises(ConfigError, match=r"^'shop.Colour' is registered for .*Colour;"):
        broker.register(enum.Enum("Paint", {"A": 1}), "shop.Colour")
