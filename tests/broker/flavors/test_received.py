"""Errors that are of a registered class and RemoteErrors: whatever the class is, both are true."""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import gc
import pickle
import traceback
import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import pytest
from support.memory import BrokerPair

import broker.login.errors  # noqa: F401 - registers the errors of logins
from broker import errors
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import Error, RemoteError
from broker.failure import Failure, wire_name
from broker.flavors.copyable import register
from broker.flavors.failures import CopiedFailure
from broker.flavors.received import as_received, received_class
from broker.flavors.referenceable import Referenceable, Root
from cred import error as cred_error
from jelly.fields import fields_of
from jelly.registry import defaults

T = TypeVar("T")
MADE: list[str] = []


class Plain(Exception):
    """An exception."""


class Meant(Error):
    """Raised on purpose."""


class Wanting(Exception):
    """Has a constructor that wants more than the text."""

    def __init__(self, row: str, left: int):
        super().__init__(f"{left} in {row}")
        self.left = left


class Absent(OSError):
    """Has a layout of its own."""


class Missing(KeyError):
    """Prints itself as the repr of its text."""


class Slotted(Exception):
    """Has a slot."""

    __slots__ = ("row",)
    row: str


class Bare(Exception):
    """Has no slot, and no weak references."""

    __slots__ = ()


@dataclasses.dataclass
class Data(Exception):
    """A dataclass."""

    row: str
    left: int = 0


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """A dataclass that cannot be changed."""

    row: str


@dataclasses.dataclass(slots=True)
class SlottedData(Exception):
    """A dataclass with slots."""

    row: str


class Final(Exception):
    """Refuses subclasses."""

    def __init_subclass__(cls, **options: Any) -> None:
        raise TypeError("final")


class Meta(type):
    """Notes what is made, and refuses subclasses."""

    def __new__(cls, name: str, bases: Any, names: Any) -> Any:
        """Note it."""
        MADE.append(name)
        if len(bases) > 1:
            raise TypeError("final")
        return super().__new__(cls, name, bases, names)


class OfMeta(Exception, metaclass=Meta):
    """Has a metaclass of its own."""


class Abstract(Exception, abc.ABC):
    """Has the metaclass ABCMeta."""


class Of(Exception, Generic[T]):
    """Is generic."""


class Printing(Exception):
    """Has a text of its own."""

    def __str__(self) -> str:
        return f"own {super().__str__()}"


class Reducing(Exception):
    """Has a way of its own to be pickled."""

    def __reduce__(self) -> Any:
        return Reducing, ("again",)


class Guarded(Exception):
    """Refuses to be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


class Named(Error):
    """Has fields with the names that a RemoteError's attributes have."""

    value: int
    method: str = "own"

    @property
    def remoteType(self) -> str:
        """Be its own."""
        return "own"


class Choosy(Exception):
    """Makes instances of no other class."""

    def __new__(cls, *args: Any) -> Any:
        """Refuse another class."""
        if cls is not Choosy:
            raise ValueError("no")
        return super().__new__(cls, *args)


