"""Services: programs that print the same here and with Twisted."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAD = {
    "ours": """
        from broker import defer, reactor
        from broker.reactor import error, protocol, service, task
        from broker.reactor import service as internet
    """,
    "twisted": """
        from twisted.internet import defer, error, protocol, reactor, task
        from twisted.application import internet, service
    """,
}

COLLECTIONS = """
    def attempt(f, *args):
        try:
            return f(*args)
        except Exception as exc:
            print(type(exc).__name__)

    class Noting(service.Service):
        def __init__(self, name=None, result=None):
            if name:
                self.setName(name)
            self.result = result

        def privilegedStartService(self):
            print("privileged", self.name)

        def startService(self):
            super().startService()
            print("start", self.name, self.running)

        def stopService(self):
            super().stopService()
            print("stop", self.name, self.running)
            return self.result

    application = service.Application("app", uid=1, gid=2)
    services = service.IServiceCollection(application)
    print(services is service.IService(application), type(services).__name__, services.name)
    process = service.IProcess(application)
    print(process.uid, process.gid, process.processName)

    waiting = defer.Deferred()
    first, second, third = Noting("first", waiting), Noting("second"), Noting()
    print(first.parent, first.running, third.name)
    for one in (first, second, third):
        one.setServiceParent(application)
    print(first.parent is services, [one.name for one in services], sorted(services.namedServices))
    print(services.getServiceNamed("second") is second)
    attempt(services.getServiceNamed, "nobody")
    attempt(first.setName, "other")
    attempt(Noting("first").setServiceParent, services)

    services.privilegedStartService()
    services.startService()
    late = Noting("late")
    late.setServiceParent(services)
    print(late.disownServiceParent(), late.parent, [one.name for one in services])

    inner = service.MultiService()
    inner.setServiceParent(services)
    second.setServiceParent(inner)
    print([one.name for one in inner], second.parent is inner, len(services.services))

    stopped = services.stopService()
    print(stopped.called, services.running, first.running)
    waiting.callback("done")
    stopped.addCallback(print)
    print(first.disownServiceParent())

    failing = service.MultiService()
    Noting("fails", defer.fail(ValueError("x"))).setServiceParent(failing)
    failing.startService()
    failing.stopService().addCallback(
        lambda results: print([(ok, why.type.__name__) for ok, why in results]))
    print(service.IService.providedBy(first), service.IServiceCollection.providedBy(inner))
"""

TIMER = """
    calls = []
    clock = task.Clock()

    def noting(*args, **kw):
        calls.append((args, kw, clock.seconds()))

    timer = internet.TimerService(2, noting, 1, two=2)
    timer.clock = clock
    timer.startService()
    clock.pump([1, 1, 1, 1])
    print(calls, timer.running)
    stopped = timer.stopService()
    print(stopped.called, timer.running, len(clock.getDelayedCalls()))
    timer.startService()
    print(len(calls))
    timer.stopService()

    waiting = defer.Deferred()
    slow = internet.TimerService(1, lambda: waiting)
    slow.clock = clock
    slow.startService()
    stopped = slow.stopService()
    print(stopped.called, slow.running)
    waiting.callback(None)
    print(stopped.called, slow.running)

    failing = internet.TimerService(1, lambda: 1 / 0)
    failing.clock = clock
    failing.startService()
    print(failing.running)
    failing.stopService().addCallback(lambda _: print("stopped", failing.running))
"""

TCP = """
    class Hello(protocol.Protocol):
        def connectionMade(self):
            self.transport.write(b"hello")

    class Taking(protocol.Protocol):
        def dataReceived(self, data):
            print(data)
            stop()

        def connectionLost(self, reason):
            ended.append("lost " + reason.type.__name__)

    class Connecting(protocol.ClientFactory):
        protocol = Taking
        noisy = False

        def clientConnectionLost(self, connector, reason):
            ended.append("factory " + reason.type.__name__)
            stop_if_all()

    def stop_if_all():
        if len(ended) == 3:
            print(sorted(ended))  # the port and the connection end in any order
            reactor.stop()

    ended = []
    server_factory = protocol.Factory.forProtocol(Hello)
    server_factory.noisy = False
    application = service.Application("tcp")
    server = internet.TCPServer(0, server_factory, interface="127.0.0.1")
    print(server.args[0], server.kwargs, server.method, server.running)
    server.setServiceParent(application)
    services = service.IService(application)
    services.privilegedStartService()
    port = server._port
    services.startService()
    print(server._port is port, server.running)
    number = port.getHost().port
    client = internet.TCPClient("127.0.0.1", number, Connecting(), timeout=5)
    client.setServiceParent(application)

    def stop():
        services.stopService().addCallback(closed)

    def closed(results):
        print(results, server.running, client.running)
        reactor.connectTCP("127.0.0.1", number, Failing())

    class Failing(protocol.ClientFactory):
        noisy = False

        def clientConnectionFailed(self, connector, reason):
            ended.append("refused " + reason.type.__name__)
            stop_if_all()

    reactor.callLater(20, reactor.stop)
    reactor.run()

    unopened = internet.TCPServer(0, server_factory)
    print(unopened.stopService())
    taken = internet.TCPServer(1, server_factory, interface="192.0.2.1")
    try:
        taken.startService()
    except error.CannotListenError as exc:
        print(type(exc).__name__)
