"""What a peer gets to see of an exception of ours, and of another connection."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.memory import PUBLISHED_WIRE, BrokerPair
from support.told_failures import BUILTINS, SAID, Relay, called, is_raised_as, shown

from broker import errors
from broker.core.calls.dispatch import note_raised
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import Error, NoSuchMethod, WrongArguments
from broker.failure import qual
from broker.flavors.copyable import Copyable, register
from broker.flavors.failures import CopiedFailure, shown_error
from broker.flavors.referenceable import Referenceable, Root
from cred import error as cred_error
from jelly.registry import defaults


class Refused(Error):
    """An error of the application that no registry knows."""


class RefusedToday(Refused):
    """One more of them, on a base that no registry knows either."""


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (
            WrongArguments("two"),
            ["broker.errors.WrongArguments", "builtins.TypeError", *BUILTINS],
        ),
        (
            NoSuchMethod("none"),
            ["twisted.spread.flavors.NoSuchMethod", "builtins.AttributeError", *BUILTINS],
        ),
        (
            Refused("no"),
            [f"{__name__}.Refused", "twisted.spread.pb.Error", *BUILTINS],
        ),
    ],
    ids=["wrong arguments", "no such method", "unregistered pb.Error"],
)
def test_builtin_bases_are_shown(error: Exception, parents: list[str]) -> None:
    """Under the strict policy a peer can trap an error by its builtin base too."""
    state = shown(error)
    assert (parents, parents[0].encode(), str(error)) == (
        state["parents"],
        state["type"],
        state["value"],
    )


def test_bases_that_are_not_registered_are_not_shown() -> None:
    """Of a registered error, a base that is neither registered nor a builtin stays at home."""
    parents = [f"{__name__}.RefusedToday", "twisted.spread.pb.Error", *BUILTINS]
    assert parents == shown(RefusedToday("no"))["parents"]


def test_a_hidden_error_is_a_remote_error() -> None:
    """Of an exception that is not registered a peer sees a RemoteError, which is an Exception."""
    state = shown(ZeroDivisionError("secret"))
    assert ["twisted.spread.pb.RemoteError", *BUILTINS] == state["parents"]
    assert state["type"] == b"twisted.spread.pb.RemoteError"
    assert "secret" not in str(state)


def test_the_published_policy_shows_all_bases() -> None:
    """The published policy shows every exception as it is."""
    state = shown(ZeroDivisionError("by zero"), PUBLISHED)
    assert ["builtins.ZeroDivisionError", "builtins.ArithmeticError", *BUILTINS] == state["parents"]
    assert state["value"] == "by zero"


POLICIES = [
    pytest.param(STRICT, id="strict"),
    pytest.param(PUBLISHED, id="published"),
    pytest.param(PUBLISHED_WIRE, id="strict, pb"),
    pytest.param(PUBLISHED.but(dialects=("pb", "none")), id="published, pb"),
]


class Lost(errors.PBConnectionLost):
    """An application's own kind of it, registered."""


register(Lost)


class Hooked(Relay):
    """Takes calls itself, and hands them on."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Do what the default does."""
        return super().remoteMessageReceived(broker, message, args, kw)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", ["raise", "with_graph", "later", "deferred"])
def test_a_method_speaks_of_another_connection(error: Any, policy: Any, way: str) -> None:
    """What it raises is a RemoteError with that remoteType, and trapped by its name."""
    args = (Referenceable(),) if way == "with_graph" else ()
    for relay in (Relay, Hooked):
        # A new one each time: what was raised once is noted.
        root = relay(type(error)("x"))
        failure = called(root, policy, way, *args)
        made = failure.as_exception()
        assert type(made) is errors.RemoteError
        assert (made.type_name, made.value) == (qual(type(error)), "x")
        assert isinstance(made.remoteType, bytes if policy.published_errors else str)
        assert failure.check(type(error)) is type(error)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_peer_refuses(policy: Any) -> None:
    """What the peer itself says of this call is raised as the class."""

    class Unsendable(Copyable):
        pass

    for root in (Relay(), Hooked()):
        for cls, name, args in (
            (errors.NoSuchMethod, "nothing", ()),
            (errors.WrongArguments, "raise", (1,)),
            (errors.WrongArguments, "raise", (Referenceable(),)),
            (errors.InsecureJelly, "ask", (Unsendable(), "x")),
            (errors.CannotJelly, "unsendable", ()),
        ):
            made = called(root, policy, name, *args).as_exception()
            assert is_raised_as(made, cls, policy)
    large = called(Relay(), policy, "large", 17 * 1024 * 1024)
    assert is_raised_as(large.as_exception(), errors.TooLarge, policy)
    pair = BrokerPair(Relay(), policy=policy)
    pair.server.drain()
    assert is_raised_as(pair.call("raise").as_exception(), errors.ServerDraining, policy)
    pair = BrokerPair(Relay(), policy=policy.but(max_calls=0))
    assert is_raised_as(pair.call("raise").as_exception(), errors.ServerBusy, policy)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("way", ["ask", "ask_later"])
