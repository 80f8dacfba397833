"""Names that copied recipes use; run as ``recipe_client.py WORLD PORTS SERVER``."""

# ruff: noqa: D102, D103 - the test of a scenario describes it

from __future__ import annotations

import gc
import json
import sys

from describe import text
from scenarios import run_scenarios
from world import cred_error, credentials, defer, pb, reactor

HOST = "127.0.0.1"
PORTS = json.loads(sys.argv[2])
ANN = credentials.UsernamePassword(b"ann", b"sesame")
BOB = credentials.UsernamePassword(b"bob", b"secret")


class Factories:
    """Makes connections, and closes them."""

    def __init__(self):
        self.made = []

    def connect(self, factory=None):
        factory = pb.PBClientFactory() if factory is None else factory
        reactor.connectTCP(HOST, PORTS["recipe"], factory)
        self.made.append(factory)
        return factory

    def close(self):
        for factory in self.made:
            factory.disconnect()


def ending(broker):
    ended = defer.Deferred()
    broker.notifyOnDisconnect(lambda: ended.callback(None))
    return ended


@defer.inlineCallbacks
def tables(factories):
    root = yield factories.connect().getRootObject()
    first, second = (yield root.callRemote("give")), (yield root.callRemote("give"))
    seen = [(yield root.callRemote("tables"))]
    ours = root.broker
    # This table has only the objects that this side has sent.
    seen.append([list(ours.localObjects), list(ours.luids)])
    del first, second
    return seen


@defer.inlineCallbacks
def lists_that_are_written_to(factories):
    root = yield factories.connect().getRootObject()
    ended, failed = defer.Deferred(), []
    root.broker.disconnects.append(lambda: ended.callback("ended"))
    root.broker.failures.append(lambda: failed.append("failed"))
    root.broker.transport.loseConnection()
    seen = [(yield ended), failed]
    # The notifiers are called before the last object is forgotten.
    yield turn()
    return [*seen, root.broker.localObjects, root.broker.luids]


def turn():
    waiter = defer.Deferred()
    reactor.callLater(0, waiter.callback, None)
    return waiter


@defer.inlineCallbacks
def session_numbers(factories):
    numbers = []
    for _ in range(3):
        root = yield factories.connect().getRootObject()
        numbers.append((yield root.callRemote("sessionno")))
    return [number - numbers[0] for number in numbers]


@defer.inlineCallbacks
def local_cleanup(factories):
    factory = factories.connect()
    ann = yield factory.login(ANN)
    bob = yield factory.login(BOB)
    seen = [(yield ann.callRemote("whoami")), (yield bob.callRemote("whoami"))]
    before = yield bob.callRemote("logged_out", 0)
    del ann
    gc.collect()
    after = yield bob.callRemote("logged_out", len(before) + 1)
    seen.append(after[len(before) :])
    # The end of the connection logs out the other one, and does not log out the first again.
    ended = ending(bob.broker)
    factory.disconnect()
    yield ended
    again = yield factories.connect().login(ANN)
    seen.append((yield again.callRemote("logged_out", len(before) + 2))[len(before) :])
    return seen


class Watching(pb.PBClientFactory):
    """Overrides the methods that programs override, and records the calls."""

    def __init__(self):
        pb.PBClientFactory.__init__(self)
        self.noted = []

    def clientConnectionMade(self, broker):
        self.noted.append(["made", self._broker is None])
        pb.PBClientFactory.clientConnectionMade(self, broker)
        self.noted.append([self._broker is broker, self._root.broker is broker])
        self.noted.append(text(self._root.luid))

    def _cbSendUsername(self, root, username, password, client):
        self.noted.append([text(username), text(password), client])
        asked = root.callRemote("login", username)
        return asked.addCallback(self._cbResponse, password, client)

    def _failAll(self, reason):
        self.noted.append("failAll")
        pb.PBClientFactory._failAll(self, reason)


@defer.inlineCallbacks
def factory_names(factories):
    factory = factories.connect(Watching())
    seen = [[factory._broker, factory._root, list(factory.rootObjectRequests)]]
    avatar = yield factory.login(ANN)
    seen.append((yield avatar.callRemote("whoami")))
    # The inherited one, called directly, as reconnecting factories do.
    bob = yield pb.PBClientFactory._cbSendUsername(factory, factory._root, b"bob", b"secret", None)
    seen.append((yield bob.callRemote("whoami")))
    peer = factory._broker.transport.getPeer()
    seen.append([peer.host, peer.port == PORTS["recipe"]])
    ended = ending(factory._broker)
    factory._broker.transport.loseConnection()
    yield ended
    while factory._broker is not None:
        yield turn()
    seen.append([factory._broker, factory._root])
    waiting = [factory.getRootObject(), factory.login(ANN)]
    seen.append(len(factory.rootObjectRequests))
    factory._failAll(ZeroDivisionError("given up"))
    for each in waiting:
        try:
            yield each
        except ZeroDivisionError as error:
            seen.append(str(error))
    return [*seen, factory.rootObjectRequests, factory.noted]


@defer.inlineCallbacks
def wrong_password(factories):
    wrong = credentials.UsernamePassword(b"ann", b"wrong")
    refused = []
    logging_in = factories.connect().login(wrong)
    yield logging_in.addErrback(refused.append)
    return [bool(failure.check(cred_error.UnauthorizedLogin)) for failure in refused]


SCENARIOS = (
    tables,
    lists_that_are_written_to,
    session_numbers,
    local_cleanup,
    factory_names,
    wrong_password,
)


run_scenarios(SCENARIOS, Factories)
