"""Failure: what it keeps, what it answers, and what its class is called on the wire."""

import importlib
import io
import pickle
import sys

import pytest
from twisted.cred import error as twisted_cred
from twisted.internet import error as twisted_internet
from twisted.python import failure as twisted_failure
from twisted.python.reflect import qual as twisted_qual

import broker.errors
from broker.failure import (
    PUBLISHED_NAMES,
    Failure,
    NoCurrentExceptionError,
    qual,
)


def divide(by):
    """Raise, for 0, in a frame that has a local variable."""
    secret = "kept"
    return 1 / by, secret


def failing(captureVars=False):
    """Return the Failure of an exception that was raised two frames deep."""
    try:
        divide(0)
    except ZeroDivisionError:
        return Failure(captureVars=captureVars)


@pytest.mark.parametrize("published", PUBLISHED_NAMES.values())
def test_published_name(published):
    """Every published name is what Twisted itself calls that class on the wire."""
    module, _, name = published.rpartition(".")
    assert published == twisted_qual(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    "ours", [name for name in PUBLISHED_NAMES if not name.startswith(("cred.", "broker.flavors."))]
)
def test_our_name(ours):
    """Every name of ours in the table leads to a class, and that class has the published name."""
    module, _, name = ours.rpartition(".")
    assert PUBLISHED_NAMES[ours] == qual(getattr(importlib.import_module(module), name))
    assert list(PUBLISHED_NAMES.values()).count(PUBLISHED_NAMES[ours]) == 1


def test_unpublished_names():
    """A class that is not published has its own dotted name."""
    assert qual(ValueError) == "builtins.ValueError"


def test_current_exception():
    """Without arguments a Failure is of the exception being handled, with its traceback."""
    failure = failing()
    assert isinstance(failure.value, ZeroDivisionError)
    assert failure.type is ZeroDivisionError
    assert [frame[0] for frame in failure.frames] == ["failing", "divide"]
    assert failure.stack == []


def test_no_current_exception():
    """Without arguments and exception, making a Failure says so."""
    with pytest.raises(NoCurrentExceptionError):
        Failure()


def test_of_failure():
    """A Failure of a Failure is the same failure, also while one is being raised."""
    first = failing()
    try:
        raise first
    except Failure:
        second = Failure()
    assert (first.value, first.tb) == (second.value, second.tb)
    assert Failure.of(first) is first


def test_of_exception():
    """An exception is wrapped, and keeps the traceback that it has."""
    failure = failing()
    again = Failure.of(failure.value)
    assert again.value is failure.value
    assert again.tb is failure.tb


def test_of_twisted_failure():
    """A Failure of Twisted's is converted with its value, type, traceback and parents."""
    try:
        divide(0)
    except ZeroDivisionError:
        theirs = twisted_failure.Failure()
    theirs.parents = ["some.where.Else"]
    ours = Failure.of(theirs)
    assert type(ours) is Failure
    assert (theirs.value, theirs.type, theirs.tb) == (ours.value, ours.type, ours.tb)
    assert ours.check("some.where.Else") == "some.where.Else"


def test_of_twisted_failure_of_ours():
    """A class of ours in a Failure of Twisted's is trapped as anywhere: by either of its names."""
    ours = Failure.of(twisted_failure.Failure(broker.errors.NoSuchMethod("text")))
    assert Failure(ours.value).parents == ours.parents
    for kind in (broker.errors.NoSuchMethod, "twisted.spread.flavors.NoSuchMethod"):
        assert ours.check(kind) == kind


def test_twisted_is_not_imported(monkeypatch):
    """Where Twisted has not been imported, nothing can be a Failure of Twisted's."""
    monkeypatch.delitem(sys.modules, "twisted.python.failure")
    thing = object()
    assert Failure.of(thing).value is thing


def test_any_object_fails():
    """An object that is no exception can fail; what is raised for it is the Failure."""
    failure = Failure("text")
    assert failure.type is str
    with pytest.raises(Failure) as caught:
        failure.raiseException()
    assert caught.value is failure


def test_parents():
    """The parents are the wire names of the class and all its bases."""
    assert Failure(broker.errors.ConnectionAborted()).parents == [
        "twisted.internet.error.ConnectionAborted",
        "twisted.internet.error.ConnectionLost",
        "twisted.internet.error.ConnectionClosed",
        "builtins.Exception",
        "builtins.BaseException",
        "builtins.object",
    ]


def test_parents_of_a_named_type():
    """A type that is only a name, as one from a peer, is its own parent."""
    failure = Failure("text", "peer.Error")
    assert failure.parents == ["peer.Error"]
    assert failure.check("peer.Error") == "peer.Error"


@pytest.mark.parametrize("raised", [broker.errors.ConnectionLost, twisted_internet.ConnectionLost])
@pytest.mark.parametrize(
    "asked",
    [
        broker.errors.ConnectionLost,
        twisted_internet.ConnectionLost,
        "broker.errors.ConnectionLost",
        "twisted.internet.error.ConnectionLost",
        Exception,
        "builtins.Exception",
    ],
)
def test_check_in_all_pairings(raised, asked):
    """A class of ours or of Twisted's is found by either class and by either name."""
    failure = Failure(raised())
    assert failure.check(KeyError, asked) == asked
    assert failure.trap(asked) == asked


