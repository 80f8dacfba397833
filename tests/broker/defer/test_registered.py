"""Our Deferreds are registered as Twisted's, before and after Twisted is loaded."""

import gc
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.internet import defer as twisted_defer

from broker import defer
from broker.defer import registered
from broker.defer.awaiting import Bridge, TaskBridge

ROOT = Path(__file__).parents[3]


def own_program(text):
    """Run a program in a process of its own, and return what it prints."""
    run = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_registered():
    """Deferreds of ours and their subclasses, old and new, are Twisted's in both ways of asking."""

    class Mine(defer.Deferred):
        pass

    class Inner(Mine):
        pass

    for cls in (defer.Deferred, defer.DeferredList, Mine, Inner, Bridge, TaskBridge):
        assert issubclass(cls, twisted_defer.Deferred)
        assert twisted_defer._DEFERRED_SUBCLASSES.count(cls) == 1
    assert isinstance(Inner(), twisted_defer.Deferred)


@pytest.mark.parametrize("first", ["twisted.internet.defer", "broker.defer"])
def test_other_classes(first):
    """Locks, semaphores and lists are Twisted's classes of that name, whichever is loaded first."""
    told = own_program(
        f"""if 1:
        import {first}
        from broker import defer
        made = [defer.DeferredLock(), defer.DeferredSemaphore(1), defer.DeferredList([])]
        from twisted.internet import defer as theirs
        for each in made:
            print(isinstance(each, getattr(theirs, type(each).__name__)))
        print(isinstance(defer.DeferredSemaphore(1), theirs.DeferredLock))
        """
    )
    assert told.split() == ["True", "True", "True", "False"]


def test_keywords_of_subclasses():
    """A subclass may have an `__init_subclass__` of its own, which runs once a class."""
    seen = []

    class Keyed(defer.Deferred):
        def __init_subclass__(cls, key, **keywords):
            super().__init_subclass__(**keywords)
            seen.append(key)

    class Mine(Keyed, key=1):
        pass

    assert seen == [1]
    assert issubclass(Mine, twisted_defer.Deferred)


@pytest.mark.parametrize("first", ["twisted.internet.defer", "broker.defer"])
def test_whichever_is_loaded_first(first):
    """Deferreds, subclasses and objects that are older than Twisted are taken for its own."""
    text = (
        f"import {first}\n"
        "from broker import defer\n"
        "class Mine(defer.Deferred): pass\n"
        "made = [defer.Deferred(), Mine(), defer.DeferredList([])]\n"
        "from twisted.internet import defer as theirs\n"
        "print(all(theirs.maybeDeferred(lambda: each) is each for each in made))\n"
        "print(all(isinstance(each, theirs.Deferred) for each in made))\n"
    )
    assert own_program(text) == "True\nTrue\n"


def test_loaded_anew():
    """If Twisted is imported a second time, ours are of the new class."""
    text = (
        "import sys; from broker import defer; made = defer.Deferred();"
        "import twisted.internet.defer as old; del sys.modules['twisted.internet.defer'];"
        "import importlib; new = importlib.import_module('twisted.internet.defer');"
        "print(new is old, new.maybeDeferred(lambda: made) is made)"
    )
    assert own_program(text) == "False True\n"


def test_twisted_that_takes_them_for_values(monkeypatch, caplog):
    """Where a version of Twisted asks in another way, that is said as soon as it is loaded."""
    unlike = SimpleNamespace(
        Deferred=type("Deferred", (), {"register": lambda cls: None}),
        maybeDeferred=lambda function: [function()],
    )
    monkeypatch.setitem(sys.modules, "twisted.internet.defer", unlike)
    registered.register_subclass(defer.Deferred)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "asTwisted()" in record.getMessage()


def test_twisted_that_is_being_loaded(monkeypatch):
    """A class that is made while Twisted's module is being loaded is not registered yet."""
    monkeypatch.setitem(sys.modules, "twisted.internet.defer", SimpleNamespace())

    class Early(defer.Deferred):
        pass

    assert Early not in twisted_defer._DEFERRED_SUBCLASSES


def test_hidden_parts():
    """What Twisted's Deferreds use of each other beside methods is there, by old names, too."""
    for kind in ("_callbacks", "callbacks"):
        ours, waiting = defer.Deferred(), twisted_defer.succeed("before")
        waiting.pause()
        getattr(ours, kind).append(waiting._continuation())
        seen = []
        waiting.addCallback(seen.append)
        ours.callback("result")
        assert seen == ["result"]
        assert ours.result is None
    assert ours._chainedTo is None
    twisted_defer.succeed(1).chainDeferred(chained := defer.Deferred())
    assert chained.result == 1
    assert chained._chainedTo is None


def test_failure_that_twisted_takes_away(caplog):
    """A failure that Twisted has taken over is its own to report, and not reported here."""
    ours = defer.fail(KeyError("fault"))
    assert ours._debugInfo.failResult.type is KeyError
    theirs = twisted_defer.succeed(None).addCallback(lambda _, ours=ours: ours)
    assert ours.result is None
    assert ours._debugInfo.failResult is None
    del ours
    gc.collect()
    assert caplog.records == []
    assert theirs.addErrback(lambda failure: failure.type).result is KeyError


def test_the_deferreds_without_twisted():
    """All tests of Deferreds that need no Twisted pass in a process that has not loaded it."""
    names = ["aggregates", "awaiting", "chain", "deferred", "locks", "releasing", "unhandled"]
    files = [f"tests/broker/defer/test_{name}.py" for name in names]
    text = (
        "import sys, pytest\n"
        f"status = pytest.main(['-q', '-p', 'no:cacheprovider', '-n', '0', *{files!r}])\n"
        "loaded = [name for name in sys.modules if name.startswith('twisted')]\n"
        "sys.exit(str(loaded) if loaded else status)"
    )
    run = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
