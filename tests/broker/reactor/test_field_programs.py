"""Small programs with names that programs in the field use: they print the same with Twisted's."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAD = {
    "ours": """
        from broker import defer, pb, reactor
        from broker.reactor import base, error, interfaces, log, main, protocol, strports
        from broker.reactor.engine import unix
        from broker.reactor.process import Process
        from cred import credentials, portal
        from jelly import banana
        import jelly
    """,
    "twisted": """
        from twisted.application import strports
        from twisted.cred import credentials, portal
        from twisted.internet import base, defer, error, interfaces, main, protocol, reactor, unix
        from twisted.internet.process import Process
        from twisted.python import log
        from twisted.spread import banana, jelly, pb
    """,
}

FLAVORS = """
    print(pb.IJellyable is jelly.IJellyable, pb.IUnjellyable is jelly.IUnjellyable)
    print([pb.IJellyable.providedBy(thing) for thing in (pb.Referenceable(), pb.Copyable(), 5)])
    print(issubclass(pb.Copyable, pb.Jellyable), issubclass(pb.Referenceable, pb.Jellyable))
    atoms = sorted(name for name in dir(jelly) if name.endswith("_atom"))
    print([(name, getattr(jelly, name)) for name in atoms])
"""

DIALECTS = """
    class Wire:
        def __init__(self):
            self.written = []

        def write(self, data):
            self.written.append(data)

    class Printing(banana.Banana):
        def connectionReady(self):
            print("ready", self.currentDialect)

        def expressionReceived(self, expression):
            print(expression)

    for dialect in (b"none", b"pb"):
        printing = Printing()
        printing.makeConnection(Wire())
        printing._selectDialect(dialect)
        printing.sendEncoded([b"remote", 5, [b"x"]])
        print(printing.transport.written)
        printing.dataReceived(printing.transport.written[0])

    class Hearing(pb.PBClientFactory):
        def clientConnectionMade(self, broker):
            print("made", broker.currentDialect if hasattr(broker, "currentDialect") else b"none")

    alone = pb.Broker()
    alone.factory = Hearing()
    alone.makeConnection(protocol_wire := Wire())
    alone._selectDialect(b"none")
    print(b"".join(protocol_wire.written))
"""

LOCKS = """
    for lock in (defer.DeferredLock(), defer.DeferredSemaphore(2)):
        try:
            lock.release()
        except AssertionError:
            print("AssertionError", lock.tokens if hasattr(lock, "limit") and lock.limit > 1 else 1)
        lock.acquire()
        lock.release()
        try:
            lock.release()
        except AssertionError:
            print("AssertionError")
"""

DIGESTS = """
    for algorithm in (b"md5", b"md5-sess", b"sha"):
        one = credentials.calcHA1(algorithm, b"ann", b"realm", b"sesame", b"nonce", b"cnonce")
        again = credentials.calcHA1(algorithm, None, None, None, b"nonce", b"cnonce", preHA1=b"ab")
        for quality, body in ((b"auth", None), (b"auth-int", b"cd")):
            two = credentials.calcHA2(algorithm, b"GET", b"/a", quality, body)
            for count in (b"00000001", None):
                print(credentials.calcResponse(
                    one, two, algorithm, b"nonce", count, b"cnonce", quality))
        print(one, again, two)
    for wrong in (
        lambda: credentials.calcHA1(b"md5", b"ann", None, None, None, None, preHA1=b"ab"),
        lambda: credentials.calcHA1(b"md5", b"ann", b"realm", None, None, None),
        lambda: credentials.calcHA2(b"md5", b"GET", b"/a", b"auth-int", None),
        lambda: credentials.calcHA2(b"crc", b"GET", b"/a", b"auth", None),
    ):
        try:
            wrong()
        except Exception as error:
            print(type(error).__name__)
"""

UNHANDLED = """
    from zope.interface import Interface, implementer

    class ITicket(credentials.ICredentials):
        pass

    class IDesk(Interface):
        pass

    @implementer(IDesk, ITicket, credentials.IUsernameHashedPassword)
    class Ticket:
        pass

    class Realm:
        def requestAvatar(self, *args):
            pass

    for shown in (
        credentials.Anonymous(),
        credentials.UsernamePassword(b"a", b"b"),
        credentials.SSHPrivateKey(b"a", b"b", b"c", b"d", b"e"),
        Ticket(),
    ):
        asked = portal.Portal(Realm()).login(shown, None, pb.IPerspective)
        asked.addErrback(lambda failure: print(failure.type.__name__, failure.getErrorMessage()))
"""

LOGGING = """
    import logging

    class Printing(logging.Handler):
        def emit(self, record):
            text = record.getMessage().splitlines()
            print(record.name, record.levelno, text[0], text[-1])

    printing = Printing()
    logging.getLogger().addHandler(printing)
    logging.getLogger().setLevel(logging.DEBUG)
    observer = log.PythonLoggingObserver("field.app")
    observer.start()
    log.msg("hello", "there")
    log.msg(format="%(a)s!", a=5)
    log.msg("low", logLevel=logging.DEBUG)
    log.msg("high", logLevel=logging.WARNING)
    log.err("a text")
    try:
        1 / 0
    except ZeroDivisionError:
        log.err(None, "why")
        log.err()
    log.msg("marked", isError=1)
    log.msg(nothing=1)
    observer.stop()
    observer = log.PythonLoggingObserver()
    observer.emit({"message": ("by hand",), "isError": 0, "time": 0, "system": "-",
                   "log_format": "by hand", "log_namespace": "x", "log_time": 0})
    logging.getLogger().removeHandler(printing)
    lines = []

    class File:
        def write(self, text):
            lines.append(text.partition("] ")[2])

        def flush(self):
            pass

    to_file = log.FileLogObserver(File())
    to_file.start()
    log.msg("for the file")
    to_file.stop()
    log.msg("not for the file")
    print(lines)
"""

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


def printed(program: str, library: str, before: str = "") -> str:
    """The output of a program; ``before`` runs before any import of the reactor."""
    text = textwrap.dedent(before) + textwrap.dedent(HEAD[library]) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "program",
    [
        # Programs without a reactor are one program.
        pytest.param(FLAVORS + DIALECTS + LOCKS + DIGESTS + UNHANDLED, id="names"),
        pytest.param(LOGGING, id="logging"),
        pytest.param(STEPS, id="steps"),
        pytest.param(STEPS_UNTIL_A_SIGNAL, id="steps until a signal"),
        pytest.param(DESCRIPTORS, id="descriptors"),
        pytest.param(PROCESS_GROUPS, id="process groups"),
        pytest.param(PROVIDED, id="interfaces"),
        pytest.param(STRPORTS, id="strports"),
    ],
)
def test_same_prints(program: str) -> None:
    """A program prints the same here and with Twisted."""
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
