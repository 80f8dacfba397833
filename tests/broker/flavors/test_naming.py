"""The names of registered classes: which may be given, and that both directions use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.memory import BrokerPair

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConfigError
from broker.failure import Failure, wire_name
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
    kept = dict(declared.classes), dict(declared.errors)
    yield
    declared.classes, declared.errors = kept


def note_class(module: str = __name__) -> Any:
    """Return a new class that is both ends of a copy, as if it were of that module."""

    @dataclass
    class Note(broker.Copyable, broker.RemoteCopy):
        text: str

    Note.__module__ = module
    return Note


class Echo(broker.Root):
    """Returns what it gets, and raises what it is told."""

    def __init__(self, error: Any = None):
        self.error = error

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_raise(self) -> None:
        """Raise it."""
        raise self.error("none left")


WAYS: list[Callable[[Any], Any]] = [
    lambda cls: broker.register(cls, "chat.Note"),
    lambda cls: broker.register(cls, name="chat.Note"),
    broker.register("chat.Note"),
    broker.register(name="chat.Note"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("module", [__name__, "__main__", "chat_server"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_copy_crosses_by_its_name(way: Any, module: str, policy: Policy) -> None:
    """A name goes out and comes in, whatever the module is called when the program runs."""
    cls = note_class(module)
    assert way(cls) is cls
    pair = BrokerPair(Echo(), policy=policy)
    assert pair.call("echo", [cls("hi")]) == [cls("hi")]
    wire = b"".join(pair.transport(pair.client).writes)
    assert b"chat.Note" in wire
    assert module.encode() + b".Note" not in wire


@pytest.mark.parametrize("base", [broker.Error, Exception])
@pytest.mark.parametrize("policy", POLICIES)
def test_an_error_crosses_by_its_name(base: type[Exception], policy: Policy) -> None:
    """An error under a name arrives as its class, and is caught as that."""

    @broker.register("shop.SoldOut")
    class SoldOut(base):  # type: ignore[misc, valid-type]
        pass

    failure = BrokerPair(Echo(SoldOut), policy=policy).call("raise")
    assert (failure.type, failure.value) == ("shop.SoldOut", "none left")
    assert failure.check(SoldOut) is SoldOut
    assert failure.check("shop.SoldOut") == "shop.SoldOut"
    assert failure.check(base) is base
    assert failure.as_exception().__class__ is SoldOut
    assert Failure(SoldOut()).check(SoldOut)


def test_a_subclass_has_a_name_of_its_own() -> None:
    """A name is that of one class, not of those that are derived from it."""
    cls = broker.register(note_class(), "chat.Note")
    sub = type("Sub", (cls,), {})
    assert (wire_name(cls), wire_name(sub)) == ("chat.Note", f"{__name__}.Sub")


@pytest.mark.parametrize("module", ["__main__", "__mp_main__", "__application__"])
def test_a_program_is_no_name(module: str) -> None:
    """A class of the program itself needs a name, and the error shows how to give one."""
    with pytest.raises(ConfigError) as caught:
        broker.register(note_class(module))
    assert str(caught.value) == (
        f"Note is defined in {module}, whose name differs from program to program; name it:"
        ' @broker.register("app.Note")'
    )


@pytest.mark.parametrize("name", ["a", "chat.Note", "a" * 128, "A-b_c.9", "Note"])
def test_names(name: str) -> None:
    """Letters, digits, underscores, dots and hyphens make a name, after a letter."""
    cls = broker.register(note_class(), name)
    assert BrokerPair(Echo()).call("echo", cls("x")) == cls("x")


@pytest.mark.parametrize(
    "name", ["", "1a", ".a", "a b", "a\n", "a" * 129, "zoë", "list", "unicode", "remote", "cached"]
)
def test_no_names(name: str) -> None:
    """Anything else is refused where the class is registered, and so are the tags of the wire."""
    with pytest.raises(ConfigError, match="cannot be the name of Note"):
        broker.register(note_class(), name)
    with pytest.raises(ConfigError, match="cannot be the name of Note"):
        broker.register(name=name)(note_class())


def test_a_name_is_taken_once() -> None:
    """A second class under a name is refused; the same one, or its module loaded anew, is not."""
    cls = broker.register(note_class(), "chat.Note")
    broker.register(cls, "chat.Note")
    broker.register(note_class(), "chat.Note")

    class Other(broker.Error):
        pass

    with pytest.raises(ConfigError, match=r"^'chat.Note' is registered for .*note_class.*Note;"):
        broker.register(Other, "chat.Note")
    broker.register(Other, "chat.Other")
    with pytest.raises(ConfigError, match=r"^'chat.Other' is registered for .*Other"):
        broker.register(note_class(), "chat.Other")
    with pytest.raises(ConfigError, match=r"is registered for broker.errors.Error"):
        broker.register(Other, "twisted.spread.pb.Error")


def test_misuse() -> None:
    """What is neither a class nor a name is a TypeError in words."""
    for wrong in ((), (5,), (lambda: None, "a.b"), ("a.b", "a.c")):
        with pytest.raises(TypeError, match="register takes a class"):
            broker.register(*wrong)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="is built in and keeps its own name"):
        broker.register(KeyError, "my.KeyError")


def test_a_copy_without_a_name_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A copy of the program's own module goes out all the same, with one warning a class."""
    cls = note_class("__main__")
    pair = BrokerPair(Echo(), policy=STRICT)
    for _ in range(3):
        pair.call("echo", cls("x"))
    warnings = [each.getMessage() for each in caplog.records if "only this program" in each.message]
    assert warnings == [
        "__main__.Note is sent under a name that only this program has; name the class:"
        ' @broker.register("app.Note")'
    ]


def test_a_named_copy_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With a name, or a getTypeToCopy of its own, there is nothing to warn of."""

    class Own(broker.Copyable):
        def getTypeToCopy(self) -> str:
            return "chat.Own"

    Own.__module__ = "__main__"
    named = broker.register(note_class("__main__"), "chat.Note")
    pair = BrokerPair(Echo(), policy=STRICT)
    pair.call("echo", [named("x"), Own()])
    assert "only this program" not in caplog.text
