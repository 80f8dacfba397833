"""Collected references, until the peer is told of them."""

from __future__ import annotations

from broker.core.objects.releases import PendingReleases
from broker.core.wire.messages import Decache, Decref


def test_notes() -> None:
    """Each is reported once, by the message of its kind, and the callback is called."""
    called: list[int] = []
    dropped = PendingReleases(lambda: called.append(1))
    assert not dropped.notes
    dropped.reference(7, 2)
    dropped.cache(8, 1)
    assert dropped.notes
    assert called == [1, 1]
    assert list(dropped) == [(Decache, 8, 1), (Decref, 7, 2)]
    assert not dropped.notes


def test_what_is_noted_while_others_are_told() -> None:
    """A finalizer that runs meanwhile is not lost."""
    dropped = PendingReleases(lambda: None)
    dropped.reference(1, 1)
    told = []
    for note in dropped:
        if not told:
            dropped.reference(2, 1)
        told.append(note)
    assert told == [(Decref, 1, 1), (Decref, 2, 1)]


def test_after_the_end() -> None:
    """After the end, no entry is kept, and the callback is not called."""
    called: list[int] = []
    dropped = PendingReleases(lambda: called.append(1))
    dropped.reference(7, 2)
    dropped.close()
    dropped.cache(8, 1)
    assert (list(dropped), called) == ([], [1])
