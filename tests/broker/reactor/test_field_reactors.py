"""Small programs that run the reactor: they print the same with Twisted's."""

from __future__ import annotations

import pytest
from support.field_programs import printed

STEPS = """
    def tried(f, *args):
        try:
            f(*args)
        except Exception as exc:
            print(type(exc).__name__)

    for phase in ("before", "during", "after"):
        reactor.addSystemEventTrigger(phase, "startup", print, phase, "startup")
        reactor.addSystemEventTrigger(phase, "shutdown", print, phase, "shutdown")
    reactor.callWhenRunning(print, "running")
    print(reactor.running)
    reactor.startRunning(installSignalHandlers=False)
    print(reactor.running)
    tried(reactor.startRunning, False)
    reactor.callWhenRunning(print, "at once")
    reactor.callLater(0, print, "in a turn")
    late = reactor.callLater(3600, print, "never")
    print(len(reactor.getDelayedCalls()), isinstance(late, base.DelayedCall))
    reactor.iterate()
    reactor.iterate()

    class Echo(protocol.Protocol):
        def dataReceived(self, data):
            self.transport.write(data)

    class Ask(protocol.Protocol):
        def connectionMade(self):
            self.transport.write(b"hello")

        def dataReceived(self, data):
            got.append(data)

        def connectionLost(self, reason):
            print("lost", bool(reason.check(error.ConnectionClosed)))

    got = []
    server, client = protocol.ServerFactory(), protocol.ClientFactory()
    server.protocol, client.protocol = Echo, Ask
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    while not got:
        reactor.iterate(0.01)
    print(got)
    reactor.stop()
    tried(reactor.stop)
    for _ in range(3):
        if reactor.running:
            reactor.iterate()
    print(reactor.running)
"""

STEPS_UNTIL_A_SIGNAL = """
    import os
    import signal

    reactor.addSystemEventTrigger("after", "shutdown", print, "shut down")
    reactor.startRunning()
    reactor.callLater(0, os.kill, os.getpid(), signal.SIGTERM)
    while reactor.running:
        reactor.iterate(0.01)
    print("over")
"""

GIVEN_LOOP = """
    import asyncio

    reactor.addSystemEventTrigger("after", "shutdown", print, "shut down")
    reactor.startRunning(installSignalHandlers=False)
    print(reactor.running)
    reactor.callLater(0.01, lambda: print(asyncio.get_running_loop() is loop))
    reactor.callLater(0.02, reactor.stop)
    loop.run_forever()
    print("back", loop.is_closed(), reactor.running)
    loop.run_until_complete(asyncio.sleep(0))
"""

GIVEN_LOOP_RUN = """
    import asyncio

    reactor.callWhenRunning(print, "running")
    reactor.callLater(0, lambda: print(asyncio.get_running_loop() is loop))
    reactor.callLater(0.01, reactor.stop)
    reactor.run()
    print("back", loop.is_closed())
"""

DESCRIPTORS = """
    import os

    class Pipe:
        def __init__(self, number, name):
            self.number, self.name = number, name

        def fileno(self):
            return self.number

        def logPrefix(self):
            return self.name

        def connectionLost(self, reason):
            print(self.name, "lost", reason.type.__name__, self in reactor.getReaders())

    class Reading(Pipe):
        def doRead(self):
            data = os.read(self.number, 100)
            if not data:
                return main.CONNECTION_DONE
            print(self.name, "read", data)
            if data == b"raise":
                raise ValueError("raised")
            if data == b"last":
                reactor.removeReader(self)
                reactor.callLater(0, reactor.stop)

    class Writing(Pipe):
        left = [b"one", b"two"]

        def doWrite(self):
            if not self.left:
                reactor.removeWriter(self)
                print("writers", reactor.getWriters())
                os.close(self.number)
                return
            os.write(self.number, self.left.pop(0))
            # One at a time reaches the other end.
            reactor.removeWriter(self)
            reactor.callLater(0.02, reactor.addWriter, self)

    def pipe(name, kind=Reading):
        reading, writing = os.pipe()
        return kind(reading, name), writing

    first, out = pipe("first")
    writer = Writing(out, "writer")
    second, second_out = pipe("second")
    third, third_out = pipe("third")
    kept, kept_out = pipe("kept")
    for each in (first, first, second, third, kept):
        reactor.addReader(each)
    reactor.addWriter(writer)
    ours = (first, second, third, kept, writer)
    print([each in reactor.getReaders() for each in ours])
    print([each in reactor.getWriters() for each in ours])
    reactor.removeReader(writer)
    reactor.removeWriter(kept)
    reactor.callLater(0.2, os.write, second_out, b"raise")
    reactor.callLater(0.3, os.write, third_out, b"last")
    closed = Reading(-1, "closed")
    reactor.run()
    print([each in reactor.getReaders() for each in ours])

    gone = Reading(os.pipe()[0], "gone")
    reactor.addReader(gone)
    print(gone in reactor.removeAll(), gone in reactor.getReaders(), reactor.removeAll())
"""