FIELDS: dict[type, dict[str, Any]] = {
    Data: {"row": "A", "left": 2},
    Frozen: {"row": "A"},
    SlottedData: {"row": "A"},
    Slotted: {"row": "A"},
    Named: {"value": 5},
}
CLASSES: list[Any] = [
    *(Plain, Meant, Wanting, Absent, Missing, Slotted, Bare, Data, Frozen, SlottedData, Final),
    *(OfMeta, Abstract, Of, Printing, Guarded, Named),
]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Register the classes, for the time of a test."""
    kept = dict(defaults.declared.errors), set(defaults.declared.with_fields)
    for cls in (*CLASSES, Reducing, Choosy):
        register(cls)
    yield
    defaults.declared.errors, defaults.declared.with_fields = kept


def failure_of(cls: Any, policy: Any = PUBLISHED, text: str = "text") -> CopiedFailure:
    """Return what a peer sends of an error."""
    names = [wire_name(base) for base in cls.__mro__]
    state = {"type": names[0].encode(), "value": text, "parents": names}
    return CopiedFailure.received({**state, "fields": FIELDS.get(cls, {})}, policy)


def both(cls: Any) -> tuple[Any, Any]:
    """Return the error as a strict connection has it, and as a published one."""
    return failure_of(cls, STRICT).as_exception(), failure_of(cls).as_exception()


@pytest.mark.parametrize("cls", [*CLASSES, *errors.CONDITIONS, cred_error.UnauthorizedLogin])
def test_it_is_both(cls: Any) -> None:
    """It is caught as either; all that is asked of it is what it was without being both."""
    plain, error = both(cls)
    if cls in (errors.DeadReferenceError, errors.PBConnectionLost):
        # Only this end says that.
        assert type(error) is RemoteError
        return
    assert type(plain) is cls
    assert not isinstance(plain, RemoteError)
    for caught in (RemoteError, *cls.__mro__):
        if not issubclass(caught, BaseException):
            continue
        with pytest.raises(caught):
            raise error
    assert isinstance(error, cls) and issubclass(type(error), cls)
    assert error.__class__ is cls
    assert (str(error), repr(error), error.args) == (str(plain), repr(plain), plain.args)
    assert fields_of(error) == fields_of(plain)
    if dataclasses.is_dataclass(cls):
        assert error == plain
    kind: Any = type(error)
    assert (kind.__name__, kind.__qualname__) == (cls.__name__, cls.__qualname__)
    assert (kind.__module__, kind.__doc__) == (cls.__module__, cls.__doc__)
    assert wire_name(kind) == wire_name(cls)
    shown = "".join(traceback.format_exception_only(error))
    assert shown == "".join(traceback.format_exception_only(plain))


@pytest.mark.parametrize("cls", CLASSES)
def test_it_knows_what_the_peer_sent(cls: Any) -> None:
    """It has the attributes of a RemoteError, but those that its class has itself."""
    _, error = both(cls)
    assert error.type_name == wire_name(cls)
    assert error.remoteTraceback == "Traceback unavailable\n"
    if cls is Named:
        assert (error.value, error.method, error.remoteType) == (5, "own", "own")
    else:
        assert (error.value, error.method) == ("text", "")
        assert error.remoteType == wire_name(cls).encode()


@pytest.mark.parametrize("cls", CLASSES)
def test_its_copies_are_both(cls: Any) -> None:
    """So it is when it was pickled or copied."""
    _, error = both(cls)
    for made in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(made) is type(error)
        assert (str(made), made.args, fields_of(made)) == (str(error), error.args, fields_of(error))
        assert made.remoteTraceback == error.remoteTraceback


def test_a_way_of_its_own_to_be_pickled() -> None:
    """It is asked; and what it makes is both again."""
    made = pickle.loads(pickle.dumps(both(Reducing)[1]))
    assert (made.__class__, isinstance(made, RemoteError)) == (Reducing, True)
    assert made.args == ("again",)


def test_there_is_one_class() -> None:
    """It is made once for each registered class, and none of that class's own code runs."""
    MADE.clear()
    assert type(both(OfMeta)[1]) is type(both(OfMeta)[1])
    assert MADE == []
    assert type(both(Plain)[1]) is received_class(Plain) is not Plain
    assert received_class(RemoteError) is RemoteError
    assert received_class(KeyError) is received_class(KeyError) is not KeyError

    class Sub(Plain):
        pass

    assert received_class(Sub) is not received_class(Plain)


def test_it_goes_with_the_registered_class() -> None:
    """Nothing else keeps it, nor the class."""

    def make() -> Any:
        class Passing(Exception):
            def __reduce__(self) -> Any:
                # Without one, ``copyreg`` keeps the class.
                return Passing, ()

        register(Passing)
        error = failure_of(Passing).as_exception()
        assert isinstance(error, RemoteError)
        del defaults.declared.errors[wire_name(Passing)]
        defaults.declared.with_fields.discard(Passing)
        del defaults.declared.types[Passing]
        return weakref.ref(Passing), weakref.ref(type(error))

    refs = make()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_a_class_that_allows_no_other() -> None:
    """Where Python or the class does not let it be both, it is of the registered class."""
    assert type(both(Choosy)[1]) is Choosy
    error = Plain("x")
    assert isinstance(as_received(error, RemoteError(b"a.B", "x")), RemoteError)


