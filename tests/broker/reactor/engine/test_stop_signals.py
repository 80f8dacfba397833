"""broker.reactor.engine.stop_signals: who hears a signal, and what is given back."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from broker.reactor.engine.stop_signals import on_stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_heard_and_given_back(number: signal.Signals) -> None:
    """A signal is heard within the block, and the handler of before is there after it."""
    before = signal.getsignal(number)
    heard: list[int] = []
    with on_stop_signals(heard.append):
        signal.raise_signal(number)
    assert heard == [number]
    assert signal.getsignal(number) is before


def test_a_handler_of_the_program() -> None:
    """A handler that the program has for SIGINT stays; that for SIGTERM is replaced."""

    def mine(number: int, frame: Any) -> None:
        """Do nothing."""

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, mine) for number in numbers]
    try:
        with on_stop_signals(lambda number: None):
            assert signal.getsignal(signal.SIGINT) is mine
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
