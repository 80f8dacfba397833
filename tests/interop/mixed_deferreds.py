"""Deferreds of this library in each place where Twisted's code may get one, on Twisted's reactor.

Run as ``mixed_deferreds.py``. It prints one JSON line for each use in Twisted, kind of Deferred and
state of it: the three names and the result. A case that never ends, or spins, ends the program
after a few seconds.
"""

# ruff: noqa: D103, E402 - the names describe them; code that runs before Twisted is loaded is first

from __future__ import annotations

import functools
import gc
import json
import logging
import os
import signal
import sys

from broker import defer
from broker.failure import Failure

BEFORE = [defer.Deferred() for _ in range(200)]
FIRED_BEFORE = [defer.succeed(["a value"]) for _ in range(40)]
FAILED_BEFORE = [defer.fail(KeyError("a fault")) for _ in range(40)]


class MineBefore(defer.Deferred):
    """A subclass of the program, defined before Twisted is loaded in this process."""


assert not any(name.startswith("twisted") for name in sys.modules)

from twisted.internet import defer as twisted_defer
from twisted.internet import reactor, task
from twisted.python import log
from twisted.python.failure import Failure as TwistedFailure
from uses_in_twisted import NOT_CANCELLED, WAYS

VALUE = ["a value"]
SECONDS = 5


class Mine(defer.Deferred):
    """A subclass of the program."""


# Kinds of Deferreds of this library. Each function gets a canceller. It returns the Deferred, and
# the Deferred to fire for it, which may be one of Twisted's.


def plain(canceller):
    deferred = defer.Deferred(canceller)
    return deferred, deferred


def before(canceller):
    """Made before Twisted was loaded."""
    deferred = BEFORE.pop()
    deferred._canceller = canceller
    return deferred, deferred


def subclass(canceller):
    deferred = Mine(canceller)
    return deferred, deferred


def subclass_before(canceller):
    deferred = MineBefore(canceller)
    return deferred, deferred


def chained(canceller):
    source = defer.Deferred(canceller)
    return defer.succeed(None).addCallback(lambda _: source), source


def on_twisted(canceller):
    """Waits for a Twisted Deferred."""
    source = twisted_defer.Deferred(canceller)
    return defer.succeed(None).addCallback(lambda _: source), source


def generator(canceller):
    source = defer.Deferred(canceller)

    @defer.inlineCallbacks
    def run():
        result = yield source
        return result

    return run(), source


def coroutine(canceller):
    source = defer.Deferred(canceller)

    async def run():
        return await source

    return defer.ensureDeferred(run()), source


def coroutine_on_twisted(canceller):
    source = twisted_defer.Deferred(canceller)

    async def run():
        return await source

    return defer.maybeDeferred(run), source


def gathered(canceller):
    source = defer.Deferred(canceller)
    together = defer.DeferredList([source], fireOnOneErrback=True, consumeErrors=True)
    together.addCallbacks(lambda pairs: pairs[0][1], lambda failure: failure.value.subFailure)
    return together, source


def locked(canceller):
    """The result of a call that a lock runs."""
    source = defer.Deferred(canceller)
    return defer.DeferredLock().run(lambda: source), source


KINDS = (
    plain,
    before,
    subclass,
    subclass_before,
    chained,
    on_twisted,
    generator,
    coroutine,
    coroutine_on_twisted,
    gathered,
    locked,
)
STATES = ("fired", "later", "failed", "fails later", "cancelled")


def brought_to(state, source):
    """Fire the source as the state says, now or in a moment."""
    if state == "fired":
        source.callback(VALUE)
    elif state == "later":
        reactor.callLater(0.001, source.callback, VALUE)
    elif state == "failed":
        source.errback(KeyError("a fault"))
    elif state == "fails later":
        reactor.callLater(0.001, source.errback, KeyError("a fault"))


def told(result):
    """Return the result as JSON; for a failure, what both Twisted and this library report of it."""
    if not isinstance(result, TwistedFailure):
        return result
    kinds = {
        "KeyError": KeyError,
        "Twisted's CancelledError": twisted_defer.CancelledError,
        "our CancelledError": defer.CancelledError,
    }
    caught = sorted(name for name, kind in kinds.items() if isinstance(result.value, kind))
    trapped = sorted(name for name, kind in kinds.items() if result.check(kind))
    ours = sorted(name for name, kind in kinds.items() if Failure.of(result).check(kind))
    assert caught == trapped == ours, (caught, trapped, ours)
    return trapped


def spins(case, number, frame):
    """Report the case that spins, and end at once."""
    print(json.dumps([*case, "it did not end"]), flush=True)
    os._exit(1)


async def run(way, kind, state):
    """Return the result of one case."""
    cancelled = []
    ours, source = kind(cancelled.append)
    brought_to(state, source)
    if state == "cancelled":
        source.addErrback(lambda failure: failure)
    outer = way(ours)
    assert isinstance(outer, twisted_defer.Deferred)
    if state == "cancelled":
        assert not outer.called or outer.paused
        outer.cancel()
        assert cancelled == [source], cancelled
    result = await outer.addBoth(lambda result: [told(result)])
    return result[0]


async def main(reactor):
    logged = []
    log.startLoggingWithObserver(
        lambda event: logged.append(event) if event["isError"] else None, 0
    )
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    for way in WAYS:
        for kind in KINDS:
            for state in STATES:
                if state == "cancelled" and way in NOT_CANCELLED:
                    continue
                case = [way.__name__, kind.__name__, state]
                signal.signal(signal.SIGALRM, functools.partial(spins, case))
                signal.alarm(SECONDS)
                try:
                    seen = await run(way, kind, state)
                except Exception as error:
                    seen = f"raised {error!r}"
                print(json.dumps([*case, [seen, [str(each)[:500] for each in logged]]]), flush=True)
                logged.clear()
    signal.alarm(0)
    await older()
    gc.collect()
    print(json.dumps(["logged", "in", "the end", [str(each)[:500] for each in logged]]), flush=True)


async def older():
    """A Deferred with its result before Twisted was loaded, in each of these places."""
    for way in WAYS:
        case = [way.__name__, "before"]
        seen = await way(FIRED_BEFORE.pop()).addBoth(lambda result: [told(result)])
        print(json.dumps([*case, "fired before", [seen[0], []]]), flush=True)
        seen = await way(FAILED_BEFORE.pop()).addBoth(lambda result: [told(result)])
        print(json.dumps([*case, "failed before", [seen[0], []]]), flush=True)


task.react(lambda reactor: twisted_defer.ensureDeferred(main(reactor)))
