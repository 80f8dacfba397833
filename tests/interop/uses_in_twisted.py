"""Uses of a Deferred in Twisted: each function gets one of this library.

It returns a Twisted Deferred with the same result. The program that imports this has made Deferreds
before: Twisted is loaded here.
"""

# ruff: noqa: D101, D102, D103 - the names describe them

from __future__ import annotations

from twisted.application.service import MultiService, Service
from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import Anonymous, IAnonymous
from twisted.cred.portal import IRealm, Portal
from twisted.internet import base, reactor, task, threads
from twisted.internet import defer as twisted_defer
from twisted.internet.task import Clock
from zope.interface import Interface, implementer

from broker import defer


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
