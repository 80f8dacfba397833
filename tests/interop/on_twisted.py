"""This library's factories on Twisted's reactor, with Twisted's Deferreds and Failures in methods.

Run as ``on_twisted.py CERTIFICATE KEY AUTHORITY``. It runs its scenarios one after the other. It
prints one JSON line for each: its name and results, or the traceback of an error.
"""

# ruff: noqa: D102, D103 - the test of a scenario describes it

from __future__ import annotations

import json
import sys
import traceback

from twisted.cred import error as twisted_cred_error
from twisted.internet import defer as twisted_defer
from twisted.internet import endpoints, reactor, ssl
from twisted.internet import error as twisted_error
from twisted.python.failure import Failure as TwistedFailure
from twisted.spread import pb as twisted_pb
from zope.interface import implementer

from broker import defer, errors, pb
from broker.net.tcp_keepalive import socket_of
from cred import checkers, credentials, portal
from cred import error as cred_error

HOST = "127.0.0.1"
LONG = 600_000


class OurOwn(Exception):
    """An exception of the application, known under its name only."""


def trapped(failure):
    """Return by which of many names and classes, of both libraries, a failure is trapped."""
    kinds = {
        "our UnauthorizedLogin": cred_error.UnauthorizedLogin,
        "Twisted's UnauthorizedLogin": twisted_cred_error.UnauthorizedLogin,
        "our NoSuchMethod": pb.NoSuchMethod,
        "Twisted's NoSuchMethod": twisted_pb.NoSuchMethod,
        "our ConnectionRefusedError": errors.ConnectionRefusedError,
        "Twisted's ConnectionRefusedError": twisted_error.ConnectionRefusedError,
        "our PBConnectionLost": pb.PBConnectionLost,
        "Twisted's PBConnectionLost": twisted_pb.PBConnectionLost,
        "our pb.Error": pb.Error,
        "Twisted's pb.Error": twisted_pb.Error,
        "our CancelledError": defer.CancelledError,
        "Twisted's CancelledError": twisted_defer.CancelledError,
        "KeyError": KeyError,
        "LookupError": LookupError,
        "OurOwn": OurOwn,
        "by name": "twisted.spread.flavors.NoSuchMethod",
    }
    return sorted(name for name, kind in kinds.items() if failure.check(kind))


class Root(pb.Root):
    """Methods that return objects of Twisted."""

    def __init__(self):
        self.echoed = 0

    def remote_echo(self, value):
        self.echoed += 1
        return value

    def remote_call(self, listener, value):
        return listener.callRemote("heard", value)

    def remote_later(self, value):
        answer = twisted_defer.Deferred()
        reactor.callLater(0.01, answer.callback, value)
        return answer

    def remote_nested(self, value):
        """Return a chain of Deferreds of both libraries."""
        inner = self.remote_later(value)
        return defer.succeed(None).addCallback(lambda _: inner).addCallback(lambda seen: [seen])

    @twisted_defer.inlineCallbacks
    def remote_generator(self, listener):
        heard = yield listener.callRemote("heard", "a generator").asTwisted()
        return heard

    async def remote_awaits(self, value):
        """Await a Twisted Deferred."""
        return await self.remote_later(value)

    def remote_failing(self, kind):
        """Return a Twisted Deferred that fails at once, with Twisted's Failure."""
        return twisted_defer.fail(TwistedFailure(fault(kind)))

    def remote_failing_later(self, kind):
        answer = twisted_defer.Deferred()
        reactor.callLater(0.01, answer.errback, TwistedFailure(fault(kind)))
        return answer

    def remote_errback(self, kind):
        """Pass Twisted's Failure to the errback of a Deferred of this library."""
        answer = defer.Deferred()
        reactor.callLater(0.01, answer.errback, TwistedFailure(fault(kind)))
        return answer

    def remote_returns_failure(self, kind):
        """Let a callback of this library's Deferred return Twisted's Failure."""
        return defer.succeed(None).addCallback(lambda _: TwistedFailure(fault(kind)))

    def remote_never(self):
        return twisted_defer.Deferred()

    def remote_hang_up(self, listener):
        reactor.callLater(0, listener.broker.transport.loseConnection)

    def remote_pages(self, collector):
        pb.StringPager(collector, b"page" * 100_000, 50_000)


