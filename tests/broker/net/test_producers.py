"""The one producer of a transport: pushed on, pulled from, stopped."""

from __future__ import annotations

import pytest

from broker.net.producers import ProducerSlot


class Line:
    """A transport, and the calls that wait for the next turn of its loop."""

    def __init__(self) -> None:
        self.unsent = 0
        self.waiting = []

    @property
    def scheduler(self):
        """Its scheduler, which is the object itself."""
        return self

    def soon(self, f, *args):
        """Take a call."""
        self.waiting.append((f, args))

    def turn(self) -> None:
        """Make the calls that wait now."""
        waiting, self.waiting = self.waiting, []
        for f, args in waiting:
            f(*args)


class Calls(list):
    """A producer that records its calls."""

    def pauseProducing(self):
        """Note it."""
        self.append("pause")

    def resumeProducing(self):
        """Note it."""
        self.append("resume")

    def stopProducing(self):
        """Note it."""
        self.append("stop")


def test_push() -> None:
    """A push producer is called once for each change."""
    slot, producer = ProducerSlot(Line()), Calls()
    slot.register(producer, is_push=True)
    slot.resume()
    slot.pause()
    slot.pause()
    slot.resume()
    slot.resume()
    assert producer == ["pause", "resume"]


def test_pull() -> None:
    """A pull producer is asked soon, again if all is taken at once, and when all is sent."""
    line, producer = Line(), Calls()
    slot = ProducerSlot(line)
    slot.register(producer, is_push=False)
    assert producer == []
    line.turn()
    line.turn()
    assert producer == ["resume"] * 2
    line.unsent = 1
    line.turn()
    line.turn()
    slot.pause()
    assert producer == ["resume"] * 3
    slot.resume()
    assert producer == ["resume"] * 4


def test_unregistered() -> None:
    """An unregistered producer is not called any more, not even by a scheduled call."""
    line, producer = Line(), Calls()
    slot = ProducerSlot(line)
    slot.register(producer, is_push=False)
    slot.unregister()
    line.turn()
    slot.pause()
    slot.resume()
    slot.stop()
    assert (producer, slot.is_taken) == ([], False)


def test_one_at_a_time() -> None:
    """Only one producer can be registered; after it is stopped, another one can."""
    slot, first = ProducerSlot(Line()), Calls()
    slot.register(first, is_push=True)
    with pytest.raises(RuntimeError, match="was never unregistered"):
        slot.register(Calls(), is_push=True)
    slot.stop()
    slot.stop()
    assert first == ["stop"]
    slot.register(Calls(), is_push=True)
    assert slot.is_taken
