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
