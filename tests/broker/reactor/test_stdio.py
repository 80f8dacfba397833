"""StandardIO: the standard streams as a connection, here and with Twisted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from broker.reactor import Reactor
from broker.reactor.protocol import Protocol
from broker.reactor.stdio import PipeAddress, StandardIO

HEAD = {
    "ours": "from broker import reactor\nfrom broker.reactor import protocol, stdio\n",
    "twisted": "from twisted.internet import protocol, reactor, stdio\n",
}

UPPER = """
import sys

class Upper(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"welcome ")

    def dataReceived(self, data):
        self.transport.write(data.upper())
        if b"quit" in data:
            self.transport.loseConnection()

    def connectionLost(self, reason):
        print(reason.type.__name__, file=sys.stderr)
        reactor.stop()

stdio.StandardIO(Upper())
reactor.run()
"""


@pytest.mark.parametrize("library", ["ours", "twisted"])
@pytest.mark.parametrize("text", ["hello", "hello, quit"])
def test_echo(library: str, text: str) -> None:
    """The end of the input, and the protocol itself, end the connection after all is written."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HEAD[library] + textwrap.dedent(UPPER)],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"welcome {text.upper()}")
    assert done.stderr == "ConnectionDone\n"


def test_other_descriptors(reactor: Reactor) -> None:
    """Other descriptors and another reactor work too; before that runs there is no transport."""
    reading, far_writing = os.pipe()
    far_reading, writing = os.pipe()
    seen: list[Any] = []

    class Noting(Protocol):
        def connectionMade(self) -> None:
            seen.append(self.transport.getPeer())
            streams.write(b"out")

        def dataReceived(self, data: bytes) -> None:
            seen.append(data)
            reactor.stop()

        def connectionLost(self, reason: Any = None) -> None:
            seen.append(reason.type.__name__)

    streams = StandardIO(Noting(), reading, writing, reactor)
    with pytest.raises(AttributeError, match="not before the reactor runs"):
        streams.write(b"too early")
    os.write(far_writing, b"in")
    reactor.run()
    assert seen == [PipeAddress("standard streams"), b"in", "ConnectionAborted"]
    assert os.read(far_reading, 10) == b"out"
    for fd in (far_reading, far_writing):
        os.close(fd)


async def test_in_a_running_loop() -> None:
    """In a running loop, the connection is made at once; the module is used as the reactor."""
    from broker import reactor

    reading, far_writing = os.pipe()
    far_reading, writing = os.pipe()
    ended: list[str] = []

    class Noting(Protocol):
        def connectionLost(self, reason: Any = None) -> None:
            ended.append(reason.type.__name__)

    protocol = Noting()
    streams = StandardIO(protocol, reading, writing, reactor=reactor)
    assert protocol.transport is not None
    assert not streams.disconnecting
    os.close(far_writing)
    while not ended:
        await asyncio.sleep(0)
    assert ended == ["ConnectionDone"]
    os.close(far_reading)