def test_what_another_peer_refuses(policy: Any, way: str) -> None:
    """A refusal of another peer's is a RemoteError further on; so is what its method raised."""
    for other, name, kind in (
        (Relay(), "nothing", "twisted.spread.flavors.NoSuchMethod"),
        (Relay(errors.ServerBusy("x")), "raise", "broker.errors.ServerBusy"),
        (Relay(errors.PBConnectionLost("x")), "raise", "twisted.spread.pb.PBConnectionLost"),
    ):
        failure = called(Relay(), policy, way, other, name)
        made = failure.as_exception()
        assert type(made) is errors.RemoteError
        assert made.type_name == kind
        assert failure.check(kind)


@pytest.mark.parametrize("policy", POLICIES)
def test_errors_of_an_application_are_what_they_are(policy: Any) -> None:
    """A registered subclass, and what says nothing of a call, arrive as the class."""
    for error in (Lost("x"), errors.Error("x")):
        made = called(Relay(error), policy, "raise").as_exception()
        assert is_raised_as(made, type(error), policy)


def test_an_unmarked_error() -> None:
    """A peer that marks nothing, as Twisted's, refuses calls with the names that it has."""
    for name, cls in (
        (b"twisted.spread.flavors.NoSuchMethod", errors.NoSuchMethod),
        (b"twisted.spread.pb.PBConnectionLost", errors.RemoteError),
        (b"twisted.spread.pb.DeadReferenceError", errors.RemoteError),
    ):
        failure = CopiedFailure.__new__(CopiedFailure)
        failure.setCopyableState({"type": name, "value": "x"})
        assert type(failure.as_exception()) is cls


def test_what_a_twisted_peer_gets() -> None:
    """The fields of PB come first; ours stand behind them, and only where there are any."""
    state = shown(errors.ServerBusy("x"))
    assert list(state)[-1] == "traceback"
    busy = errors.ServerBusy("x")
    note_raised(busy)
    assert list(shown(busy))[-2:] == ["traceback", "raised"]
    assert list(shown(errors.TooManyAttempts("x", after=5.0)))[-2:] == ["traceback", "fields"]


NAMES = {
    errors.NoSuchMethod: "twisted.spread.flavors.NoSuchMethod",
    errors.WrongArguments: "broker.errors.WrongArguments",
    errors.NoSuchObject: "broker.errors.NoSuchObject",
    errors.NoSuchFile: "broker.errors.NoSuchFile",
    errors.FileRefused: "broker.errors.FileRefused",
    errors.InsecureJelly: "twisted.spread.jelly.InsecureJelly",
    errors.MalformedJelly: "jelly.errors.MalformedJelly",
    errors.LimitExceeded: "jelly.errors.LimitExceeded",
    errors.CannotJelly: "jelly.errors.CannotJelly",
    errors.TooLarge: "jelly.errors.TooLarge",
    errors.ProtocolError: "twisted.spread.pb.ProtocolError",
    errors.TooSlow: "broker.errors.TooSlow",
    errors.NameLost: "broker.errors.NameLost",
    errors.NameTaken: "broker.errors.NameTaken",
    errors.BrokenPromise: "broker.errors.BrokenPromise",
    errors.CallTimeout: "broker.errors.CallTimeout",
    errors.ServerBusy: "broker.errors.ServerBusy",
    errors.ServerDraining: "broker.errors.ServerDraining",
    errors.TooManyAttempts: "broker.errors.TooManyAttempts",
    errors.LoginExpired: "broker.errors.LoginExpired",
    errors.ResultLost: "broker.errors.ResultLost",
    errors.PBConnectionLost: "twisted.spread.pb.PBConnectionLost",
    errors.DeadReferenceError: "twisted.spread.pb.DeadReferenceError",
    errors.RemoteError: "twisted.spread.pb.RemoteError",
    errors.Error: "twisted.spread.pb.Error",
    cred_error.Unauthorized: "twisted.cred.error.Unauthorized",
    cred_error.LoginFailed: "twisted.cred.error.LoginFailed",
    cred_error.UnauthorizedLogin: "twisted.cred.error.UnauthorizedLogin",
    cred_error.UnhandledCredentials: "twisted.cred.error.UnhandledCredentials",
    cred_error.LoginDenied: "twisted.cred.error.LoginDenied",
    cred_error.LoginUnavailable: "cred.error.LoginUnavailable",
}


