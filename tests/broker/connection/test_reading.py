"""Reading: a transport is paused and resumed in one place, which knows for how long."""

from __future__ import annotations

from support.memory import FakeTransport, ManualScheduler

from broker.connection.reading import Reading


def test_it_tells_how_long_nothing_was_read() -> None:
    """When reading goes on, and for that time alone."""
    scheduler, transport, allowed = ManualScheduler(), FakeTransport(None), []
    reading = Reading(transport, scheduler.now, allowed.append)
    assert reading.is_on
    assert not reading.turn(True)
    scheduler.advance(5)
    assert reading.turn(False)
    assert (reading.is_on, transport.is_paused) == (False, True)
    scheduler.advance(3)
    assert not reading.turn(False)
    scheduler.advance(4)
    assert allowed == []
    assert reading.turn(True)
    assert (reading.is_on, transport.is_paused) == (True, False)
    assert allowed == [7]
