"""Collected references, until the peer is told of them."""

from __future__ import annotations

from broker.core.objects.releases import PendingReleases
from broker.core.wire.messages import Decache, Decref


class Host:
    """A host that counts how often it is told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def on_released(self) -> None:
        """Count it."""
        self.told.append(1)


def test_notes() -> None:
    """Each is reported once, by the message of its kind, and the callback is called."""
    host = Host()
    dropped = PendingReleases(host)
    assert not dropped.notes
    dropped.reference(7, 2)
    dropped.cache(8, 1)
    assert dropped.notes
    assert host.told == [1, 1]
    assert list(dropped) == [(Decache, 8, 1), (Decref, 7, 2)]
    assert not dropped.notes


def test_what_is_noted_while_others_are_told() -> None:
    """A finalizer that runs meanwhile is not lost."""
    dropped = PendingReleases(Host())
    dropped.reference(1, 1)
    told = []
    for note in dropped:
        if not told:
            dropped.reference(2, 1)
        told.append(note)
    assert told == [(Decref, 1, 1), (Decref, 2, 1)]


def test_after_the_end() -> None:
    """After the end, no entry is kept, and the callback is not called."""
    host = Host()
    dropped = PendingReleases(host)
    dropped.reference(7, 2)
    dropped.close()
    dropped.cache(8, 1)
    assert (list(dropped), host.told) == ([], [1])
