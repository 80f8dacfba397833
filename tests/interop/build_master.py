"""A master that lets a worker run the steps of a build, as in a build system.

Run as ``build_master.py WORLD``. It prints the port that it listens at. Then it prints one JSON
line for each step: its name and results, or the traceback of an error.
"""

# ruff: noqa: D101, D102, D103 - the test describes them

from __future__ import annotations

import json
import sys
import traceback

from build_world import HOST, checkers, content, pb, portal
from twisted.application.service import MultiService, Service
from twisted.internet import defer, reactor, task
from twisted.python import failure, log
from zope.interface import implementer


class Writer(pb.Referenceable):
    """Takes pieces, and reports each as written a moment later."""

    def __init__(self):
        self.taken = []
        self.is_closed = False

    def remote_write(self, piece):
        return task.deferLater(reactor, 0, self._write, piece)

    def _write(self, piece):
        self.taken.append(piece)
        return 1

    def remote_close(self):
        self.is_closed = True

    def seen(self, seed):
        return [b"".join(self.taken) == content(seed), len(self.taken), self.is_closed]


class Reader(pb.Referenceable):
    def __init__(self, seed):
        self._data = content(seed)

    def remote_read(self, most):
        piece, self._data = self._data[:most], self._data[most:]
        return task.deferLater(reactor, 0, lambda: piece)


class Asked(pb.Referenceable):
    def remote_twice(self, value):
        return value * 2


@implementer(portal.IRealm)
class Realm:
    """Asks the worker about itself before it accepts the login."""

    def __init__(self):
        self.workers = defer.DeferredQueue()
        self.left = defer.Deferred()

    @defer.inlineCallbacks
    def requestAvatar(self, avatar_id, mind, *interfaces):
        info = yield mind.callRemote("info")
        worker = Connected(mind, info, self)
        return pb.IPerspective, worker, lambda: self.left.callback("left")


class Connected(pb.Avatar):
    def __init__(self, mind, info, realm):
        self.mind = mind
        self.info = info
        self.kept_alive = 0
        self._realm = realm

    def perspective_keepalive(self):
        self.kept_alive += 1

    def perspective_ready(self):
        self._realm.workers.put(self)


@defer.inlineCallbacks
def upload(worker):
    writer = Writer()
    yield worker.mind.callRemote("upload", writer)
    return writer.seen(1)


@defer.inlineCallbacks
def upload_in_generator(worker):
    writer = Writer()
    taken = yield defer.maybeDeferred(worker.mind.callRemote, "upload_in_generator", writer)
    return [*writer.seen(2), taken]


def download(worker):
    return defer.succeed(3).addCallback(
        lambda seed: worker.mind.callRemote("download", Reader(seed))
    )


async def download_in_coroutine(worker):
    return await worker.mind.callRemote("download_in_coroutine", Reader(4))


@defer.inlineCallbacks
def many(worker):
    calls = [worker.mind.callRemote("echo_later", number) for number in range(5)]
    listed = yield defer.DeferredList(calls)
    calls = [worker.mind.callRemote("ask_back", Asked(), number) for number in range(5)]
    gathered = yield defer.gatherResults(calls)
    first = yield defer.race([worker.mind.callRemote("echo_later", "only")])
    return [listed, gathered, first]


@defer.inlineCallbacks
def limited(worker):
    """A semaphore delays the calls that it runs until the worker has answered."""
    running = most = 0

    def call(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        return worker.mind.callRemote("echo_later", number).addBoth(ended)

    def ended(result):
        nonlocal running
        running -= 1
        return result

    semaphore = defer.DeferredSemaphore(2)
    seen = yield defer.gatherResults([semaphore.run(call, number) for number in range(6)])
    return [seen, most]


@defer.inlineCallbacks
def failing(worker):
    """Caught in a generator, trapped in an errback, logged, and in a list of results."""
    seen = []
    try:
        yield worker.mind.callRemote("fail")
    except pb.RemoteError as error:
        seen.append(type(error).__name__)

    def trap(fault):
        seen.append(isinstance(fault, failure.Failure))
        return fault.trap(KeyError) is KeyError

    seen.append((yield worker.mind.callRemote("fail").addErrback(trap)))
    seen.append((yield defer.maybeDeferred(worker.mind.callRemote, "fail").addErrback(trap)))
    pairs = yield defer.DeferredList([worker.mind.callRemote("fail")], consumeErrors=True)
    seen.append([pairs[0][0], pairs[0][1].check(KeyError) is KeyError])
    logged = []
    log.addObserver(logged.append)
    worker.mind.callRemote("fail").addErrback(log.err, "as it should")
    yield worker.mind.callRemote("fail").addErrback(lambda _: None)
    log.removeObserver(logged.append)
    seen.append([event["why"] for event in logged if event["isError"]])
    return seen


@defer.inlineCallbacks
def cancelled(worker):
    seen = []
    waiting = worker.mind.callRemote("never")
    outer = defer.maybeDeferred(lambda: waiting).addTimeout(0.01, reactor)
    try:
        yield outer
    except defer.TimeoutError:
        seen.append("timed out")
    waiting = worker.mind.callRemote("never")
    reactor.callLater(0.01, waiting.cancel)
    try:
        yield waiting
    except defer.CancelledError:
        seen.append("cancelled")
    return seen


@defer.inlineCallbacks
def kept_alive(worker):
    """The worker's timer continues after its call was answered."""
    while worker.kept_alive < 3:
        yield worker.mind.callRemote("echo_later", None)
    return worker.info


@defer.inlineCallbacks
def disconnected(worker):
    """A wait for an answer ends when the connection ends."""
    waiting = worker.mind.callRemote("never")
    gone = defer.Deferred()
    worker.mind.notifyOnDisconnect(gone.callback)
    reactor.callLater(0, worker.mind.broker.transport.loseConnection)
    try:
        yield waiting
    except pb.PBConnectionLost:
        seen = ["lost"]
    seen.append((yield gone) is worker.mind)
    return seen


STEPS = (
    upload,
    upload_in_generator,
    download,
    download_in_coroutine,
    many,
    limited,
    failing,
    cancelled,
    kept_alive,
    disconnected,
)


class Master(Service):
    """Listens while it runs."""

    def startService(self):
        self.realm = Realm()
        users = checkers.InMemoryUsernamePasswordDatabaseDontUse(worker=b"sesame")
        factory = pb.PBServerFactory(portal.Portal(self.realm, [users]))
        self._port = reactor.listenTCP(0, factory, interface=HOST)
        print(json.dumps(self._port.getHost().port), flush=True)

    def stopService(self):
        return self._port.stopListening()


@defer.inlineCallbacks
def main():
    services = MultiService()
    master = Master()
    master.setServiceParent(services)
    services.startService()
    worker = yield master.realm.workers.get()
    for step in STEPS:
        try:
            running = step(worker)
            seen = yield defer.ensureDeferred(running).addTimeout(8, reactor)
            said = {"step": step.__name__, "seen": seen}
        except Exception:
            said = {"step": step.__name__, "failed": traceback.format_exc()}
        print(json.dumps(said), flush=True)
    left = yield master.realm.left
    print(json.dumps({"step": "logout", "seen": left}), flush=True)
    yield services.stopService()
    reactor.stop()


log.startLogging(sys.stderr, setStdout=False)
reactor.callWhenRunning(lambda: main().addErrback(log.err))
reactor.run()
