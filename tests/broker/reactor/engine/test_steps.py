"""A reactor whose loop the program runs itself, or gives."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from broker import reactor as module
from broker.reactor import Reactor
from broker.reactor.asyncioreactor import AsyncioSelectorReactor
from broker.reactor.engine.processes import ProcessProtocol
from broker.reactor.engine.provided import REACTOR
from broker.reactor.error import ReactorAlreadyRunning, ReactorNotRestartable
from broker.reactor.process import Process


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of the test."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def test_iterate_begins_by_itself() -> None:
    """A reactor that was not started begins with the first turn, and ends after stop."""
    reactor = Reactor()
    seen: list[Any] = []
    reactor.callWhenRunning(seen.append, "running")
    reactor.callLater(0, seen.append, "turn")
    reactor.iterate()
    assert (seen, reactor.running) == (["running", "turn"], True)
    reactor.stop()
    reactor.iterate()
    assert not reactor.running
    with pytest.raises(ReactorNotRestartable):
        reactor.iterate()


def test_iterate_inside_a_turn() -> None:
    """The loop cannot be run by one of its callbacks."""
    reactor = Reactor()
    raised: list[str] = []

    def turn() -> None:
        try:
            reactor.iterate()
        except RuntimeError as error:
            raised.append(str(error))

    reactor.callLater(0, turn)
    reactor.iterate()
    assert raised == ["iterate() was called by a callback of the running loop"]
    reactor.stop()
    reactor.iterate()


def test_run_while_it_is_turned() -> None:
    """A reactor that was started cannot be run again."""
    reactor = Reactor()
    reactor.startRunning(installSignalHandlers=False)
    with pytest.raises(ReactorAlreadyRunning):
        reactor.run()
    reactor.stop()
    reactor.iterate()


def test_start_running_in_another_thread() -> None:
    """Signals are handled in the main thread only; a refused reactor can still start."""
    reactor = Reactor()
    raised: list[type[BaseException]] = []

    def start() -> None:
        try:
            reactor.startRunning()
        except ValueError as error:
            raised.append(type(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert raised == [ValueError]
    reactor.callWhenRunning(reactor.stop)
    reactor.run()


async def test_start_running_as_a_guest() -> None:
    """In a running loop, the reactor uses that loop, and does not start another."""
    reactor = Reactor()
    reactor.startRunning()
    turned = asyncio.get_running_loop().create_future()
    reactor.callLater(0, turned.set_result, True)
    assert await turned
    assert reactor.running


def test_a_given_loop_that_the_program_runs(loop: asyncio.AbstractEventLoop) -> None:
    """Without run and startRunning, requests are handled once the program runs its loop."""
    reactor = AsyncioSelectorReactor(loop)
    seen: list[str] = []
    reactor.callWhenRunning(seen.append, "running")
    reactor.callLater(0.01, loop.stop)
    loop.run_forever()
    assert seen == ["running"]


def test_a_turn_that_ends_early_leaves_nothing(loop: asyncio.AbstractEventLoop) -> None:
    """A turn that the end interrupts does not stop the program's loop later."""
    reactor = AsyncioSelectorReactor(loop)
    reactor.startRunning(installSignalHandlers=False)
    reactor.callLater(0, reactor.stop)
    reactor.iterate(0.05)
    assert not reactor.running
    loop.run_until_complete(asyncio.sleep(0.1))


def test_a_loop_that_comes_too_late(loop: asyncio.AbstractEventLoop) -> None:
    """A reactor that has a loop, or has had one, refuses another."""
    reactor = AsyncioSelectorReactor()
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    with pytest.raises(ReactorAlreadyRunning):
        reactor.use_loop(loop)


def test_the_module_and_a_reactor_are_what_they_say() -> None:
    """The module and a Reactor have all names of the interfaces that they provide."""
    for interface in REACTOR:
        verifyObject(interface, Reactor())
        assert interface.providedBy(module)
        assert all(hasattr(module, name) for name in interface.names(all=True))


def test_a_process_whose_preparation_raises() -> None:
    """An error before the program begins is raised to the caller that started it."""

    class Broken(Process):
        def _setupChild(self, fdmap: Any) -> None:
            raise ValueError("broken")

    with pytest.raises(subprocess.SubprocessError):
        Broken(module, sys.executable, ["-c", ""], {}, None, ProcessProtocol())


def test_what_a_process_is_prepared_with(tmp_path: Any) -> None:
    """The descriptors of the child are set, under their own numbers."""
    told = tmp_path / "told"

    class Telling(Process):
        def _setupChild(self, fdmap: Any) -> None:
            told.write_text(str(fdmap))

    reactor = Reactor()

    class Waiting(ProcessProtocol):
        def processEnded(self, reason: Any) -> None:
            reactor.stop()

    args = [sys.executable, "-c", ""]
    reactor.callWhenRunning(Telling, reactor, sys.executable, args, {}, None, Waiting())
    reactor.run()
    assert told.read_text() == "{0: 0, 1: 1, 2: 2}"
