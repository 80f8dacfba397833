"""Whole programs with the published API, run as processes: here, and with Twisted."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import twisted.internet.protocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.protocols.basic import LineReceiver

from broker.reactor import Reactor

TWISTED = {
    "from broker import reactor": "from twisted.internet import reactor",
    "from broker.reactor.": "from twisted.internet.",
}

ECHO = """
    from broker import reactor
    from broker.reactor.protocol import ClientFactory, Factory, Protocol

    class Echo(Protocol):
        def connectionMade(self):
            print("server:", self.transport.getPeer().type, self.factory.name)

        def dataReceived(self, data):
            self.transport.write(data)

    class Ask(Protocol):
        def connectionMade(self):
            print("client:", self.connected)
            self.transport.write(b"hello")

        def dataReceived(self, data):
            print("client got", data)
            self.transport.loseConnection()

        def connectionLost(self, reason):
            print("client lost:", reason.type.__name__, reason.getErrorMessage())

    class Asking(ClientFactory):
        protocol = Ask
        tries = 0

        def startedConnecting(self, connector):
            print("connecting:", connector.state, running())

        def clientConnectionLost(self, connector, reason):
            print("lost:", connector.state, reason.type.__name__)
            self.tries += 1
            if self.tries < 2:
                connector.connect()
            else:
                call = reactor.callLater(60, print, "never")
                call.reset(120)
                call.cancel()
                print("active:", call.active())
                port.stopListening().addCallback(closed)

        def clientConnectionFailed(self, connector, reason):
            print("failed:", connector.state, reason.type.__name__)
            reactor.stop()

        def stopFactory(self):
            print("stopped")

    def running():
        return reactor.running

    def closed(result):
        print("closed:", result, factory.numPorts)
        reactor.connectTCP("127.0.0.1", number, Asking())

    factory = Factory.forProtocol(Echo)
    factory.name = "echo"
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    number = port.getHost().port
    reactor.callWhenRunning(print, "running")
    reactor.callLater(0, lambda: reactor.connectTCP("127.0.0.1", number, Asking()))
    reactor.run()
    print("end:", reactor.running)
"""

WAIT = """
    from broker import reactor
    reactor.callWhenRunning(print, "ready", flush=True)
    reactor.run()
    print("end")
"""


def text_of(program: str, library: str) -> str:
    """The program, with the imports of one library."""
    program = textwrap.dedent(program)
    if library == "twisted":
        for ours, theirs in TWISTED.items():
            program = program.replace(ours, theirs)
    return program


def start(program: str, library: str) -> subprocess.Popen[str]:
    """Run a program as a process of its own."""
    warnings = ["-W", "error"] if library == "ours" else []
    return subprocess.Popen(
        [sys.executable, *warnings, "-X", "dev", "-c", text_of(program, library)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(params=["ours", "twisted"])
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    """The library with the reactor."""
    return request.param


def test_same_output() -> None:
    """A program prints the same with our imports and with Twisted's, and ends by stop()."""
    outputs = {}
    for library in ("ours", "twisted"):
        with start(ECHO, library) as process:
            out, err = process.communicate(timeout=30)
        outputs[library] = out
        assert (process.returncode, err if library == "ours" else "") == (0, "")
    assert outputs["ours"].splitlines()[0] == "running"
    assert outputs["ours"] == outputs["twisted"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(library: str, number: signal.Signals) -> None:
    """After SIGTERM and SIGINT run returns, and the program continues, as in Twisted."""
    with start(WAIT, library) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "end\n")
    if library == "ours":
        assert err == ""


def test_twisted_factories(reactor: Reactor, run: Callable[[], None]) -> None:
    """Factories and protocols of Twisted run on this reactor, and understand its reasons."""
    lines: list[bytes] = []
    lost: list[Any] = []

    class Upper(LineReceiver):
        def connectionMade(self) -> None:
            self.sendLine(b"welcome")

        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line.upper())
            self.transport.loseConnection()

    class Ask(LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            lines.append(line)
            if line == b"welcome":
                self.sendLine(b"hello")

        def connectionLost(self, reason: Any) -> None:
            lost.append(reason.check(ConnectionDone))

    class Asking(twisted.internet.protocol.ClientFactory):
        protocol = Ask

        def clientConnectionLost(self, connector: Any, reason: Any) -> None:
            lost.append(reason.check(ConnectionLost, ConnectionDone))
            reactor.stop()

    port = reactor.listenTCP(
        0, twisted.internet.protocol.Factory.forProtocol(Upper), interface="127.0.0.1"
    )
    reactor.connectTCP("127.0.0.1", port.getHost().port, Asking())
    run()
    assert lines == [b"welcome", b"HELLO"]
    assert lost == [ConnectionDone, ConnectionDone]
