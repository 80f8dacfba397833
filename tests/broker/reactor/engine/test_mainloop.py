"""The reactor: running, stopping, time, signals and threads."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from broker.reactor import Reactor
from broker.reactor.engine import mainloop
from broker.reactor.error import (
    ReactorAlreadyRunning,
    ReactorNotRestartable,
    ReactorNotRunning,
)
from broker.reactor.protocol import ClientFactory, Factory, Protocol

Run = Callable[[], None]


# Starting and stopping.


def test_run_and_stop(reactor: Reactor) -> None:
    """run returns after stop, and running is true in between only."""
    seen = [reactor.running]
    reactor.callWhenRunning(lambda: seen.append(reactor.running))
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert [*seen, reactor.running] == [False, True, False]


def test_restart(reactor: Reactor) -> None:
    """A reactor runs once."""
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    with pytest.raises(ReactorNotRestartable):
        reactor.run()


def test_run_twice_at_once(reactor: Reactor, run: Run) -> None:
    """run refuses while the reactor runs."""
    raised: list[Exception] = []

    def run_again() -> None:
        try:
            reactor.run()
        except ReactorAlreadyRunning as exc:
            raised.append(exc)
        reactor.stop()

    reactor.callWhenRunning(run_again)
    run()
    assert len(raised) == 1


def test_stop_before_running(reactor: Reactor) -> None:
    """stop refuses before the reactor runs, and after."""
    with pytest.raises(ReactorNotRunning):
        reactor.stop()
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    with pytest.raises(ReactorNotRunning):
        reactor.stop()


def test_stop_twice(reactor: Reactor, run: Run) -> None:
    """A second stop is refused, also before the reactor has stopped."""

    def stop_twice() -> None:
        reactor.stop()
        assert reactor.running
        with pytest.raises(ReactorNotRunning):
            reactor.stop()
        done.append(True)

    done: list[bool] = []
    reactor.callLater(0, stop_twice)
    run()
    assert done == [True]


def test_call_when_running(reactor: Reactor, run: Run) -> None:
    """Before the start calls wait and keep their order; later they are made at once."""
    seen: list[object] = []

    def second() -> None:
        seen.append("second")
        reactor.callWhenRunning(seen.append, "at once")
        seen.append("end of second")
        reactor.stop()

    reactor.callWhenRunning(seen.append, "first")
    reactor.callWhenRunning(second)
    reactor.callWhenRunning(lambda *, third: seen.append(third), third="third")
    assert seen == []
    run()
    assert seen == ["first", "second", "at once", "end of second", "third"]


def test_raising_when_running(reactor: Reactor, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a callback is logged; the reactor continues."""
    reactor.callWhenRunning(lambda: 1 / 0)
    reactor.callWhenRunning(reactor.stop)
    run()
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_system_exit(reactor: Reactor) -> None:
    """SystemExit in a callback starts the shutdown and is raised by run."""
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    address = ("127.0.0.1", port.getHost().port)
    reactor.callLater(0, exit, 3)
    with pytest.raises(SystemExit) as raised:
        reactor.run()
    assert raised.value.code == 3
    with socket.socket() as probe:
        assert probe.connect_ex(address) != 0


def test_uvloop(run: Run) -> None:
    """The loop is made by the factory that was given."""
    reactor = Reactor(loop_factory=uvloop.new_event_loop)
    seen: list[str] = []

    def look() -> None:
        seen.append(type(asyncio.get_running_loop()).__module__)
        reactor.stop()

    reactor.callLater(0.01, look)
    reactor.run()
    assert seen == ["uvloop"]


