"""Connections over the standard streams of a child process: real ones, which always end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from broker.errors import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from broker.net.pipes.children import Child, connect_command
from broker.net.socket_addresses import PipeAddress

Run = Callable[[Coroutine[Any, Any, Any]], Any]

ECHO = "import os\nwhile data := os.read(0, 100): os.write(1, data)"
DEAF = "import os, signal, time\n{}os.write(1, b'up')\ntime.sleep(60)"
STUBBORN = DEAF.format("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n")


@pytest.fixture
def protocol(recorder: Any) -> Any:
    """A protocol that records."""
    return recorder()


def python(program: str) -> list[str]:
    """The command line of a program."""
    return [sys.executable, "-c", program]


def is_gone(transport: Any) -> bool:
    """Has the child of this transport been ended and reaped?"""
    try:
        os.kill(transport._source.child.pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_both_ways(each_loop, protocol: Any) -> None:
    """Written bytes reach the child's input, and its output returns; it ends when we close."""
    arguments = python(ECHO)
    transport = await connect_command(lambda address: protocol, arguments)
    assert transport.getPeer() == PipeAddress(str(transport.getPeer()))
    assert str(transport.getPeer()).startswith(f"{sys.executable} -c 'import os")
    transport.write(b"hello")
    assert await protocol.received(5) == b"hello"
    transport.loseConnection()
    assert type(await protocol.lost()) is ConnectionDone
    assert is_gone(transport)


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("raise SystemExit(3)", "the command exited with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "the command was ended by signal 9"),
        ("", None),
    ],
)
async def test_child_ends(each_loop, protocol: Any, program: str, text: str | None) -> None:
    """A child that ends by itself ends the connection; an exit status other than 0 is reported."""
    await connect_command(lambda address: protocol, python(program))
    reason = await protocol.lost()
    if text is None:
        assert type(reason) is ConnectionDone
    else:
        assert (type(reason), str(reason)) == (ConnectionLost, text)


async def test_child_closes_its_output(each_loop, protocol: Any) -> None:
    """The failure of a child that has closed its streams before is reported."""
    program = "import os, time; os.close(1); os.close(0); time.sleep(0.1); os._exit(4)"

    await connect_command(lambda address: protocol, python(program))
    assert str(await protocol.lost()) == "the command exited with status 4"


async def test_child_reads_no_more(each_loop, protocol: Any) -> None:
    """A child that does not read its input, and then fails, is reported by its failure."""
    program = "import os, time; os.close(0); time.sleep(0.1); os._exit(5)"

    await connect_command(lambda address: protocol, python(program))
    assert str(await protocol.lost()) == "the command exited with status 5"


async def test_child_says_no_more(each_loop, protocol: Any) -> None:
    """A child that closes its output and keeps running is terminated, which is not a failure."""
    program = "import os, time; os.close(1); time.sleep(60)"

    transport = await connect_command(lambda address: protocol, python(program), close_timeout=0.1)
    assert type(await protocol.lost()) is ConnectionDone
    assert transport._source._alarm is not None
    assert transport._source._alarm.cancelled()


@pytest.mark.parametrize("program", [DEAF.format(""), STUBBORN], ids=["deaf", "stubborn"])
async def test_child_lives_on(each_loop, protocol: Any, program: str) -> None:
    """A child that does not end with its input is terminated, and then killed."""
    transport = await connect_command(lambda address: protocol, python(program), close_timeout=0.1)
    await protocol.received(2)
    transport.loseConnection()
    assert type(await protocol.lost()) is ConnectionDone
    assert is_gone(transport)
    expected = signal.SIGKILL if program == STUBBORN else signal.SIGTERM
    assert transport._source.child.returncode == -expected


async def test_abort(each_loop, protocol: Any) -> None:
    """Cutting the connection ends the child at once, and leaves no timer behind."""
    transport = await connect_command(
        lambda address: protocol, python(DEAF.format("")), close_timeout=60
    )
    await protocol.received(2)
    transport.abortConnection()
    assert type(await protocol.lost()) is ConnectionAborted
    assert transport._source.child.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["no-such-program", "x"], "cannot run 'no-such-program': No such file or directory"),
        (["/"], "cannot run '/': Permission denied"),
    ],
)
async def test_no_program(each_loop, arguments: list[str], text: str) -> None:
    """A program that cannot be run is a ConnectError that names it."""
    with pytest.raises(ConnectError) as caught:
        await connect_command(lambda address: None, arguments)
    assert str(caught.value) == text
    assert caught.value.osError is not None


async def test_refused(each_loop) -> None:
    """Where no protocol is made the child is ended."""
    seen = []

    with pytest.raises(ConnectError, match="no protocol was made"):
        await connect_command(seen.append, python(DEAF.format("")), close_timeout=60)
    while any(thread.name == "child" for thread in threading.enumerate()):
        await asyncio.sleep(0.01)
    assert [type(address) for address in seen] == [PipeAddress]


def test_watching() -> None:
    """The end of a child is told once, by way of what was given, with its status."""
    child = Child(python("raise SystemExit(7)"), streams=(subprocess.DEVNULL,) * 3)
    assert child.pipes == {}
    told: list[Any] = []
    child.watch(lambda f, *args: f(*args), lambda: told.append("exited"))
    child._process.wait()
    while not told:
        pass
    assert (told, child.returncode) == (["exited"], 7)
    child.signal(signal.SIGTERM)
