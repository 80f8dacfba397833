"""Our classes as subclasses of Twisted's, which they become when Twisted is loaded."""

import subprocess
import sys

import pytest
from twisted.internet import defer as twisted_defer
from twisted.python import failure as twisted_failure

from broker import defer
from broker.failure import Failure
from broker.twisted_bases import subclass_of_twisted

ERRORS = [
    "AlreadyCalledError",
    "CancelledError",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
]


def own_program(text):
    """Run a program in a process of its own, and return what it prints."""
    run = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_deferreds(name):
    """An error of ours is caught as Twisted's of that name."""
    assert issubclass(getattr(defer, name), getattr(twisted_defer, name))
    assert set(ERRORS) == {
        each for each in defer.__all__ if isinstance(getattr(defer, each), type)
        and issubclass(getattr(defer, each), BaseException)
    }  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_names_of_bases(name):
    """What crosses as the bases of an error does not depend on Twisted being loaded."""
    cls = getattr(defer, name)
    parents = Failure(cls.__new__(cls)).parents
    text = (
        "from broker import defer; from broker.failure import Failure;"
        f"cls = defer.{name}; print(Failure(cls.__new__(cls)).parents)"
    )
    assert own_program(text).strip() == str(parents)
    assert parents[0] == f"twisted.internet.defer.{name}"
    assert all(each.startswith("builtins.") for each in parents[1:])


def test_arguments_of_errors():
    """Errors with arguments of their own keep them."""
    failure = Failure(KeyError())
    assert defer.FirstError(failure, 3).args == (failure, 3)
    assert defer.FailureGroup([failure]).args == ([failure],)
    assert defer.TimeoutError(2, "Deferred").args == (2, "Deferred")


def test_ours_override_all_of_twisted_s():
    """No method of Twisted's runs on a Failure of ours; what a new version adds is seen here."""
    theirs = twisted_failure.Failure
    inherited = {
        name
        for name in vars(theirs)
        if next(cls for cls in Failure.__mro__ if name in vars(cls)) is theirs
    }
    # These are used by nothing but Twisted's own methods, in whose stead there are ours.
    assert inherited == {"_extrapolate", "_parents", "_withoutTraceback"}


def test_objects_look_alike():
    """A class that gets a base has what objects of that base have; so have its subclasses."""
    for name in ERRORS:
        assert getattr(defer, name).__dictoffset__ == getattr(twisted_defer, name).__dictoffset__
    for cls in (Failure, defer.FirstError):

        class Mine(cls):
            __slots__ = ()

        assert Mine.__dictoffset__ == cls.__dictoffset__
        assert Mine.__weakrefoffset__ == cls.__weakrefoffset__


def test_without_twisted():
    """Without Twisted our classes have no such base, and nothing of Twisted's is imported."""
    text = (
        "import sys; from broker import pb, defer, failure;"
        "print([cls.__name__ for cls in failure.Failure.__mro__]);"
        "print([name for name in sys.modules if name.startswith('twisted')])"
    )
    expected = "['Failure', '_Raisable', 'BaseException', 'object']\n[]\n"
    assert own_program(text) == expected


@pytest.mark.parametrize("first", ["twisted.internet.defer", "broker.defer", "broker.failure"])
def test_whichever_is_loaded_first(first):
    """Ours are Twisted's whether Twisted is loaded before or after; so are older objects."""
    text = (
        f"import {first};"
        "from broker.failure import Failure; fault = Failure(KeyError());"
        "from broker import defer; error = defer.CancelledError();"
        "from twisted.internet import defer as theirs; from twisted.python import failure;"
        "print(isinstance(fault, failure.Failure), isinstance(error, theirs.CancelledError))"
    )
    assert own_program(text) == "True True\n"


def test_class_that_twisted_lacks():
    """A class that this Twisted does not have stays as it is."""

    class First(Exception):
        pass

    @subclass_of_twisted("twisted.internet.defer.NotYetWritten")
    class Ours(First):
        pass

    assert Ours.__bases__ == (First,)


def test_failure_that_is_raised():
    """Where a failure of ours is raised itself, Twisted's that is made of it is whole."""

    def fail(failure):
        raise failure

    seen = []
    deferred = twisted_defer.fail(Failure(KeyError("fault"))).addErrback(fail)
    deferred.addErrback(seen.append)
    assert type(seen[0]) is twisted_failure.Failure
    assert seen[0].check(KeyError) is KeyError
    assert seen[0].getTraceback().endswith("KeyError: 'fault'\n")


def test_failures_in_twisted_s_code():
    """A Failure of ours is a failure in each place of Twisted's that takes one."""
    failure = Failure(KeyError("fault"))
    deferreds = [
        twisted_defer.fail(failure),
        twisted_defer.succeed(failure),
        twisted_defer.maybeDeferred(lambda: failure),
        twisted_defer.succeed(None).addCallback(lambda _: failure),
    ]
    seen = []
    for deferred in deferreds:
        deferred.addErrback(seen.append)
    assert all(each is failure for each in seen)
    assert len(seen) == 4
