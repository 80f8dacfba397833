"""Values that do not cross are refused with the way out; nothing silently changes its type."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import uuid
from collections.abc import Hashable
from typing import Any, NamedTuple

import pytest
from support.memory import BrokerPair

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from jelly.errors import CannotJelly
from jelly.refusals import cannot_be_sent, not_registered

SEE = "; see 'Send your own objects'"


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


class Level(enum.IntEnum):
    """An enum whose members are ints."""

    HIGH = 3


class Word(enum.StrEnum):
    """An enum whose members are strings."""

    YES = "yes"


class Bits(enum.IntFlag):
    """Flags."""

    A = 1


class Pair(NamedTuple):
    """A tuple with names."""

    a: int
    b: int


class Text(str):
    """A str."""

    __slots__ = ()


class Number(int):
    """An int."""


class Items(list[Any]):
    """A list."""


class Moment(datetime.datetime):
    """A datetime."""


class Plain:
    """None of these."""


HERE = __name__
REGISTER = "cannot be sent: register it with @broker.register, or send its value"
VALUES: list[tuple[Any, str]] = [
    (Colour.RED, f"enum {HERE}.Colour {REGISTER}"),
    (Level.HIGH, f"enum {HERE}.Level {REGISTER}"),
    (Word.YES, f"enum {HERE}.Word {REGISTER}"),
    (Bits.A, f"enum {HERE}.Bits {REGISTER}"),
    (ipaddress.ip_address("::1"), "ipaddress.IPv6Address cannot be sent: send str(value)"),
    (ipaddress.ip_address("127.0.0.1"), "ipaddress.IPv4Address cannot be sent: send str(value)"),
    (ipaddress.ip_network("10.0.0.0/8"), "ipaddress.IPv4Network cannot be sent: send str(value)"),
    (fractions.Fraction(1, 3), "fractions.Fraction cannot be sent: send str(value)"),
    (datetime.UTC, "datetime.timezone cannot be sent: send str(value)"),
    (re.compile("x"), "re.Pattern cannot be sent: send value.pattern"),
    (1j, "builtins.complex cannot be sent: send (value.real, value.imag)"),
    (KeyError("x"), "builtins.KeyError cannot be sent: raise it, or send str(value)"),
    (
        len,
        "builtins.builtin_function_or_method cannot be sent: wrap it in broker.callback",
    ),
    (range(3), "builtins.range cannot be sent: send list(value)"),
    ({}.items(), "builtins.dict_items cannot be sent: send list(value)"),
    (collections.deque([1]), "collections.deque cannot be sent: send list(value)"),
    (Pair(1, 2), f"a tuple of class {HERE}.Pair cannot be sent: send tuple(value)"),
    (Text("x"), f"a str of class {HERE}.Text cannot be sent: send str(value)"),
    (Number(1), f"an int of class {HERE}.Number cannot be sent: send int(value)"),
    (Items([1]), f"a list of class {HERE}.Items cannot be sent: send list(value)"),
    (
        collections.OrderedDict(a=1),
        "a dict of class collections.OrderedDict cannot be sent: send dict(value)",
    ),
    (
        Moment(2026, 1, 2),
        f"a datetime of class {HERE}.Moment cannot be sent: send a datetime",
    ),
    (
        Plain(),
        f"{HERE}.Plain cannot be sent: make it Copyable to send a copy, or Referenceable to send a"
        " reference",
    ),
]
IDS = [type(value).__name__ for value, _ in VALUES]
POLICIES = [
    policy.but(dialects=dialects)
    for policy in (STRICT, PUBLISHED)
    for dialects in (("pb",), ("msgpack/1",))
]


class Echo(broker.Root):
    """Returns what it is called with, or a value that cannot be sent."""

    value: Any = None

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_give(self) -> Any:
        """Return the other one."""
        return self.value


@pytest.mark.parametrize(("value", "text"), VALUES, ids=IDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_what_does_not_cross(value: Any, text: str, policy: Policy) -> None:
    """As an argument, inside one, and as an answer the value is refused, with what to send."""
    echo = Echo()
    pair = BrokerPair(echo, policy=policy)
    arguments = [
        (value, "args[0]"),
        ([1, (value,)], "args[0][1][0]"),
        ({"key": value}, "args[0]['key']"),
    ]
    if isinstance(value, Hashable):
        sets: list[Any] = [{value}, frozenset([value])]
        arguments += [({value: 1}, "a key of args[0]")]
        arguments += [(each, "an element of args[0]") for each in sets]
    for argument, place in arguments:
        failure = pair.call("echo", argument)
        assert failure.check(CannotJelly)
        assert failure.getErrorMessage() == f"{text}{SEE} ({place} of 'echo')"
    echo.value = [value]
    assert pair.call("give").check(CannotJelly)
    assert pair.call("echo", 1) == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_paths(policy: Policy) -> None:
    """So it is with paths, whose class depends on the system and on the version of Python."""
    pair = BrokerPair(Echo(), policy=policy)
    for path in (pathlib.Path("/etc"), pathlib.PureWindowsPath("c:\\x")):
        failure = pair.call("echo", path)
        assert failure.getErrorMessage().endswith(
            f"Path cannot be sent: send str(path){SEE} (args[0] of 'echo')"
        )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "value",
    [datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), datetime.time(1, tzinfo=datetime.UTC)],
)
def test_times_with_a_zone(value: Any, policy: Policy) -> None:
    """A zone crosses in a datetime of msgpack/1; else the text says what to send instead."""
    if isinstance(value, datetime.datetime) and policy.dialects == ("msgpack/1",):
        assert_crosses(value, policy)
        return
    failure = BrokerPair(Echo(), policy=policy).call("echo", [value])
    assert failure.check(CannotJelly)
    assert "send it in UTC without tzinfo, or as text" in failure.getErrorMessage()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "value",
    [True, 1, 1.0, "x", b"x", None, (1,), [1], {1: 2}, {1}, frozenset([1]), decimal.Decimal("1.10"),
     datetime.datetime(2026, 1, 2), datetime.date(2026, 1, 2), datetime.timedelta(1),
     uuid.UUID(int=5), uuid.UUID(int=2**128 - 1)],
)  # fmt: skip
def test_what_crosses_keeps_its_type(value: Any, policy: Policy) -> None:
    """What crosses comes back as the same value of the same type, alone and inside another."""
    assert_crosses(value, policy)


def assert_crosses(value: Any, policy: Policy) -> None:
    """Check that a value comes back as it is, alone and inside another."""
    pair = BrokerPair(Echo(), policy=policy)
    for sent in (value, [value], {"key": (value,)}):
        came = pair.call("echo", sent)
        assert (came, type(came)) == (sent, type(sent))
    assert type(pair.call("echo", [value])[0]) is type(value)


@pytest.mark.parametrize("policy", POLICIES)
def test_buffers(policy: Policy) -> None:
    """A bytearray and a memoryview cross as bytes, copied when the call is made."""
    pair = BrokerPair(Echo(), policy=policy)
    data = bytearray(b"abc")
    deferred = pair.root.callRemote("echo", [data, memoryview(data)[::-2]])
    data[0] = 120
    came = pair.get(deferred)
    assert (came, type(came[0])) == ([b"abc", b"ca"], bytes)


@pytest.mark.parametrize("policy", POLICIES)
def test_uuids_are_values(policy: Policy) -> None:
    """A UUID may be a key and a member, and is not shared; the wire has its 16 bytes."""
    pair = BrokerPair(Echo(), policy=policy)
    one = uuid.UUID(int=7)
    sent = {one: {one}, "list": [one, one]}
    assert pair.call("echo", sent) == sent
    wire = b"".join(pair.transport(pair.client).writes)
    assert wire.count(one.bytes) == 4
    assert b"dereference" not in wire


def test_classes_of_numpy_without_numpy() -> None:
    """Of a scalar or an array of numpy the text names what makes plain values of it."""
    generic = type("generic", (), {"__module__": "numpy"})
    for base, way in (
        ("floating", "float(value)"),
        ("integer", "int(value)"),
        ("x", "value.item()"),
    ):
        kind = type("float64", (type(base, (generic,), {}),), {"__module__": "numpy"})
        assert str(cannot_be_sent(kind())) == f"numpy.float64 cannot be sent: send {way}{SEE}"
    array = type("ndarray", (), {"__module__": "numpy"})()
    assert str(cannot_be_sent(array)) == f"numpy.ndarray cannot be sent: send value.tolist(){SEE}"


@pytest.mark.parametrize(
    ("tag", "hint"),
    [(b"chat.Message", True), ("Message", True), (b"module", False), (b"a b", False),
     (b"a" * 65, False), (b"\xff.x", False), (b'x"y', False)],
)  # fmt: skip
def test_types_that_may_not_come_in(tag: Any, hint: bool) -> None:
    """The text shows how to register a class, where the name could be that of one."""
    text = str(not_registered(tag))
    assert text.isprintable()
    assert ("register a class under that name: @broker.register(" in text) is hint
