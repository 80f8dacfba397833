"""Errors made again at a peer: their fields, what is refused, and what is a RemoteError instead."""

from __future__ import annotations

import copy
import logging
import pickle
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from support.memory import PUBLISHED_WIRE, BrokerPair

from broker.core.policy import PUBLISHED, STRICT
from broker.errors import ConfigError, Error, RemoteError, TooManyAttempts
from broker.flavors.copyable import Copyable, RemoteCopy, register
from broker.flavors.failures import CopiedFailure
from broker.flavors.referenceable import Referenceable, Root
from cred.error import UnauthorizedLogin
from jelly.registry import defaults


@register
@dataclass
class Seat(Copyable, RemoteCopy):
    """A copy that a field may hold."""

    row: str


@register
class SoldOut(Error):
    """Fields by annotation, set by keywords."""

    LIMIT: ClassVar[int] = 3
    row: Any
    left: int = 0


@register
class Wanting(Exception):
    """A constructor with arguments of its own, and fields by annotation."""

    row: str
    left: int

    def __init__(self, row: str, left: int):
        super().__init__(row, left)
        self.row, self.left = row, left

    def __str__(self) -> str:
        return f"{self.left} left in row {self.row}"


@register
@dataclass
class Data(Exception):
    """A dataclass; its hook does not run at the peer."""

    row: str
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.args = (f"row {self.row}",)


@register
@dataclass(frozen=True)
class Frozen(Exception):
    """A frozen dataclass."""

    row: str


@register
class Undeclared(Exception):
    """Prints what it does not declare."""

    def __init__(self, left: int):
        super().__init__("text")
        self.left = left

    def __str__(self) -> str:
        return f"{self.left} left"


@register
class Missing(Exception):
    """Declares a field, and never sets it."""

    left: int


@register
class Absent(OSError):
    """An OSError, whose arguments Python reads."""


class Shop(Root):
    """Raises what the test wants."""

    def __init__(self, error: Exception):
        self.error = error

    def remote_buy(self) -> None:
        """Raise."""
        raise self.error

    async def remote_order(self) -> None:
        """Raise later."""
        raise self.error


POLICIES = [
    pytest.param(STRICT, id="strict"),
    pytest.param(PUBLISHED, id="published"),
    pytest.param(PUBLISHED_WIRE, id="strict, pb"),
    pytest.param(PUBLISHED.but(dialects=("pb", "none")), id="published, pb"),
]


def failed(error: Exception, policy: Any = STRICT, name: str = "buy") -> CopiedFailure:
    """Return what the caller gets of an error."""
    failure = BrokerPair(Shop(error), policy=policy).call(name)
    assert type(failure) is CopiedFailure
    return failure


def arrived(error: Exception, policy: Any = STRICT) -> Any:
    """Return what the caller has raised."""
    return failed(error, policy).as_exception()


@pytest.mark.parametrize("policy", POLICIES)
def test_fields_cross(policy: Any) -> None:
    """A registered error arrives with its text and its declared fields."""
    error = arrived(SoldOut("none in row A", row="A", left=2), policy)
    assert error.__class__ is SoldOut
    assert isinstance(error, RemoteError) is policy.published_errors
    assert (str(error), error.args, error.row, error.left) == (
        "none in row A", ("none in row A",), "A", 2,
    )  # fmt: skip
    assert type(arrived(SoldOut("x", row=Seat("A")), policy).row) is Seat
    wanting = arrived(Wanting("A", 2), policy)
    assert (wanting.__class__, str(wanting), wanting.left) == (Wanting, "2 left in row A", 2)
    data = arrived(Data("A", ["x"]), policy)
    assert (data.__class__, str(data), data.row, data.tags) == (Data, "row A", "A", ["x"])
    assert arrived(Frozen("A"), policy).row == "A"
    assert arrived(Absent(2, "no such file"), policy).__class__ is Absent


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "error", [SoldOut("x", row="A"), Wanting("A", 2), Data("A"), Frozen("A"), Absent("gone")]
)
def test_what_arrives_can_be_used(error: Exception, policy: Any) -> None:
    """It is printed, copied, pickled and raised, and so are its copies."""
    first: Any = arrived(error, policy)
    for made in (first, copy.copy(first), pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):
        assert (made.__class__, str(made), repr(made)) == (type(error), str(first), repr(first))
        assert type(made) is type(first)
        assert {n: v for n, v in vars(made).items() if n[0] != "_"} == {
            n: v for n, v in vars(first).items() if n[0] != "_"
        }
        with pytest.raises(type(error)):
            raise made
    again = pickle.loads(pickle.dumps(failed(error, policy)))
    assert str(again.as_exception()) == str(first)