# Signals.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_signals(
    number: signal.Signals, loop_factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGINT and SIGTERM stop the reactor, a second one has no effect, and run returns."""
    caplog.set_level(logging.INFO, "broker.reactor")
    reactor = Reactor(loop_factory=loop_factory)

    def twice() -> None:
        signal.raise_signal(number)
        signal.raise_signal(number)

    reactor.callLater(0, twice)
    reactor.run()
    assert caplog.messages == [f"received {number.name}, shutting down"] * 2


def test_signal_from_outside(reactor: Reactor) -> None:
    """A signal wakes up an idle reactor."""
    timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGTERM))
    main = threading.main_thread().ident
    reactor.callWhenRunning(timer.start)
    reactor.run()
    timer.join()
    assert not reactor.running


def test_own_sigint_handler(reactor: Reactor) -> None:
    """A handler that the program set for SIGINT stays."""
    heard: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        reactor.callLater(0, signal.raise_signal, signal.SIGINT)
        reactor.callLater(0.01, reactor.stop)
        reactor.run()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert heard == [signal.SIGINT]


def test_no_signal_handlers(reactor: Reactor) -> None:
    """Without handlers of the reactor, SIGINT raises KeyboardInterrupt in run."""
    reactor.callLater(0, signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        reactor.run(installSignalHandlers=False)


def test_run_in_a_thread(reactor: Reactor) -> None:
    """Outside the main thread a reactor runs only without signal handlers."""
    raised: list[type[Exception]] = []

    def body() -> None:
        try:
            reactor.run()
        except ValueError as exc:
            raised.append(type(exc))
        reactor.callWhenRunning(reactor.stop)
        reactor.run(installSignalHandlers=False)
        raised.append(SystemError)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(10)
    assert raised == [ValueError, SystemError]


# Time.


def test_call_later(reactor: Reactor, run: Run) -> None:
    """Calls are made after their delay, in order, also those scheduled before the start."""
    begin = reactor.seconds()
    seen: list[tuple[str, float]] = []

    def note(what: str) -> None:
        seen.append((what, reactor.seconds() - begin))

    reactor.callLater(0.04, note, "second")
    reactor.callLater(0.02, note, "first")
    reactor.callLater(0.06, reactor.stop)
    reactor.callWhenRunning(reactor.callLater, 0.03, note, what="between")
    run()
    assert [what for what, _ in seen] == ["first", "between", "second"]
    assert seen[0][1] >= 0.02
    assert seen[2][1] >= 0.04


def test_moving_calls(reactor: Reactor, run: Run) -> None:
    """A call can be moved earlier or later, and cancelled, while the loop waits for it."""
    seen: list[str] = []
    sooner = reactor.callLater(60, seen.append, "sooner")
    later = reactor.callLater(0.01, seen.append, "later")
    never = reactor.callLater(0.01, seen.append, "never")

    def change() -> None:
        sooner.reset(0.02)
        later.delay(0.03)
        never.cancel()
        assert later in reactor.getDelayedCalls()
        assert never not in reactor.getDelayedCalls()

    reactor.callLater(0, change)
    reactor.callLater(0.1, reactor.stop)
    run()
    assert seen == ["sooner", "later"]


def test_seconds(reactor: Reactor) -> None:
    """The clock counts seconds since the epoch."""
    assert abs(reactor.seconds() - time.time()) < 5
    assert reactor.callLater(10, print).getTime() == pytest.approx(time.time() + 10, abs=5)


def test_refused_delay(reactor: Reactor) -> None:
    """A negative delay is refused."""
    with pytest.raises(ValueError, match="-1"):
        reactor.callLater(-1, print)


def test_no_calls_after_the_end(reactor: Reactor) -> None:
    """Calls scheduled for a time after the stop are dropped."""
    seen: list[str] = []
    # However late the loop is, this is not due yet.
    reactor.callLater(3600, seen.append, "late")
    reactor.callLater(0.01, reactor.stop)
    reactor.run()
    assert reactor.getDelayedCalls() == []
    assert seen == []


# Threads.


def test_call_from_thread(reactor: Reactor, run: Run) -> None:
    """Calls from another thread are made in the loop's thread, in order, and wake it up."""
    seen: list[tuple[int, int]] = []

    def body() -> None:
        for number in range(3):
            reactor.callFromThread(lambda n: seen.append((n, threading.get_ident())), number)
        reactor.callFromThread(reactor.stop)

    thread = threading.Thread(target=body)
    reactor.callWhenRunning(thread.start)
    run()
    thread.join()
    here = threading.get_ident()
    assert seen == [(0, here), (1, here), (2, here)]


def test_call_from_thread_early_and_late(reactor: Reactor, run: Run) -> None:
    """Calls made before the start wait for it; calls made after the end are not made."""
    seen: list[str] = []
    reactor.callFromThread(seen.append, "early")
    reactor.callFromThread(reactor.stop)
    assert seen == []
    run()
    reactor.callFromThread(seen.append, "late")
    assert seen == ["early"]


