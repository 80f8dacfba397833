"""spawnProcess: programs that print the same here and with Twisted, and the differences."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from broker import pb
from broker.failure import Failure
from broker.reactor import Reactor
from broker.reactor.engine.processes import ProcessProtocol
from broker.reactor.error import ProcessDone, ProcessExitedAlready, ProcessTerminated

HEAD = {
    "ours": """
        import sys
        from broker import reactor
        from broker.reactor import error, protocol
    """,
    "twisted": """
        import sys
        from twisted.internet import reactor, error, protocol
    """,
}

# The order in which the ends of different pipes are reported is not defined: they are sorted.
NOTING = """
    class Noting(protocol.ProcessProtocol):
        def __init__(self):
            self.out, self.err, self.lost, self.order = b"", b"", [], []

        def connectionMade(self):
            print("made", self.transport.pid is not None)

        def outReceived(self, data):
            self.out += data

        def errReceived(self, data):
            self.err += data

        def inConnectionLost(self):
            self.lost.append("in")

        def outConnectionLost(self):
            self.lost.append("out")

        def errConnectionLost(self):
            self.lost.append("err")

        def processExited(self, reason):
            self.order.append("exited")

        def processEnded(self, reason):
            self.order.append("ended")
            value = reason.value
            print(self.out, self.err, sorted(self.lost), self.order, type(value).__name__)
            print(value.exitCode, value.signal, value.status, self.transport.pid)
            try:
                self.transport.signalProcess("TERM")
            except error.ProcessExitedAlready as exc:
                print(type(exc).__name__)
            self.transport.write(b"dropped")
            self.transport.closeStdin()
            self.transport.loseConnection()
            reactor.stop()

    def spawn(program, protocol_class=Noting, **kw):
        arguments = [sys.executable, "-c", program]
        return reactor.spawnProcess(protocol_class(), sys.executable, arguments, **kw)
"""

ECHO = """
    class Asking(Noting):
        def connectionMade(self):
            super().connectionMade()
            self.transport.write(b"one ")
            self.transport.writeToChild(0, b"two")
            self.transport.writeSequence(seq=[b" three", b" four"])
            self.transport.closeStdin()

    spawn("import sys; sys.stderr.write('bye'); sys.stdout.write(sys.stdin.read())", Asking)
    reactor.run()
"""

ENVIRONMENT = """
    spawn("import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE'), os.getcwd())",
          path="/")
    reactor.run()
"""

INHERITED = """
    import os
    os.environ["MARK"] = "here"
    spawn("import os; print(os.environ['MARK']); os._exit(3)", env=None)
    reactor.run()
"""

SIGNALLED = """
    class Killing(Noting):
        def outReceived(self, data):
            self.transport.signalProcess("KILL")

    spawn("import sys, time; print('up', flush=True); time.sleep(60)", Killing)
    reactor.run()
"""

LETTING_GO = """
    class Leaving(Noting):
        def outReceived(self, data):
            self.transport.loseConnection()

    spawn("import sys; print('up', flush=True); sys.stdin.read(); raise SystemExit(5)", Leaving)
    reactor.run()
"""

CLOSING_ONE = """
    class Closing(Noting):
        def outReceived(self, data):
            self.transport.closeStdout()

        def outConnectionLost(self):
            super().outConnectionLost()
            self.transport.write(b"go")
            self.transport.closeStdin()

    spawn("import sys; print('up', flush=True); sys.stderr.write(sys.stdin.read())", Closing)
    reactor.run()
"""

DESCRIPTORS = """
    import os
    reading, writing = os.pipe()
    spawn("import os; os.write(2, b'to the pipe'); os.write(1, b'out')",
          childFDs={0: "w", 1: "r", 2: writing})
    reactor.run()
    os.close(writing)
    print(os.read(reading, 100))