def fault(kind):
    return {
        "OurOwn": OurOwn,
        "KeyError": KeyError,
        "pb.Error": pb.Error,
        "Twisted's pb.Error": twisted_pb.Error,
        "Twisted's UnauthorizedLogin": twisted_cred_error.UnauthorizedLogin,
    }[kind](f"because {kind}")


KINDS = ("OurOwn", "KeyError", "pb.Error", "Twisted's pb.Error", "Twisted's UnauthorizedLogin")


class Listener(pb.Referenceable):
    """The object that a server calls."""

    def remote_heard(self, value):
        return ["heard", value]


class Member(pb.Avatar):
    """An avatar that calls its mind."""

    def __init__(self, name, mind):
        self.name = name
        self.mind = mind

    def perspective_greet(self, greeting):
        return self.mind.callRemote("heard", greeting + self.name.decode("ascii"))


@implementer(portal.IRealm)
class Realm:
    """Records when its user has disconnected."""

    def __init__(self):
        self.left = defer.Deferred()

    def requestAvatar(self, avatar_id, mind, *interfaces):
        # As a Twisted realm would, which has to ask a database.
        answer = twisted_defer.Deferred()
        logout = lambda: self.left.callback("logged out")  # noqa: E731
        member = Member(avatar_id, mind)
        reactor.callLater(0, answer.callback, (pb.IPerspective, member, logout))
        return answer


class House:
    """Both ends of connections on one reactor, which are closed at the end of a scenario."""

    def __init__(self):
        self.root = Root()
        self.realm = Realm()
        self._ports = []
        self._factories = []

    def portal_factory(self):
        users = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame")
        guests = checkers.AllowAnonymousAccess()
        return pb.PBServerFactory(portal.Portal(self.realm, [users, guests]))

    def listen(self, factory=None, context=None):
        """Listen, and return the number of the port."""
        factory = pb.PBServerFactory(self.root) if factory is None else factory
        if context is None:
            port = reactor.listenTCP(0, factory, interface=HOST)
        else:
            port = reactor.listenSSL(0, factory, context, interface=HOST)
        self._ports.append(port)
        return port.getHost().port

    def connect(self, port, context=None, factory=None):
        """Connect, and return the factory."""
        factory = pb.PBClientFactory() if factory is None else factory
        if context is None:
            reactor.connectTCP(HOST, port, factory)
        else:
            reactor.connectSSL(HOST, port, factory, context)
        self._factories.append(factory)
        return factory

    @twisted_defer.inlineCallbacks
    def close(self):
        for factory in self._factories:
            factory.disconnect()
        for port in self._ports:
            yield port.stopListening()


@defer.inlineCallbacks
def root(house):
    factory = house.connect(house.listen())
    first = yield factory.getRootObject()
    again = yield factory.getRootObject()
    peer = first.broker.transport.getPeer()
    seen = [
        (yield first.callRemote("echo", {"a": (1, b"\x00")})) == {"a": (1, b"\x00")},
        (yield first.callRemote("call", Listener(), "you")),
        first == again,
        [type(peer).__module__, peer.host],
    ]
    gone = defer.Deferred()
    first.notifyOnDisconnect(gone.callback)
    pending = first.callRemote("never")
    factory.disconnect()
    seen.append((yield gone) is first)
    seen.append((yield pending.addErrback(trapped)))
    try:
        first.callRemote("echo", 1)
    except pb.DeadReferenceError:
        seen.append("dead")
    return seen


@defer.inlineCallbacks
def hung_up_by_server(house):
    factory = house.connect(house.listen())
    reference = yield factory.getRootObject()
    pending = reference.callRemote("never")
    yield reference.callRemote("hang_up", Listener())
    seen = yield pending.addErrback(trapped)
    return seen


@defer.inlineCallbacks
def login(house):
    factory = house.connect(house.listen(house.portal_factory()))
    wrong = factory.login(credentials.UsernamePassword(b"alice", b"open"))
    seen = [(yield wrong.addErrback(trapped))]
    avatar = yield factory.login(credentials.UsernamePassword(b"alice", b"sesame"), Listener())
    seen.append((yield avatar.callRemote("greet", "hello ")))
    factory.disconnect()
    seen.append((yield house.realm.left))
    return seen