def test_a_subclass_of_remote_error() -> None:
    """A registered class that is a RemoteError already is left as it is."""

    class Own(RemoteError):
        pass

    register(Own, "app.Own")
    error = failure_of(Own).as_exception()
    assert type(error) is Own
    assert (str(error), error.remoteType, error.value) == ("text", b"app.Own", "text")


def test_by_its_class_before_remote_error() -> None:
    """What goes by the order of bases finds the registered class first."""

    @functools.singledispatch
    def kind(error: Any) -> str:
        return "?"

    kind.register(RemoteError, lambda error: "remote")
    kind.register(Plain, lambda error: "plain")
    assert kind(both(Plain)[1]) == "plain"


# Failures.


@pytest.mark.parametrize("cls", CLASSES)
def test_a_failure_is_trapped_by_both(cls: Any) -> None:
    """``trap`` and ``check`` find either, in the order in which they are given."""
    failure = failure_of(cls)
    assert failure.check(cls) is cls
    assert failure.trap(RemoteError) is RemoteError
    assert failure.check(KeyboardInterrupt, RemoteError, cls) is RemoteError
    assert failure.check(KeyboardInterrupt, cls, RemoteError) is cls
    for name in ("twisted.spread.pb.RemoteError", "broker.errors.RemoteError"):
        assert failure.check(name) == name
    assert failure_of(cls, STRICT).check(RemoteError) is None
    kept = Failure(failure.as_exception())
    assert kept.check(RemoteError) is RemoteError
    assert kept.check(cls) is cls
    assert kept.type is cls
    with pytest.raises(RemoteError):
        failure.trap(KeyboardInterrupt)


def test_names_are_text() -> None:
    """Of a failure the type is a str, and so are the bases."""
    failure = failure_of(Plain)
    assert failure.type == wire_name(Plain)
    assert failure.parents[0] == wire_name(Plain)
    assert str(failure) == f"[CopiedFailure instance: {wire_name(Plain)}: text]"
    assert failure.text_for_log().endswith(f"{wire_name(Plain)}: text\n")
    assert wire_name(Plain) in repr(failure)
    strict = failure_of(Plain, STRICT)
    assert strict.type == wire_name(Plain)


def test_remote_errors() -> None:
    """A RemoteError is made as Twisted's is; its text is the value."""
    error = RemoteError(b"a.B", "text", "the traceback")
    assert (error.remoteType, error.remoteTraceback) == (b"a.B", "the traceback")
    assert (str(error), error.args, error.type_name) == ("text", ("text",), "a.B")
    assert RemoteError("a.B", "text", "").remoteType == "a.B"
    assert str(RemoteError(b"\xff", "", "")) == ""
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


# What is raised again.


class Relay(Root):
    """Raises what it has been raised."""

    def __init__(self, error: Any = None):
        self.error = error

    def remote_raise(self) -> None:
        """Raise."""
        raise self.error

    async def remote_ask(self, other: Any) -> Any:
        """Let what another raises pass."""
        return await other.callRemote("raise")

    async def remote_ask_for_nothing(self, other: Any) -> Any:
        """Let what another refuses pass."""
        return await other.callRemote("nothing")


class Asked(Referenceable):
    """Raises."""

    def remote_raise(self) -> None:
        """Raise an error with a field."""
        raise Data("A", 2)


@pytest.mark.parametrize("policy", [PUBLISHED, PUBLISHED.but(dialects=("pb",))])
def test_it_is_passed_on(policy: Any) -> None:
    """A method that lets it pass raises the registered class for its caller, with its fields."""
    failure = BrokerPair(Relay(), policy=policy).call("ask", Asked())
    error = failure.as_exception()
    assert (error.__class__, error.row, error.left) == (Data, "A", 2)
    assert isinstance(error, RemoteError)
    refused = BrokerPair(Relay(), policy=policy).call("ask_for_nothing", Asked())
    # It is said of another call.
    assert type(refused.as_exception()) is RemoteError
    assert refused.check(errors.NoSuchMethod)