def test_the_names_are_those_of_the_protocol() -> None:
    """The names are constants of the protocol; a class that moves to another module keeps its own.

    The page of the messages has each of them.
    """
    assert {cls: qual(cls) for cls in NAMES} == NAMES
    for cls, name in NAMES.items():
        if cls is not errors.RemoteError:
            assert defaults.declared.errors[name] is cls
    page = (Path(__file__).parents[3] / "docs/reference/wire/messages.md").read_text("utf-8")
    assert [name for name in NAMES.values() if f"`{name}`" not in page] == []


def test_every_error_that_is_registered_has_a_name_here() -> None:
    """An error of this library that crosses under a name of its own is in the list."""
    ours = ("broker.", "jelly.", "cred.", "twisted.")
    program = (
        "import broker.login.accept, broker.login.client, jelly.registry as r;"
        f"print([n for n in r.defaults.declared.errors if n.startswith({ours})])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(ast.literal_eval(done.stdout)) <= set(NAMES.values())


def test_what_a_peer_of_ours_gets() -> None:
    """In msgpack/1 a failure has only what is read; the roots of all exceptions are left out."""
    busy = errors.ServerBusy("x", after=2.0)
    failure, _ = shown_error(busy, STRICT, is_brief=True)
    assert failure.getStateToCopy() == {
        "type": b"broker.errors.ServerBusy",
        "value": "x",
        "parents": ["broker.errors.ServerBusy", "twisted.spread.pb.Error", "builtins.Exception"],
        "traceback": "Traceback unavailable\n",
        "fields": {"after": 2.0},
    }
    pair = BrokerPair(Relay(errors.ServerBusy("x")), policy=STRICT.but(dialects=("msgpack/1",)))
    failure = pair.call("raise")
    assert failure.check(BaseException) is BaseException
    assert failure.parents[-2:] == ["builtins.BaseException", "builtins.object"]
    frame = b"".join(pair.transport(pair.server).writes)
    assert b"count" not in frame
    assert b"BaseException" not in frame


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
def test_fields_of_our_own_errors(policy: Any, dialect: str) -> None:
    """ServerBusy and ServerDraining tell when and where the call may be repeated."""

    class Busy(Root):
        remoteMessageReceived = lambda self, *args: self.refuse()  # noqa: E731

        def refuse(self) -> None:
            raise self.error

    root = Busy()
    for fault, fields in (
        (errors.ServerBusy, {"after": 2.0}),
        (errors.ServerDraining, {"after": 0.5, "elsewhere": ("pb://there",)}),
    ):
        assert (fault("x").after, getattr(fault("x"), "elsewhere", ())) == (0.0, ())
        root.error = fault("x", **fields)
        made = called(root, policy.but(dialects=(dialect,)), "any").as_exception()
        assert made.__class__ is fault
        assert {name: getattr(made, name) for name in fields} == fields
    with pytest.raises(TypeError, match=r"^ServerBusy has no field 'lef'$"):
        errors.ServerBusy("x", lef=1)


def test_the_id_of_an_internal_error() -> None:
    """A text without the place of the log gets one where it is printed, not on the wire."""
    text = "internal error (id 7f3a9c21)"
    remote = errors.RemoteError("twisted.spread.pb.RemoteError", text)
    assert str(remote) == f"{text}; the log of the other side has it under that id"
    assert remote.value == text
    assert str(errors.RemoteError("x", text + " and more")) == text + " and more"