@defer.inlineCallbacks
def deferreds_of_twisted(house):
    factory = house.connect(house.listen())
    reference = yield factory.getRootObject()
    seen = []
    for name in ("later", "nested", "awaits"):
        seen.append((yield reference.callRemote(name, "answer")))
    seen.append((yield reference.callRemote("generator", Listener())))
    return seen


@defer.inlineCallbacks
def failures_of_twisted(house):
    factory = house.connect(house.listen())
    reference = yield factory.getRootObject()
    seen = {}
    for name in ("failing", "failing_later", "errback", "returns_failure"):
        for kind in KINDS:
            failing = reference.callRemote(name, kind)
            seen[f"{name} {kind}"] = yield failing.addErrback(told)
    return seen


def told(failure):
    return [trapped(failure), failure.type, failure.getErrorMessage()]


@twisted_defer.inlineCallbacks
def as_twisted(house):
    """A Twisted program, with Twisted's Deferreds, that uses our client."""
    factory = house.connect(house.listen(house.portal_factory()))
    wrong = factory.login(credentials.UsernamePassword(b"alice", b"open")).asTwisted()
    seen = [isinstance(wrong, twisted_defer.Deferred), (yield wrong.addErrback(trapped))]
    right = factory.login(credentials.UsernamePassword(b"alice", b"sesame"), Listener())
    avatar = yield right.asTwisted()
    seen.append((yield avatar.callRemote("greet", "hello ").asTwisted()))

    chained = twisted_defer.Deferred()
    avatar.callRemote("greet", "bye ").asTwisted().chainDeferred(chained)
    seen.append((yield chained))
    both = [avatar.callRemote("greet", word).asTwisted() for word in ("a ", "b ")]
    seen.append((yield twisted_defer.gatherResults(both)))

    missing = avatar.callRemote("nothing").asTwisted()
    missing.addErrback(lambda failure: failure.trap(twisted_pb.NoSuchMethod).__name__)
    seen.append((yield missing))
    try:
        yield avatar.callRemote("nothing").asTwisted()
    except pb.NoSuchMethod as error:
        seen.append(str(error))
    late = avatar.callRemote("greet", "late ").asTwisted()
    late.cancel()
    seen.append((yield late.addErrback(trapped)))
    return seen


@defer.inlineCallbacks
def much_data(house):
    """Far more than a socket's buffer, both ways at once, while the peer's methods wait."""
    factory = house.connect(house.listen())
    reference = yield factory.getRootObject()
    calls = [reference.callRemote("later", bytes([n]) * LONG) for n in range(20)]
    answers = yield defer.gatherResults(calls)
    pages = yield pb.getAllPages(reference, "pages")
    return [
        [answer == bytes([n]) * LONG for n, answer in enumerate(answers)] == [True] * 20,
        [len(page) for page in pages],
    ]


@defer.inlineCallbacks
def paused(house):
    """While one end does not read, the other's calls wait; they run when it reads again."""
    factory = house.connect(house.listen())
    reference = yield factory.getRootObject()
    transport = reference.broker.transport
    transport.pauseProducing()
    calls = [reference.callRemote("echo", bytes([n]) * LONG) for n in range(20)]
    # By the time that another connection has been served, the calls have arrived.
    other = yield house.connect(house.listen()).getRootObject()
    for _ in range(20):
        yield other.callRemote("later", "what is asked over here")
    is_held = house.root.echoed < 10
    transport.resumeProducing()
    answers = yield defer.gatherResults(calls)
    return [is_held, [len(answer) for answer in answers] == [LONG] * 20]


@defer.inlineCallbacks
def over_endpoints(house):
    server = endpoints.TCP4ServerEndpoint(reactor, 0, interface=HOST)
    port = yield server.listen(pb.PBServerFactory(house.root))
    house._ports.append(port)
    client = endpoints.TCP4ClientEndpoint(reactor, HOST, port.getHost().port)
    factory = pb.PBClientFactory()
    house._factories.append(factory)
    broker = yield client.connect(factory)
    reference = yield factory.getRootObject()
    seen = [type(broker).__name__, reference.broker is broker]
    seen.append((yield reference.callRemote("call", Listener(), "endpoints")))
    pending = reference.callRemote("never")
    factory.disconnect()
    seen.append((yield pending.addErrback(trapped)))
    return seen


