"""Deferreds of this library in each place where Twisted's code may get one, on Twisted's reactor.

Run as ``mixed_deferreds.py``. It prints one JSON line for each use in Twisted, kind of Deferred and
state of it: the three names and the result. A case that never ends, or spins, ends the program
after a few seconds.
"""

# ruff: noqa: D101, D102, D103, E402 - the names describe them; code that runs before Twisted is
# loaded is first

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

from twisted.application.service import MultiService, Service
from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import Anonymous, IAnonymous
from twisted.cred.portal import IRealm, Portal
from twisted.internet import base, reactor, task, threads
from twisted.internet import defer as twisted_defer
from twisted.internet.task import Clock
from twisted.python import log
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import Interface, implementer

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

# Uses in Twisted. Each function gets a Deferred of this library and returns a Twisted Deferred with
# the same result.


@twisted_defer.inlineCallbacks
def yielded(ours):
    result = yield ours
    return result


@twisted_defer.inlineCallbacks
def yielded_from(ours):
    result = yield from ours
    return result


@twisted_defer.inlineCallbacks
def yielded_and_caught(ours):
    """The exception is caught in the generator, and raised again."""
    try:
        result = yield ours
    except KeyError as error:
        assert error.args == ("a fault",)
        raise
    except twisted_defer.CancelledError as error:
        assert isinstance(error, defer.CancelledError)
        raise
    return result


def awaited(ours):
    async def run():
        return await ours

    return twisted_defer.ensureDeferred(run())


def awaited_and_caught(ours):
    async def run():
        try:
            return await ours
        except (KeyError, twisted_defer.CancelledError) as error:
            raise error

    return twisted_defer.Deferred.fromCoroutine(run())


def awaited_deep(ours):
    """Coroutines in coroutines, two of which await the same Deferred."""

    async def inner():
        return await ours

    async def outer():
        first = await inner()
        assert await inner() is first
        return first

    return twisted_defer.ensureDeferred(outer())


def ensured(ours):
    return twisted_defer.ensureDeferred(ours)


def as_coroutine(ours):
    """Used as a coroutine, which it also is."""
    return twisted_defer.Deferred.fromCoroutine(ours)


def maybe(ours):
    return twisted_defer.maybeDeferred(lambda: ours)


def of_callback(ours):
    return twisted_defer.succeed(None).addCallback(lambda _: ours)


def of_errback(ours):
    return twisted_defer.fail(ValueError()).addErrback(lambda _: ours)


def of_later_callback(ours):
    outer = twisted_defer.Deferred().addCallback(lambda _: ours)
    outer.callback(None)
    return outer


def of_two_callbacks(ours):
    """A Deferred that waits for ours is itself waited for."""
    inner = twisted_defer.succeed(None).addCallback(lambda _: ours)
    return twisted_defer.succeed(None).addCallback(lambda _: inner)


def paused(ours):
    ours.pause()
    outer = twisted_defer.succeed(None).addCallback(lambda _: ours)
    reactor.callLater(0.002, ours.unpause)
    return outer


def listed(ours):
    together = twisted_defer.DeferredList([ours], consumeErrors=True)
    return together.addCallback(lambda pairs: pairs[0][1])


def gathered_by_twisted(ours):
    together = twisted_defer.gatherResults([ours], consumeErrors=True)
    return together.addCallbacks(lambda all_: all_[0], lambda failure: failure.value.subFailure)


def raced(ours):
    raced = twisted_defer.race([ours])
    return raced.addCallbacks(lambda pair: pair[1], only_failure)


def only_failure(failure):
    if failure.check(twisted_defer.FailureGroup):
        return failure.value.failures[0]
    return failure


def chain_deferred(ours):
    outer = twisted_defer.Deferred(lambda _: ours.cancel())
    ours.chainDeferred(outer)
    return outer


