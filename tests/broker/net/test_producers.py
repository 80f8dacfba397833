"""The one producer of a transport: pushed on, pulled from, stopped."""

from __future__ import annotations

import pytest

from broker.net.producers import ProducerSlot


class Soon(list):
    """Calls that wait for the next turn of a loop."""

    def __call__(self, f, *args):
        """Take a call."""
        self.append((f, args))

    def turn(self) -> None:
        """Make the calls that wait now."""
        waiting, self[:] = list(self), []
        for f, args in waiting:
            f(*args)


class Calls(list):
    """A producer that notes what it is asked."""

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
    """A push producer hears each change once."""
    slot, producer = ProducerSlot(Soon(), lambda: True), Calls()
    slot.register(producer, is_push=True)
    slot.resume()
    slot.pause()
    slot.pause()
    slot.resume()
    slot.resume()
    assert producer == ["pause", "resume"]


def test_pull() -> None:
    """A pull producer is asked soon, again while all is taken at once, and when all has left."""
    soon, producer, empty = Soon(), Calls(), [True]
    slot = ProducerSlot(soon, lambda: empty[0])
    slot.register(producer, is_push=False)
    assert producer == []
    soon.turn()
    soon.turn()
    assert producer == ["resume"] * 2
    empty[0] = False
    soon.turn()
    soon.turn()
    slot.pause()
    assert producer == ["resume"] * 3
    slot.resume()
    assert producer == ["resume"] * 4


def test_unregistered() -> None:
    """A producer that has left is asked nothing more, not even what was meant to come soon."""
    soon, producer = Soon(), Calls()
    slot = ProducerSlot(soon, lambda: True)
    slot.register(producer, is_push=False)
    slot.unregister()
    soon.turn()
    slot.pause()
    slot.resume()
    slot.stop()
    assert (producer, slot.is_taken) == ([], False)


def test_one_at_a_time() -> None:
    """There is one producer; when it is stopped another may come."""
    slot, first = ProducerSlot(Soon(), lambda: True), Calls()
    slot.register(first, is_push=True)
    with pytest.raises(RuntimeError, match="was never unregistered"):
        slot.register(Calls(), is_push=True)
    slot.stop()
    slot.stop()
    assert first == ["stop"]
    slot.register(Calls(), is_push=True)
    assert slot.is_taken
