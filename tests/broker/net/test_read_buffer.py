"""The buffer that incoming bytes are read into."""

from __future__ import annotations

import sys
import threading

import pytest

from broker.net.read_buffer import own_buffer, scratch


def test_one_for_each_thread() -> None:
    """A thread has one buffer of 64 KiB, and another thread another one."""
    views = []
    thread = threading.Thread(target=lambda: views.append(scratch.view))
    thread.start()
    thread.join()
    first = scratch.view
    assert scratch.view is first
    assert (len(scratch.view), len(views[0])) == (65536, 65536)
    assert views[0].obj is not scratch.view.obj


def test_slices() -> None:
    """While the slices of one read are delivered, another read has a buffer of its own.

    Afterwards the first buffer is used again, also if the delivery has ended early.
    """
    first = scratch.large
    first[:131_073] = bytes(range(251)) * 522 + bytes(51)
    sizes = []
    for number, piece in enumerate(scratch.slices(131_073)):
        sizes.append(len(piece))
        assert piece == bytes(first[number * 65_536 :][: len(piece)])
        assert scratch.large.obj is scratch.view.obj
        assert scratch.large.obj is not first.obj
        second = scratch.large
        for _ in scratch.slices(65_537):
            assert all(scratch.large.obj is not each.obj for each in (first, second))
            break
    assert sizes == [65_536, 65_536, 1]
    assert scratch.large is first


def test_own_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the loop of Windows needs a buffer for each connection."""
    monkeypatch.setattr(sys, "platform", "linux")
    assert own_buffer() is None
    monkeypatch.setattr(sys, "platform", "win32")
    first, second = own_buffer(), own_buffer()
    assert first is not None
    assert second is not None
    assert len(first) == 65536
    assert first.obj is not second.obj
