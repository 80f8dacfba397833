"""Failures that cross: what they carry, how they are trapped, and what they are raised as."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
from support.memory import BrokerPair

from broker import errors
from broker.core.policy import PUBLISHED, STRICT
from broker.flavors.copyable import Copyable, RemoteCopy, register
from broker.flavors.failures import CopiedFailure, CopyableFailure, shown_error
from broker.flavors.referenceable import Root
from jelly.errors import MalformedJelly
from jelly.registry import defaults


@register
class Full(Exception):
    """Registered at both ends."""


class Unknown(Exception):
    """Registered nowhere."""


class Meant(errors.Error):
    """Raised on purpose, not registered."""


@register
class Carried(Copyable, RemoteCopy, errors.Error):
    """An error that is a copy."""

    code: int

    def __init__(self, code: int = 0):
        self.code = code


class Faulty(Root):
    """Raises."""

    def remote_fail(self, name: str) -> None:
        """Raise an exception by its name."""
        raise {
            "full": Full("3 of 3 taken"),
            "unknown": Unknown("password hunter2"),
            "meant": Meant("not today"),
            "carried": Carried(7),
            "key": KeyError("k"),
            "long": Full("x" * 5000),
            "surrogate": Full("\ud800"),
            "unprintable": Unprintable(),
        }[name]


class Unprintable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")


def failure_of(name: str, policy: Any = STRICT) -> Any:
    """What a caller gets of an exception."""
    return BrokerPair(Faulty(), policy=policy).call("fail", name)


def test_the_state_of_a_failure() -> None:
    """The fields that PB gives a failure, with bytes for the type."""
    state = CopyableFailure(Full("text")).getStateToCopy()
    assert list(state) == [
        "count",
        "type",
        "value",
        "captureVars",
        "tb",
        "unsafeTracebacks",
        "parents",
        "frames",
        "stack",
        "traceback",
    ]
    assert state["type"] == f"{__name__}.Full".encode()
    assert state["value"] == "text"
    assert state["parents"][0] == f"{__name__}.Full"
    assert state["traceback"] == "Traceback unavailable\n"


def test_tracebacks_only_where_asked_for() -> None:
    """A traceback crosses with ``unsafeTracebacks`` only, and is then shown as remote."""
    assert failure_of("full", PUBLISHED).traceback == "Traceback unavailable\n"
    failure = failure_of("full", PUBLISHED.but(unsafe_tracebacks=True))
    assert "remote_fail" in failure.traceback
    out = io.StringIO()
    failure.printTraceback(out)
    assert out.getvalue().startswith("Traceback from remote host -- Traceback")
    assert "remote_fail" in failure.getTraceback()
    error = failure.as_exception()
    assert "remote_fail" in error.__notes__[0]


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_registered_errors(policy: Any) -> None:
    """A registered error keeps its text, is trapped by class and name, and is raised as it."""
    failure = failure_of("full", policy)
    assert type(failure) is CopiedFailure
    assert failure.type == f"{__name__}.Full"
    assert failure.check(KeyError, Full) is Full
    assert failure.trap(f"{__name__}.Full") == f"{__name__}.Full"
    assert failure.check(KeyError, "builtins.KeyError") is None
    with pytest.raises(Full, match="3 of 3 taken"):
        failure.raiseException()
    with pytest.raises(Full):
        failure.trap(KeyError)
    assert failure.getErrorMessage() == "3 of 3 taken"
    assert str(failure) == f"[CopiedFailure instance: {__name__}.Full: 3 of 3 taken]"


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_errors_raised_on_purpose(policy: Any) -> None:
    """A pb.Error's text crosses, whether its class is registered or not."""
    failure = failure_of("meant", policy)
    assert failure.check(errors.Error)
    assert failure.check("twisted.spread.pb.Error")
    with pytest.raises(errors.RemoteError, match="not today") as caught:
        failure.raiseException()
    assert caught.value.type_name == f"{__name__}.Meant"


def test_errors_that_are_copies() -> None:
    """An exception that is a Copyable crosses as the copy that it is."""
    failure = failure_of("carried")
    assert failure.check(Carried)
    assert failure.value.code == 7


@pytest.mark.parametrize("name", ["unknown", "key", "unprintable"])
def test_strict_hides_what_nobody_registered(name: str) -> None:
    """Only an id crosses; it is in the log beside the traceback."""
    failure = failure_of(name)
    assert failure.type == "twisted.spread.pb.RemoteError"
    assert "hunter2" not in repr(vars(failure))
    assert failure.value.startswith("internal error (id ")
    with pytest.raises(errors.RemoteError, match="internal error"):
        failure.raiseException()


def test_published_shows_everything() -> None:
    """Text and type of any exception cross."""
    failure = failure_of("unknown", PUBLISHED)
    assert (failure.type, failure.value) == (f"{__name__}.Unknown", "password hunter2")
    assert failure.parents[-2:] == ["builtins.BaseException", "builtins.object"]
    with pytest.raises(errors.RemoteError, match=r"^password hunter2$"):
        failure.raiseException()