def test_call_from_thread_not_callable(reactor: Reactor) -> None:
    """An object that is not callable is refused in the calling thread."""
    with pytest.raises(TypeError, match="not callable"):
        reactor.callFromThread("text")  # type: ignore[arg-type]


# Closing down.


def test_stop_disconnects(reactor: Reactor, run: Run, journal: Any) -> None:
    """stop ends connections at both ends, calls protocols and factories, and closes the port."""
    states: list[Any] = []
    server = Factory.forProtocol(journal.protocol("server"))
    client = journal.client_factory(
        journal.protocol(
            "client",
            connectionMade=lambda _: reactor.callLater(0, reactor.stop),
            connectionLost=lambda *_: states.append((reactor.running, reactor._loop is not None)),
        )
    )
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    address = ("127.0.0.1", port.getHost().port)
    connector = reactor.connectTCP(*address, client)
    run()
    # The server may not have accepted yet when the client's end is cut.
    ours = [event for event in journal if not event.startswith("server")]
    assert ours == [
        "startFactory",
        "startedConnecting connecting",
        "buildProtocol",
        "client connectionMade",
        "client connectionLost ConnectionAborted",
        "clientConnectionLost ConnectionAborted",
        "stopFactory",
    ]
    # While connections end, the reactor is not running but has its loop.
    assert states == [(False, True)]
    assert connector.state == "disconnected"
    assert server.numPorts == 0
    with socket.socket() as probe:
        assert probe.connect_ex(address) != 0


def test_stop_while_connecting(reactor: Reactor, run: Run, journal: Any) -> None:
    """stop fails a running attempt."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        factory = journal.client_factory(Protocol)

        def connect() -> None:
            reactor.connectTCP(*server.getsockname(), factory)
            reactor.stop()

        reactor.callLater(0, connect)
        run()
    assert journal[-2:] == ["clientConnectionFailed ConnectionLost", "stopFactory"]


def test_reconnecting_at_the_end(
    reactor: Reactor, run: Run, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A factory that connects again during the shutdown does not prevent its end."""
    # If the connection were waited for, the test would not end.
    monkeypatch.setattr(mainloop, "CLOSE_TIMEOUT", 3600.0)
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    factory = journal.client_factory(
        journal.protocol("client", connectionMade=lambda _: reactor.stop()),
        clientConnectionLost=lambda connector, reason: connector.connect(),
    )
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
    run()
    assert journal[-1] == "startedConnecting connecting"


def test_exchanged_protocol(
    reactor: Reactor, run: Run, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protocol that replaced another on its transport does not prevent the end of run."""
    monkeypatch.setattr(mainloop, "CLOSE_TIMEOUT", 0.05)

    def exchange(protocol: Protocol) -> None:
        protocol.transport.protocol = second()
        reactor.stop()

    # Delayed calls scheduled during the shutdown are not made, however long it takes.
    second = journal.protocol(
        "second", connectionLost=lambda *_: reactor.callLater(0, journal.append, "late")
    )

    server = Factory.forProtocol(Protocol)
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    client = journal.client_factory(journal.protocol("first", connectionMade=exchange))
    reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    run()
    assert journal[-1] == "second connectionLost ConnectionAborted"


def test_tasks_at_the_end(reactor: Reactor, run: Run) -> None:
    """Tasks of the program in the reactor's loop are cancelled at its end."""
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    def start() -> None:
        tasks.append(asyncio.get_running_loop().create_task(wait()))
        reactor.callLater(0.01, reactor.stop)

    tasks: list[asyncio.Task[None]] = []
    reactor.callWhenRunning(start)
    run()
    assert ended == ["cancelled"]
    assert tasks[0].cancelled()


def test_unused_client_factory(reactor: Reactor) -> None:
    """Requests that never get a loop hold no socket and no loop."""
    before = os.listdir("/dev/fd")
    reactor.connectTCP("127.0.0.1", 1, ClientFactory())
    reactor.callLater(1, print)
    reactor.callWhenRunning(print)
    assert os.listdir("/dev/fd") == before
