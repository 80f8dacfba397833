"""Ctrl-C in programs that wait: processes that get a SIGINT."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest
from support.programs import environment
from support.shop import DIALECTS, Shop

from broker import blocking

START = """
import socket, sys, threading, time
from contextlib import suppress
import broker.blocking
from broker import blocking
from support.shop import Shop, policy_of, shop

def say(text):
    print(text, flush=True)

def tell(here, event):
    "Say when an event has come, so that the test sends the signal then."
    def wait():
        here.until(event)
        say("now")
    threading.Thread(target=wait, daemon=True).start()
"""


def interrupted(program: str, *arguments: str, signals: int = 1) -> list[str]:
    """Run a program, send SIGINT each time that it says "now"; return what else it says."""
    command = [sys.executable, "-W", "error", "-c", START + textwrap.dedent(program), *arguments]
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line == "now\n":
                process.send_signal(signal.SIGINT)
                signals -= 1
            else:
                said.append(line.rstrip())
        errors = process.stderr.read()
    assert (errors, process.returncode, signals) == ("", 0, 0), said
    return said


@pytest.mark.parametrize("dialect", DIALECTS)
def test_in_a_call(dialect: str) -> None:
    """Ctrl-C in a call is raised, and cancels the method at a peer that can be told."""
    program = """
    with shop(sys.argv[1]) as (here, connection):
        tell(here, "began")
        try:
            connection.root.callRemote("slow")
        except KeyboardInterrupt:
            say("interrupted")
        say(connection.root.callRemote("echo", "goes on"))
        if sys.argv[1] == "msgpack/1":
            here.until("cancelled")
            say("cancelled")
    """
    said = ["interrupted", "goes on", *["cancelled"] * (dialect == "msgpack/1")]
    assert interrupted(program, dialect) == said


def test_in_a_stream() -> None:
    """Ctrl-C while an item is awaited is raised, and closes the peer's generator."""
    program = """
    with shop() as (here, connection):
        rows = iter(connection.root.callRemote("endless"))
        def wait():
            while not rows._lock.locked():
                time.sleep(0.001)
            say("now")
        try:
            for row in rows:
                say(row)
                threading.Thread(target=wait).start()
        except KeyboardInterrupt:
            say("interrupted")
        here.until("closed")
        say(list(rows))
    """
    assert interrupted(program) == ["1", "interrupted", "[]"]


def test_while_connecting() -> None:
    """Ctrl-C while connecting is raised, and the attempt is given up."""
    program = """
    silent = socket.create_server(("127.0.0.1", 0))
    def accept():
        with silent.accept()[0] as taken:
            say("now")
            with suppress(ConnectionResetError):
                assert taken.recv(1) == b""
            say("given up")
    thread = threading.Thread(target=accept)
    thread.start()
    try:
        blocking.connect(f"pb://127.0.0.1:{silent.getsockname()[1]}", timeout=60)
    except KeyboardInterrupt:
        thread.join()
        say("interrupted")
    silent.close()
    """
    assert interrupted(program) == ["given up", "interrupted"]


def test_a_coroutine_of_the_program() -> None:
    """Ctrl-C in run cancels the coroutine, which cleans up before the interrupt is raised."""
    program = """
    import asyncio
    async def work():
        try:
            say("now")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            say("cleaned up")
    with shop() as (here, connection):
        try:
            connection.run(work())
        except KeyboardInterrupt:
            say("interrupted")
    """
    assert interrupted(program) == ["cleaned up", "interrupted"]


def test_a_coroutine_that_does_not_end() -> None:
    """A second Ctrl-C does not wait for what the first one cancels."""
    program = """
    import asyncio
    async def work():
        say("now")
        try:
            await asyncio.sleep(60)
        finally:
            say("now")
            await asyncio.sleep(60)
    with shop() as (here, connection):
        try:
            connection.run(work())
        except KeyboardInterrupt:
            say("interrupted")
    """
    assert interrupted(program, signals=2) == ["interrupted"]


def test_serving_callbacks() -> None:
    """serve_callbacks waits until Ctrl-C, and returns then."""
    program = """
    with shop() as (here, connection):
        threading.Timer(0.01, say, ["now"]).start()
        connection.serve_callbacks()
        say(connection.is_closed)
    say(connection.is_closed)
    """
    assert interrupted(program) == ["False", "True"]


def test_a_server() -> None:
    """serve_forever waits until Ctrl-C, drains, and closes the server."""
    program = """
    here = Shop()
    with blocking.serve(here, "pb://127.0.0.1:0") as server:
        with blocking.connect(server.addresses[0]) as connection:
            threading.Timer(0.01, say, ["now"]).start()
            server.serve_forever(drain=0)
            say(server.connections)
        say(server)
    """
    said = interrupted(program)
    assert said[0] == "()"
    assert said[1].endswith("closed>")


def test_not_caught() -> None:
    """A program that does not catch the interrupt ends as Python does, and its peer is told."""
    here = Shop()
    with blocking.serve(here, "pb://127.0.0.1:0", drain=0) as server:
        program = f"""
from broker import blocking
blocking.connect({server.addresses[0]!r}).root.callRemote("slow")
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True
        ) as process:
            here.until("began")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
        assert process.returncode == -signal.SIGINT
        assert errors.endswith("KeyboardInterrupt\n")
        here.until("cancelled")