def test_texts_are_bounded() -> None:
    """Of a text 1,024 characters cross under the strict policy."""
    assert len(failure_of("long").value) == 1024


def test_a_text_that_cannot_be_sent() -> None:
    """Half of a surrogate pair is sent as an escape, and the error is what it was."""
    for policy in (STRICT, PUBLISHED):
        failure = failure_of("surrogate", policy)
        assert failure.value == "\\ud800"
        assert failure.as_exception().__class__ is Full


def test_what_is_passed_on() -> None:
    """A Failure that is on its way already is sent as it is."""
    failure = CopyableFailure(Full("x"))
    assert shown_error(failure, STRICT) == (failure, None)


def received(state: Any) -> Any:
    """What a failure of a peer becomes."""
    return BrokerPair().client.unserialize([b"twisted.spread.pb.CopyableFailure", state])


def attributes(**state: Any) -> list[Any]:
    """The expression of a state."""
    return [b"dictionary", *([[b"unicode", name.encode()], item] for name, item in state.items())]


def test_the_least_that_a_peer_may_send() -> None:
    """Missing fields have a meaning, and fields that are not known have none."""
    failure = received(attributes())
    assert (failure.type, failure.value) == ("builtins.Exception", "")
    assert failure.parents == ["builtins.Exception"]
    assert failure.frames == failure.stack == []
    assert failure.tb is None
    failure = received(attributes(check=5, raiseException=6, type=b"there.Error"))
    assert failure.check("there.Error") == "there.Error"
    with pytest.raises(errors.RemoteError):
        failure.raiseException()


@pytest.mark.parametrize("state", [5, [b"list"], [b"None"]])
def test_a_state_that_is_no_dictionary(state: Any) -> None:
    """A failure's state is a dictionary."""
    with pytest.raises(MalformedJelly, match="state of a failure is not a dictionary"):
        received(state)


def test_a_failure_without_state() -> None:
    """A tag alone is no failure."""
    with pytest.raises(MalformedJelly):
        BrokerPair().client.unserialize([b"twisted.spread.pb.CopyableFailure"])


def test_strange_fields() -> None:
    """Whatever the fields are, the failure can be shown, checked and raised."""
    strange = [b"list", 1, [b"tuple"]]
    failure = received(attributes(type=strange, value=strange, parents=5, traceback=strange))
    assert isinstance(str(failure), str)
    assert failure.check(KeyError) is None
    with pytest.raises(errors.RemoteError):
        failure.raiseException()
    many = [b"list", *[b"x"] * 100_000]
    assert len(received(attributes(parents=many)).parents) == 100


def test_kept_and_cleaned() -> None:
    """A peer's failure is the same after a pickle, and after it was asked to drop live objects.

    In its state the type is bytes, as Twisted's Broker takes a name that it passes on.
    """
    failure = received(
        attributes(type=b"there.Error", value=b"fault", parents=[b"list", b"there.Error"])
    )
    assert failure.__getstate__()["type"] == b"there.Error"
    again = pickle.loads(pickle.dumps(failure))
    failure.cleanFailure()
    assert failure.pickled
    for each in (failure, again):
        assert (each.type, each.value, each.parents) == ("there.Error", "fault", ["there.Error"])
        with pytest.raises(errors.RemoteError, match="fault"):
            each.raiseException()


def test_a_type_that_is_a_builtin() -> None:
    """A peer's name makes no exception of a class that is not registered."""
    for name in (b"builtins.SystemExit", b"builtins.KeyboardInterrupt", b"os.error"):
        with pytest.raises(errors.RemoteError):
            received(attributes(type=name, value=b"x")).raiseException()


def test_each_registered_error_can_be_raised() -> None:
    """Every error of ours that a peer may say of a call can be made from its text alone."""
    ours = {
        n: c for n, c in defaults.declared.errors.items() if not c.__module__.startswith("test")
    }
    local = {errors.DeadReferenceError, errors.PBConnectionLost}
    for name, cls in ours.items():
        failure = received(attributes(type=name.encode(), value=[b"unicode", b"text"]))
        error = failure.as_exception()
        assert type(error) is (errors.RemoteError if cls in local else cls)
        assert isinstance(str(error), str)
        assert isinstance(repr(error), str)


def test_a_connection_that_a_peer_lost() -> None:
    """It is not this connection: the error is a RemoteError, and trapped by its name."""
    state = attributes(type=b"twisted.spread.pb.PBConnectionLost", value=b"gone")
    failure = received(state)
    error: Any = failure.as_exception()
    assert type(error) is errors.RemoteError
    assert (error.remoteType, error.value) == ("twisted.spread.pb.PBConnectionLost", "gone")
    assert failure.check(errors.PBConnectionLost)