def chained_to_ours(ours):
    """Twisted's chainDeferred fires our Deferred, which is given to Twisted again."""
    outer = defer.Deferred(lambda _: ours.cancel())
    twisted_defer.maybeDeferred(lambda: ours).addBoth(twisted_defer.passthru)
    twisted_defer.Deferred.chainDeferred(ours, outer)
    return twisted_defer.maybeDeferred(lambda: outer)


def with_timeout(ours):
    """The timeout never expires."""
    return twisted_defer.succeed(None).addCallback(lambda _: ours).addTimeout(99, Clock())


def in_lock(ours):
    return twisted_defer.DeferredLock().run(lambda: ours)


def in_semaphore(ours):
    return twisted_defer.DeferredSemaphore(1).run(lambda: ours)


def deferred_later(ours):
    return task.deferLater(reactor, 0, lambda: ours)


def cooperating(ours):
    """A Cooperator waits for the Deferred that its task yields; the result is taken from there."""
    seen = []

    def work():
        ours.addCallback(lambda result: seen.append(result) or result)
        yield ours

    return task.coiterate(work()).addCallback(lambda _: seen[0])


def looping(ours):
    """A LoopingCall ends with the failure of its call, else it continues after it has fired."""
    seen = []

    def work():
        if seen:
            looper.stop()
            return None
        return ours.addCallback(lambda result: seen.append(result) or result)

    looper = task.LoopingCall(work)
    return looper.start(0).addCallback(lambda _: seen[0])


def from_thread(ours):
    return threads.deferToThread(threads.blockingCallFromThread, reactor, lambda: ours)


class Stopping(Service):
    def __init__(self, ours):
        self._ours = ours

    def stopService(self):
        return self._ours


def service_stopped(ours):
    services = MultiService()
    Stopping(ours).setServiceParent(services)
    services.startService()
    stopped = services.stopService()
    # A service's failure to stop is not reported, as with a Twisted Deferred.
    ours.addErrback(lambda failure: None)
    return stopped.addCallback(lambda pairs: pairs[0][1] if isinstance(pairs, list) else pairs)


def event_trigger(ours):
    """The reactor's shutdown waits for the trigger's Deferred; the result is taken from there."""
    seen, outer = [], twisted_defer.Deferred()
    ours.addBoth(seen.append)
    event = base._ThreePhaseEvent()
    event.addTrigger("before", lambda: ours)
    event.addTrigger("during", lambda: outer.callback(seen[0]))
    event.fireEvent()
    return outer


class IAvatar(Interface):
    pass


@implementer(ICredentialsChecker)
class Checker:
    credentialInterfaces = (IAnonymous,)

    def __init__(self, ours):
        self._ours = ours

    def requestAvatarId(self, credentials):
        return self._ours


@implementer(IRealm)
class Realm:
    def __init__(self, ours=None):
        self._ours = ours

    def requestAvatar(self, avatar_id, mind, *interfaces):
        return avatar_id if self._ours is None else self._ours


def by_checker(ours):
    return Portal(Realm(), [Checker(ours)]).login(Anonymous(), None, IAvatar)


def by_realm(ours):
    return Portal(Realm(ours), [Checker(ANONYMOUS)]).login(Anonymous(), None, IAvatar)


def as_twisted(ours):
    return ours.asTwisted()


WAYS = (
    yielded,
    yielded_from,
    yielded_and_caught,
    awaited,
    awaited_and_caught,
    awaited_deep,
    ensured,
    as_coroutine,
    maybe,
    of_callback,
    of_errback,
    of_later_callback,
    of_two_callbacks,
    paused,
    listed,
    gathered_by_twisted,
    raced,
    chain_deferred,
    chained_to_ours,
    with_timeout,
    in_lock,
    in_semaphore,
    deferred_later,
    cooperating,
    looping,
    from_thread,
    service_stopped,
    event_trigger,
    by_checker,
    by_realm,
    as_twisted,
)
# In these uses another Deferred is cancelled than the one that waits for ours.
NOT_CANCELLED = {
    cooperating,
    looping,
    from_thread,
    service_stopped,
    event_trigger,
    deferred_later,
    gathered_by_twisted,
    listed,
}
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