"""

UNIX = """
    import os, tempfile
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "s")

    class Hello(protocol.Protocol):
        def connectionMade(self):
            self.transport.write(b"hello")

    class Taking(protocol.Protocol):
        def dataReceived(self, data):
            print(data)
            client.stopService()

    class Connecting(protocol.ClientFactory):
        protocol = Taking
        noisy = False

        def clientConnectionLost(self, connector, reason):
            print("lost", reason.type.__name__)
            server.stopService().addCallback(lambda _: reactor.stop())

    factory = protocol.Factory.forProtocol(Hello)
    factory.noisy = False
    server = internet.UNIXServer(path, factory, reactor=reactor)
    client = internet.UNIXClient(path, Connecting(), reactor=reactor)
    server.startService()
    client.startService()
    reactor.callLater(20, reactor.stop)
    reactor.run()
    print(os.listdir(folder))
    os.rmdir(folder)
"""

BACKOFF = """
    still = lambda: 0.0
    for policy in (internet.backoffPolicy(jitter=still),
                   internet.backoffPolicy(2.0, 100.0, 3.0, still),
                   internet.backoffPolicy(1, 10, 1e300, lambda: 0.5)):
        print([policy(n) for n in (0, 1, 2, 3, 4, 10, 99, 100, 101, 10**6)])
    print(all(1 <= internet.backoffPolicy()(0) < 2 for _ in range(50)))
"""

CLIENT = """
    class Transport:
        disconnecting = False

        def loseConnection(self):
            print("loseConnection")

        abortConnection = loseConnection

    class Endpoint:
        def __init__(self):
            self.attempts = []

        def connect(self, factory):
            attempt = defer.Deferred(lambda d: print("cancelled"))
            self.attempts.append((attempt, factory))
            return attempt

        def accept(self):
            attempt, factory = self.attempts[-1]
            made = factory.buildProtocol(None)
            made.makeConnection(Transport())
            attempt.callback(made)
            return made

        def refuse(self):
            self.attempts[-1][0].errback(error.ConnectionRefusedError())

    class Noting(protocol.Protocol):
        def connectionMade(self):
            print("made")

        def connectionLost(self, reason):
            print("lost", reason.type.__name__)

    def build(**kw):
        endpoint, clock = Endpoint(), task.Clock()
        factory = protocol.Factory.forProtocol(Noting)
        made = internet.ClientService(endpoint, factory, retryPolicy=lambda n: 10 + n,
                                      clock=clock, **kw)
        return made, endpoint, clock

    def times(clock):
        return [call.getTime() - clock.seconds() for call in clock.getDelayedCalls()]

    def shows(name):
        def show(result):
            what = getattr(result, "type", type(result)).__name__
            print(name, what)
        return show

    def done():
        kept = []
        defer.fail(error.ConnectionDone()).addErrback(kept.append)
        return kept[0]

    one, endpoint, clock = build()
    one.whenConnected().addBoth(shows("early"))
    one.startService()
    print(len(endpoint.attempts), one.running)
    one.whenConnected(failAfterFailures=1).addBoth(shows("after one"))
    one.whenConnected(failAfterFailures=2).addBoth(shows("after two"))
    endpoint.refuse()
    print(times(clock))
    clock.advance(11)
    print(len(endpoint.attempts))
    endpoint.refuse()
    print(times(clock))
    clock.advance(12)
    made = endpoint.accept()
    one.whenConnected().addBoth(shows("connected"))
    made.connectionLost(done())
    print(times(clock), len(endpoint.attempts))
    one.whenConnected().addBoth(shows("next"))
    clock.advance(11)
    endpoint.refuse()
    print(times(clock), len(endpoint.attempts))
    clock.advance(12)
    made = endpoint.accept()
    stopped = one.stopService()
    print(stopped.called, one.running)
    one.whenConnected().addBoth(shows("too late"))
    made.connectionLost(done())
    print(stopped.called, times(clock))
    one.stopService().addBoth(shows("again"))

    print("stop while it waits")
    two, endpoint, clock = build()
    two.startService()
    endpoint.refuse()
    waiter = two.whenConnected().addBoth(shows("waiter"))
    print(two.stopService().called, times(clock))

    print("stop while it connects")
    three, endpoint, clock = build()
    three.startService()
    print(three.stopService().called, times(clock))

    print("never started")
    four, endpoint, clock = build()
    print(four.stopService().called)

    print("started while it stops")
    five, endpoint, clock = build()
    five.startService()
    made = endpoint.accept()
    stopped = five.stopService()
    five.startService()
    print(stopped.called, len(endpoint.attempts))
    made.connectionLost(done())
    print(stopped.called, len(endpoint.attempts))
    endpoint.accept()
    five.whenConnected().addBoth(shows("restarted"))

    print("prepared")
    preparing = []

    def prepare(made):
        print("prepare", made.transport is not None)
        preparing.append(defer.Deferred())
        return preparing[-1]

    six, endpoint, clock = build(prepareConnection=prepare)
    six.startService()
    six.whenConnected().addBoth(shows("prepared"))
    endpoint.accept()
    six.whenConnected().addBoth(shows("prepared too"))
    print("not yet")
    preparing[-1].callback(None)
"""


def printed(program: str, library: str) -> list[str]:
    """Run a program with the imports of one library; return its output, in lines."""
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error" if library == "ours" else "ignore", "-X", "dev"),
            *("-c", textwrap.dedent(HEAD[library]) + textwrap.dedent(program)),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if library == "ours":
        # An exception of a service is in the log; no socket stays open, and no warning is printed.
        assert "Warning" not in done.stderr
        assert "Exception ignored" not in done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "program",
    [COLLECTIONS, TIMER, TCP, UNIX, BACKOFF, CLIENT],
    ids=["collections", "timer", "tcp", "unix", "backoff", "client"],
)
def test_same_prints(program: str) -> None:
    """A program of services prints the same here and with Twisted."""
    assert printed(program, "ours") == printed(program, "twisted")