@pytest.mark.parametrize("asked", ["cred.error.UnauthorizedLogin", "cred.error.LoginFailed"])
def test_check_finds_cred_by_our_names(asked):
    """An exception of twisted.cred is found by the name of our class."""
    assert Failure(twisted_cred.UnauthorizedLogin()).check(asked) == asked


def test_check_of_others():
    """What is not asked for is not found, and trap raises the original exception."""
    failure = failing()
    assert failure.check(KeyError, "builtins.KeyError", int) is None
    with pytest.raises(ZeroDivisionError) as caught:
        failure.trap(KeyError)
    assert caught.value is failure.value


def test_raising_twice_keeps_the_traceback():
    """Raising a failure again and again does not make its traceback longer."""
    failure = failing()
    depths = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as caught:
            failure.raiseException()
        depths.append(len(Failure(caught.value).frames))
    assert depths == depths[:1] * 3


def test_throw_into_generator():
    """The exception is thrown into a generator, and what that yields comes back."""

    def generator():
        try:
            yield 1
        except ZeroDivisionError:
            yield 2

    steps = generator()
    next(steps)
    assert failing().throwExceptionIntoGenerator(steps) == 2


def test_default_traceback():
    """The traceback looks as Python prints it."""
    lines = failing().getTraceback().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-3].startswith(f'  File "{__file__}", line ')
    assert lines[-3].endswith(", in divide")
    assert lines[-2:] == [
        "    return 1 / by, secret",
        "builtins.ZeroDivisionError: division by zero",
    ]


def test_traceback_without_frames():
    """An exception that was never raised has no frames to show."""
    failure = Failure(ValueError("odd"))
    assert failure.getTraceback().splitlines()[-1] == "Failure: builtins.ValueError: odd"
    assert failure.getBriefTraceback() == (
        "Traceback (failure with no frames): <class 'ValueError'>: odd\n"
    )


def test_brief_traceback():
    """The brief traceback has a line for each frame."""
    lines = failing().getBriefTraceback().splitlines()
    assert lines[0] == "Traceback: <class 'ZeroDivisionError'>: division by zero"
    assert [line.rsplit(":", 1)[1] for line in lines[1:]] == ["failing", "divide"]


def test_detailed_traceback():
    """The detailed traceback shows variables if they were captured, and says so if not."""
    for captured in (True, False):
        out = io.StringIO()
        failing(captured).printDetailedTraceback(out)
        assert ("  secret : 'kept'" in out.getvalue()) is captured
        assert ("captureVars=True" in out.getvalue()) is not captured


def test_unknown_detail():
    """An unknown level of detail is refused."""
    with pytest.raises(ValueError, match="not 'long'"):
        failing().getTraceback(detail="long")


def test_default_file(capsys):
    """Tracebacks go to standard error by default."""
    failing().printBriefTraceback()
    assert "division by zero" in capsys.readouterr().err


def test_chained_failure():
    """A failure whose value is a failure prints both."""
    failure = Failure(ValueError())
    failure.value = failing()
    assert failure.getErrorMessage() == "division by zero"
    assert "(chained Failure)" in failure.getTraceback()


def test_texts():
    """str() and repr() name the exception and its text."""
    failure = Failure(ValueError("odd"))
    assert repr(failure) == "<broker.failure.Failure builtins.ValueError: odd>"
    assert str(failure).startswith("[Failure instance: Traceback")
    assert str(failure).endswith("]")


def test_broken_texts():
    """An exception whose texts cannot be had does not hide the failure."""

    class Broken(Exception):
        def __str__(self):
            raise KeyError

        __repr__ = __str__

    failure = Failure(Broken(), captureVars=True)
    assert failure.getErrorMessage() == "<Broken whose str() raised KeyError>"
    try:
        broken = Broken()
        divide(0)
    except ZeroDivisionError:
        failure = Failure(captureVars=True)
    assert "<Broken whose repr() raised KeyError>" in failure.getTraceback(detail="verbose")
    assert broken is not None


def test_clean_failure():
    """A cleaned failure has names, lines and texts, and no live objects."""
    failure = failing(captureVars=True)
    before = failure.getTraceback()
    failure.cleanFailure()
    assert failure.tb is None
    assert failure.getTracebackObject() is None
    assert failure.value.__traceback__ is None
    assert failure.pickled
    assert before == failure.getTraceback()
    assert ("secret", "'kept'") in failure.frames[-1][3]


def test_pickle():
    """A pickled failure comes back with its value, parents and frames."""
    failure = failing()
    copy = pickle.loads(pickle.dumps(failure))
    assert isinstance(copy.value, ZeroDivisionError)
    assert failure.getTraceback() == copy.getTraceback()
    assert copy.parents == failure.parents