"""


def printed(program: str, library: str) -> list[str]:
    """Run a program with the imports of one library; return its output, in lines."""
    text = "".join(map(textwrap.dedent, (HEAD[library], NOTING, program)))
    done = subprocess.run(
        [sys.executable, "-W", "error" if library == "ours" else "ignore", "-X", "dev", "-c", text],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if library == "ours":
        assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "program",
    [ECHO, ENVIRONMENT, INHERITED, SIGNALLED, LETTING_GO, CLOSING_ONE, DESCRIPTORS],
    ids=["echo", "environment", "inherited", "signalled", "letting go", "closing", "descriptors"],
)
def test_same_prints(program: str) -> None:
    """A program with a child prints the same here and with Twisted."""
    assert printed(program, "ours") == printed(program, "twisted")


class Ending(ProcessProtocol):
    """Records its events, and stops the reactor at the end."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.data = b""
        self.reason: Any = None

    def outReceived(self, data: bytes) -> None:
        """Keep the output."""
        self.data += data

    def processEnded(self, reason: Failure) -> None:
        """Keep the reason, and stop."""
        self.reason = reason.value
        assert self.transport not in self.reactor._held
        self.reactor.stop()


def spawn(protocol: Ending, program: str, **kw: Any) -> Any:
    """Run a program with a protocol."""
    return protocol.reactor.spawnProcess(
        protocol, sys.executable, [sys.executable, "-c", program], **kw
    )


def test_before_the_reactor_runs(reactor: Reactor, run: Callable[[], None]) -> None:
    """A process is started, and can be written to, before the reactor runs."""
    protocol = Ending(reactor)
    transport = spawn(protocol, "import sys; print(len(sys.stdin.read()))")
    assert protocol.transport is transport
    assert os.path.exists(f"/proc/{transport.pid}") or sys.platform != "linux"
    transport.write(bytes(1 << 20))
    assert transport.unsent > 0
    assert repr(transport) == f"<ProcessTransport {sys.executable}: pid {transport.pid}>"
    transport.closeStdin()
    run()
    assert (protocol.data, transport.unsent) == (b"1048576\n", 0)
    assert type(protocol.reason) is ProcessDone
    assert repr(transport).endswith("ended>")


def test_pull_producer(reactor: Reactor, run: Callable[[], None]) -> None:
    """A pull producer writes to the child's input, one piece for each request."""
    protocol = Ending(reactor)

    class Pieces:
        left = 5

        def resumeProducing(self) -> None:
            self.left -= 1
            if self.left < 0:
                transport.unregisterProducer()
                transport.closeStdin()
            else:
                transport.write(bytes(100_000))

        def stopProducing(self) -> None:
            raise AssertionError

    transport = spawn(protocol, "import sys; print(len(sys.stdin.read()))")
    transport.registerProducer(Pieces(), False)
    run()
    assert protocol.data == b"500000\n"


def test_push_producer(reactor: Reactor, run: Callable[[], None]) -> None:
    """A push producer is paused while the child reads nothing, resumed, and stopped at the end."""
    protocol = Ending(reactor)
    said: list[str] = []

    class Pushing:
        def pauseProducing(self) -> None:
            said.append("pause")
            os.kill(transport.pid, signal.SIGCONT)

        def resumeProducing(self) -> None:
            said.append("resume")
            transport.signalProcess("KILL")

        def stopProducing(self) -> None:
            said.append("stop")

    transport = spawn(protocol, "import sys, time; sys.stdin.read(1 << 19); time.sleep(60)")
    transport.on_drained = lambda: said.append("drained")
    transport.registerProducer(Pushing(), True)
    transport.write(bytes(1 << 19))
    run()
    assert said == ["pause", "drained", "resume", "stop"]
    assert (type(protocol.reason), protocol.reason.signal) == (ProcessTerminated, signal.SIGKILL)
    late: list[str] = []
    Late = type("Late", (), {"stopProducing": lambda self: late.append("stopped")})
    transport.registerProducer(Late(), True)
    assert late == ["stopped"]


def test_pausing(reactor: Reactor, run: Callable[[], None]) -> None:
    """No data is delivered while the protocol has paused a process."""
    protocol = Ending(reactor)
    transport = spawn(protocol, "print('out')")

    def check() -> None:
        assert protocol.data == b""
        transport.resumeProducing()

    transport.pauseProducing()
    reactor.callLater(0.1, check)
    run()
    assert protocol.data == b"out\n"