@defer.inlineCallbacks
def over_tls(house):
    certificate, key, authority = sys.argv[1:]
    context = ssl.DefaultOpenSSLContextFactory(key, certificate)
    with open(authority, encoding="ascii") as file:
        trusted = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(file.read())])
    port = house.listen(house.portal_factory(), context)
    options = ssl.optionsForClientTLS(HOST, trustRoot=trusted)
    seen = []
    for client_context in (options, ssl.ClientContextFactory()):
        house.realm.left = defer.Deferred()
        factory = house.connect(port, client_context)
        avatar = yield factory.login(credentials.UsernamePassword("alice", "sesame"), Listener())
        seen.append((yield avatar.callRemote("greet", "over TLS, ")))
        _, long = yield avatar.callRemote("greet", "x" * LONG)
        seen.append([len(long), avatar.broker.peer.mechanism])
        seen.append(socket_of(avatar.broker.transport) is not None)
        factory.disconnect()
        seen.append((yield house.realm.left))
    return seen


@defer.inlineCallbacks
def refused(house):
    port = house.listen()
    yield house.close()
    factory = house.connect(port)
    by_root = yield factory.getRootObject().addErrback(trapped)
    factory = house.connect(port)
    by_login = yield factory.login(credentials.Anonymous()).addErrback(trapped)
    return [by_root, by_login]


@twisted_defer.inlineCallbacks
def twisted_client(house):
    """Twisted's own client factory, on the same reactor, with our server factory."""
    factory = house.connect(house.listen(), factory=twisted_pb.PBClientFactory())

    class Heard(twisted_pb.Referenceable):
        remote_heard = Listener.remote_heard

    reference = yield factory.getRootObject()
    seen = [(yield reference.callRemote("call", Heard(), "Twisted"))]
    seen.append((yield reference.callRemote("failing", "KeyError").addErrback(trapped)))
    return seen


@defer.inlineCallbacks
def twisted_server(house):
    """Twisted's own server factory, on the same reactor, called by our client factory."""

    class Door(twisted_pb.Root):
        remote_call = Root.remote_call
        remote_failing = Root.remote_failing

    factory = house.connect(house.listen(twisted_pb.PBServerFactory(Door())))
    reference = yield factory.getRootObject()
    seen = [(yield reference.callRemote("call", Listener(), "Twisted"))]
    seen.append((yield reference.callRemote("failing", "KeyError").addErrback(trapped)))
    # No pings in this dialect: the kernel has to notice a dead peer.
    seen.append(bool(reference.broker.transport.getTcpKeepAlive()))
    return seen


@defer.inlineCallbacks
def passed_on(house):
    """Twisted's server passes on results of our client's calls: values, and a peer's failures."""

    class Between(twisted_pb.Root):
        def remote_pass_on(self, name, *args):
            return reference.callRemote(name, *args)

    reference = yield house.connect(house.listen()).getRootObject()
    port = house.listen(twisted_pb.PBServerFactory(Between()))
    seen = []
    for library in (pb, twisted_pb):
        between = yield house.connect(port, factory=library.PBClientFactory()).getRootObject()
        seen.append((yield between.callRemote("pass_on", "later", "answer")))
        for call in (("failing_later", "KeyError"), ("nothing",)):
            failing = between.callRemote("pass_on", *call)
            seen.append((yield failing.addErrback(trapped)))
    return seen


SCENARIOS = (
    root,
    hung_up_by_server,
    login,
    deferreds_of_twisted,
    failures_of_twisted,
    as_twisted,
    much_data,
    paused,
    over_endpoints,
    over_tls,
    refused,
    twisted_client,
    twisted_server,
    passed_on,
)


@twisted_defer.inlineCallbacks
def main():
    for scenario in SCENARIOS:
        house = House()
        running = scenario(house)
        if isinstance(running, defer.Deferred):
            running = running.asTwisted()
        try:
            seen = yield running.addTimeout(8, reactor)
            said = {"scenario": scenario.__name__, "seen": seen}
        except Exception:
            said = {"scenario": scenario.__name__, "failed": traceback.format_exc()}
        print(json.dumps(said), flush=True)
        yield house.close()
    reactor.stop()


reactor.callWhenRunning(main)
reactor.run()