PROCESS_GROUPS = """
    import os
    import sys

    class GroupLeader(Process):
        def _setupChild(self, *args, **kwargs):
            Process._setupChild(self, *args, **kwargs)
            os.setpgid(0, 0)

    class Talk(protocol.ProcessProtocol):
        def __init__(self, name, ended):
            self.name, self.ended, self.out = name, ended, b""

        def connectionMade(self):
            self.number = self.transport.pid
            print(self.name, "made", self.number > 0)

        def outReceived(self, data):
            self.out += data
            if self.out.endswith(b"\\n") and self.name == "killed":
                os.killpg(self.number, 9)

        def processEnded(self, reason):
            shown = self.out.decode().replace(str(self.number), "PID").strip()
            why = reason.value
            print(self.name, shown, type(why).__name__, why.exitCode, why.signal)
            self.ended()

    SHOW = "import os; print(os.getpgid(0), os.environ.get('FIELD'), os.getcwd())"
    # A child of the child has the pipe, too: only the whole group's end closes it.
    SLEEP = ("import os, time; child = os.fork(); child and print('up', flush=True);"
             " time.sleep(60)")

    def start(name, cls, program, then, **more):
        args = [sys.executable, "-c", program]
        cls(reactor, sys.executable, args, {"FIELD": "set"}, "/", Talk(name, then), **more)

    def first():
        start("leader", GroupLeader, SHOW, second)

    def second():
        start("killed", GroupLeader, SLEEP, third)

    def third():
        start("child", GroupLeader, SHOW, reactor.stop, childFDs={0: "w", 1: "r", 2: 2})

    reactor.callWhenRunning(first)
    reactor.run()
"""

PROVIDED = """
    names = (
        "IReactorCore IReactorTime IReactorThreads IReactorTCP IReactorSSL IReactorUNIX"
        " IReactorProcess IReactorFDSet"
    ).split()
    print([getattr(interfaces, name).providedBy(reactor) for name in names])
    print(interfaces.IReactorTime(reactor) is reactor, interfaces.IReactorCore(5, None))
    late = reactor.callLater(5, print)
    print(interfaces.IDelayedCall.providedBy(late))
    late.cancel()
    port = reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")
    print(interfaces.IListeningPort.providedBy(port))
    print(interfaces.IAddress.providedBy(port.getHost()))

    class Ask(protocol.Protocol):
        def connectionMade(self):
            transport = self.transport
            for name in ("ITransport", "ITCPTransport", "ISSLTransport"):
                print(name, getattr(interfaces, name).providedBy(transport))
            reactor.stop()

        def connectionLost(self, reason=protocol.connectionDone):
            print(bool(reason.check(error.ConnectionClosed)))

    class Asking(protocol.ClientFactory):
        protocol = Ask

        def startedConnecting(self, connector):
            print(interfaces.IConnector.providedBy(connector))
            print(isinstance(connector, unix.Connector))

    reactor.connectTCP("127.0.0.1", port.getHost().port, Asking())
    reactor.run()
"""

STRPORTS = """
    import socket

    factory = protocol.ServerFactory()
    factory.protocol = protocol.Protocol
    service = strports.service("tcp:0:interface=127.0.0.1", factory)
    service.startService()
    print(bool(service.running), service.factory is factory)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        late = strports.service(f"tcp:{number}:interface=127.0.0.1", factory)
        try:
            late.startService()
        except error.CannotListenError as exc:
            print(type(exc).__name__)
    try:
        strports.service("nothing:1", factory)
    except ValueError as exc:
        print(type(exc).__name__)
    reactor.callWhenRunning(lambda: service.stopService().addCallback(lambda _: reactor.stop()))
    reactor.run()
    print(bool(service.running))
"""

CHOICES = ["selectreactor", "pollreactor", "epollreactor", "kqreactor"]


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(STEPS, id="steps"),
        pytest.param(STEPS_UNTIL_A_SIGNAL, id="steps until a signal"),
        pytest.param(DESCRIPTORS, id="descriptors"),
        pytest.param(PROCESS_GROUPS, id="process groups"),
        pytest.param(PROVIDED, id="interfaces"),
        pytest.param(STRPORTS, id="strports"),
    ],
)
def test_the_reactor_prints_the_same(program: str) -> None:
    """A program that uses the reactor prints the same here and with Twisted."""
    theirs = printed(program, "twisted").splitlines()
    assert printed(program, "ours").splitlines() == theirs
    assert theirs


@pytest.mark.parametrize("program", [GIVEN_LOOP, GIVEN_LOOP_RUN], ids=["turned", "run"])
def test_a_loop_of_the_programs_own(program: str) -> None:
    """asyncioreactor.install takes a loop, and does not close it, here and with Twisted."""
    before = """
        import asyncio
        from {} import asyncioreactor
        loop = asyncio.new_event_loop()
        asyncioreactor.install(loop)
    """
    theirs = printed(program, "twisted", before.format("twisted.internet")).splitlines()
    assert printed(program, "ours", before.format("broker.reactor")).splitlines() == theirs
    assert theirs


@pytest.mark.parametrize("name", CHOICES)
def test_a_chosen_reactor_runs(name: str) -> None:
    """A program that installs another kind of reactor runs, here on asyncio's loop."""
    program = """
        reactor.callWhenRunning(print, "running")
        reactor.callLater(0.01, reactor.stop)
        reactor.run()
    """
    ours = printed(program, "ours", f"from broker.reactor import {name}; {name}.install()\n")
    assert ours == "running\n"