def test_an_error_of_ones_own_is_pickled() -> None:
    """Python would call the constructor with the text."""
    made = pickle.loads(pickle.dumps(Wanting("A", 2)))
    assert (made.args, made.left) == (("A", 2), 2)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_does_not_fit_is_a_remote_error(policy: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An error that could not be printed, or lacks a field, arrives as a RemoteError."""
    for error, text in ((Undeclared(5), "5 left"), (Missing("text"), "text")):
        with caplog.at_level(logging.WARNING, "broker.errors"):
            made = arrived(error, policy)
        assert type(made) is RemoteError
        assert made.type_name == f"{__name__}.{type(error).__name__}"
        assert made.value == text
        assert "cannot be recreated as" in caplog.text


def received(name: str, **fields: Any) -> Any:
    """Return what a failure of a peer's with these fields is raised as."""
    state = [b"dictionary", [[b"unicode", b"type"], f"{__name__}.{name}".encode()]]
    inner = [b"dictionary", *([[b"unicode", k.encode()], v] for k, v in fields.items())]
    state.append([[b"unicode", b"fields"], inner])
    failure = BrokerPair().client.unserialize([b"twisted.spread.pb.CopyableFailure", state])
    return failure.as_exception()


@pytest.mark.parametrize("name", ["LIMIT", "other", "args", "__class__", "with_traceback"])
def test_fields_that_are_not_declared(name: str) -> None:
    """A peer sets no attribute that the class does not declare."""
    assert type(received("SoldOut", row=1)) is SoldOut
    made = received("SoldOut", row=1, **{name: 1})
    assert type(made) is RemoteError
    assert SoldOut.LIMIT == 3


def test_fields_that_are_no_dict() -> None:
    """Whatever stands there, the error can be raised."""
    state = [b"dictionary", [[b"unicode", b"fields"], [b"list", 1]]]
    failure = BrokerPair().client.unserialize([b"twisted.spread.pb.CopyableFailure", state])
    assert failure.fields == {}
    assert type(failure.as_exception()) is RemoteError


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("item", [Referenceable(), "\ud800", object(), 10**1000])
def test_fields_that_cannot_be_sent(
    policy: Any, item: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An error goes without its fields if one cannot be sent, and the sender logs that."""
    for name in ("buy", "order"):
        with caplog.at_level(logging.WARNING, "broker.errors"):
            pair = BrokerPair(Shop(SoldOut("none", row=item)), policy=policy)
            failure = pair.call(name)
        assert (failure.type, failure.value) == (f"{__name__}.SoldOut", "none")
        if item == 10**1000:
            continue
        assert failure.fields == {}
        assert f"the fields of {__name__}.SoldOut are not sent" in caplog.text
        assert not pair.server.session.translator.exports


def test_fields_beyond_a_limit_of_the_dialect(caplog: pytest.LogCaptureFixture) -> None:
    """What only the writer refuses is left out too."""
    with caplog.at_level(logging.WARNING, "broker.errors"):
        failure = failed(SoldOut("none", row=bytes(700_000)), PUBLISHED_WIRE)
    assert (failure.value, failure.fields) == ("none", {})
    assert "are not sent" in caplog.text


def test_hidden_errors_hide_their_fields() -> None:
    """A class that is not registered sends no fields, under any policy."""

    class Unknown(Error):
        secret: str

    for policy in (STRICT, PUBLISHED):
        failure = failed(Unknown("text", secret="hunter2"), policy)
        assert "hunter2" not in repr(vars(failure))
    wrong = UnauthorizedLogin("wrong")
    wrong.reason = "unknown user"
    assert "unknown user" not in repr(vars(failed(wrong)))


def test_fields_are_passed_on() -> None:
    """An error of another peer's keeps its fields on its way, raised or returned."""

    class Asking(Root):
        def remote_ask(self, other: Any) -> Any:
            return other.callRemote("buy")

        async def remote_ask_async(self, other: Any) -> Any:
            return await other.callRemote("buy")

    for name in ("ask", "ask_async"):
        pair = BrokerPair(Asking())
        assert pair.call(name, Shop(SoldOut("x", row="A"))).as_exception().row == "A"


def test_errors_of_ours_have_fields() -> None:
    """TooManyAttempts tells when to try again."""
    assert TooManyAttempts("try again in 5 s").after == 0.0
    assert TooManyAttempts("try again in 5 s", after=5.0).after == 5.0


# Errors with fields, where they are raised.


def test_keywords() -> None:
    """A missing or unknown field is a TypeError; the text is what is given, or the fields."""
    with pytest.raises(TypeError, match=r"^SoldOut has no field 'lef'$"):
        SoldOut("x", row="A", lef=1)
    with pytest.raises(TypeError, match=r"^SoldOut lacks the field 'row'$"):
        SoldOut("x")
    assert str(SoldOut(row="A")) == "row='A', left=0"
    assert str(SoldOut("x", row="A")) == "x"
    assert len(str(SoldOut(row="x" * 10_000_000))) < 500
    assert str(Error("x", 1)) == "('x', 1)"
    assert str(Error()) == ""


def test_an_error_that_was_not_registered() -> None:
    """Its fields may be set later, as programs for Twisted do."""

    class Later(Error):
        row: str

    error = Later("x")
    error.row = "A"
    assert (str(error), Later("x", row="B").row) == ("x", "B")
    with pytest.raises(TypeError, match="has no field"):
        Later("x", left=1)


# What register refuses.


class NewArguments(Exception):
    """Its ``__new__`` wants more than the text."""

    def __new__(cls, row: str, left: int) -> NewArguments:
        """Take two."""
        return super().__new__(cls, row, left)


class Other(Exception):
    """Its ``__new__`` makes something else."""

    def __new__(cls, *args: Any) -> Any:
        """Return another."""
        return KeyError(*args)


@pytest.mark.parametrize(
    "cls",
    [
        NewArguments,
        Other,
        ExceptionGroup,
        type("Group", (ExceptionGroup,), {}),
        BaseExceptionGroup,
        BaseException,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        StopIteration,
        StopAsyncIteration,
        UnicodeDecodeError,
        SyntaxError,
    ],
)
def test_register_refuses(cls: Any) -> None:
    """A class that a peer could not make again is refused where it is defined."""
    with pytest.raises(ConfigError, match="cannot be made again at a peer: "):
        register(cls)
    assert cls not in defaults.declared.errors.values()
    assert cls not in defaults.declared.with_fields
