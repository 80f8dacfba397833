"""The memory of filters: they shrink after the handshake, and in the pause after large pieces."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from broker.errors import ConnectionLost
from broker.net import filtered_source
from broker.net.filters import Filter
from broker.net.transports import StreamTransport


class FakeSource:
    """A source that takes what it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kw: None

    def get_write_buffer_size(self) -> int:
        """Return that all is sent."""
        return 0


class Thick(Filter):
    """Passes bytes on, and counts how often its memory is freed."""

    name = "thick"
    error = ConnectionLost
    peer_closed = False
    failure = None
    is_open = True

    def __init__(self) -> None:
        self.shrunk = 0
        self._waiting = b""

    def receive(self, data: bytes | memoryview) -> bytes:
        """Pass on."""
        return bytes(data)

    def send(self, data: bytes) -> None:
        """Pass on."""
        self._waiting += data

    def data_to_send(self) -> bytes:
        """Pass on."""
        data, self._waiting = self._waiting, b""
        return data

    def shrink(self) -> None:
        """Count."""
        self.shrunk += 1


class Clock:
    """The timers of a loop, which a test lets go off."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """Return the time, which stands still."""
        return 0.0

    def call_soon(self, f: Callable[..., object], *args: object) -> None:
        """Do nothing: no test here waits for what the stream does later."""

    def call_later(self, delay: float, f: Callable[[], object], context: Any = None) -> Any:
        """Keep a timer."""
        timer = (delay, f)
        self.timers.append(timer)
        return SimpleNamespace(cancel=lambda: self.timers.remove(timer))

    def go_off(self) -> None:
        """Let the only timer go off."""
        (_, f) = self.timers.pop()
        assert self.timers == []
        f()


@pytest.fixture
def thick(recorder) -> tuple[Thick, StreamTransport, Clock]:
    """A filter, the stream above it, and the timers."""
    filter_, clock, protocol = Thick(), Clock(), recorder()
    stream = StreamTransport(lambda peer: protocol, clock, filters=[filter_])  # type: ignore[arg-type]
    stream.receiver.connection_made(FakeSource())
    return filter_, stream, clock


LARGE = bytes(filtered_source._LARGE + 1)


def test_filters_shrink_when_they_are_open(thick) -> None:
    """After the handshake the filters free memory, and an idle connection has no timer."""
    filter_, stream, clock = thick
    assert filter_.shrunk == 1
    for _ in range(100):
        stream.receiver.data_received(LARGE[1:])
        stream.write(LARGE[1:])
    assert (filter_.shrunk, clock.timers) == (1, [])


@pytest.mark.parametrize("is_ours", [True, False])
def test_filters_shrink_after_large_pieces(thick, is_ours: bool) -> None:
    """In the first pause without a large piece they free memory once, and no timer is left."""
    filter_, stream, clock = thick
    move = stream.write if is_ours else stream.receiver.data_received
    for times in range(2, 4):
        move(LARGE)
        for _ in range(5):
            move(LARGE)
            move(b"small")
            clock.go_off()
            assert filter_.shrunk == times - 1
        move(b"small")
        clock.go_off()
        assert (filter_.shrunk, clock.timers) == (times, [])


def test_no_timer_outlives_the_connection(thick) -> None:
    """A connection that ends or closes while its filters are to shrink leaves no timer."""
    filter_, stream, clock = thick
    stream.write(LARGE)
    assert len(clock.timers) == 1
    stream.receiver.connection_lost(None)
    assert (filter_.shrunk, clock.timers) == (1, [])


def test_a_close_keeps_its_own_timer(thick) -> None:
    """Large pieces during the close do not put another timer in the place of its timer."""
    filter_, stream, clock = thick
    filter_.has_close = True
    stream.write(LARGE)
    stream.loseConnection()
    timers = list(clock.timers)
    assert [5.0 <= delay <= 6.0 for delay, _ in timers] == [True]
    stream.receiver.data_received(LARGE)
    assert clock.timers == timers
    assert filter_.shrunk == 1