def test_a_protocol_that_raises(
    reactor: Reactor, run: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of a protocol is logged, and the end is still reported to it."""
    protocol = Ending(reactor)
    protocol.outReceived = lambda data: 1 / 0  # type: ignore[method-assign, assignment]
    spawn(protocol, "print('out')")
    run()
    assert type(protocol.reason) is ProcessDone
    assert "childDataReceived" in caplog.text


def test_stopping(reactor: Reactor, run: Callable[[], None]) -> None:
    """When the reactor stops, the pipes are closed and reported; the process keeps running."""
    lost: list[int] = []

    class Leaving(ProcessProtocol):
        def outReceived(self, data: bytes) -> None:
            reactor.stop()

        def childConnectionLost(self, childFD: int) -> None:
            lost.append(childFD)

    program = "import os; os.write(1, b'up'); os.read(0, 1)"
    transport = reactor.spawnProcess(Leaving(), sys.executable, [sys.executable, "-c", program])
    run()
    assert lost == [0, 1, 2]
    assert transport._child._process.wait(10) == 0


def test_abort(reactor: Reactor, run: Callable[[], None]) -> None:
    """An aborted process loses its pipes, with all unsent bytes."""
    protocol = Ending(reactor)
    program = "import os, signal, sys, time; print('up', flush=True); time.sleep(.1)"
    transport = spawn(protocol, program)
    transport.write(bytes(1 << 20))
    protocol.outReceived = lambda data: transport.abortConnection()  # type: ignore[method-assign]
    run()
    assert type(protocol.reason) is ProcessDone
    assert (transport.disconnecting, transport.unsent) == (True, 0)


def test_misuse(reactor: Reactor, run: Callable[[], None]) -> None:
    """Invalid settings and signals of a process are refused with an error text."""
    protocol = Ending(reactor)
    with pytest.raises(FileNotFoundError):
        reactor.spawnProcess(protocol, "/no/such/program")
    with pytest.raises(ValueError, match="no terminal"):
        reactor.spawnProcess(protocol, sys.executable, usePTY=True)
    with pytest.raises(ValueError, match="0, 1 and 2, and no others"):
        spawn(protocol, "", childFDs={0: "w", 5: "r"})
    with pytest.raises(ValueError, match="descriptor 0 of a process can be 'w', not 'r'"):
        spawn(protocol, "", childFDs={0: "r"})
    transport = spawn(protocol, "", childFDs={})
    with pytest.raises(KeyError):
        transport.writeToChild(0, b"x")
    with pytest.raises(ValueError, match="no signal is called 'FOO'"):
        transport.signalProcess("FOO")
    transport.write(b"dropped")
    transport.closeChildFD(7)
    run()
    with pytest.raises(ProcessExitedAlready):
        transport.signalProcess(15)


def test_broker_over_a_process(reactor: Reactor, run: Callable[[], None]) -> None:
    """A Broker works over the streams of a process, also with an async method."""

    class Named(pb.Referenceable):
        async def remote_name(self) -> str:
            return "parent"

    class Bridge(ProcessProtocol):
        def connectionMade(self) -> None:
            self.broker = factory.buildProtocol(None)
            self.broker.makeConnection(self.transport)

        def outReceived(self, data: bytes) -> None:
            self.broker.dataReceived(data)

        def processEnded(self, reason: Failure) -> None:
            self.broker.connectionLost(reason)
            answers.append(type(reason.value))
            reactor.stop()

    child = textwrap.dedent("""
        from broker import pb, reactor
        from broker.reactor import stdio

        class Root(pb.Root):
            async def remote_greet(self, who):
                return "hello " + await who.callRemote("name")

        broker = pb.PBServerFactory(Root()).buildProtocol(None)
        broker.notifyOnDisconnect(reactor.stop)
        stdio.StandardIO(broker)
        reactor.run()
    """)
    factory = pb.PBClientFactory()
    answers: list[Any] = []
    transport = reactor.spawnProcess(
        Bridge(), sys.executable, [sys.executable, "-c", child], env=None
    )
    called = factory.getRootObject().addCallback(lambda root: root.callRemote("greet", Named()))
    called.addBoth(answers.append)
    called.addCallback(lambda _: transport.loseConnection())
    run()
    assert answers == ["hello parent", ProcessDone]
