"""What is awaited or used in ``async with``; those of connect and serve: test_forgotten.py."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from broker.opening import Opening


class Door(Opening[list[str]]):
    """Opens a list of what happened."""

    makes = "way in"

    def __init__(self, name: str, fault: Exception | None = None):
        if not name:
            raise ValueError("no name")
        self.name = name
        self.fault = fault
        self.closed: list[BaseException | None] = []
        self._is_awaited = False

    async def _open(self) -> list[str]:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return [self.name]

    async def _close(self, opened: list[str], error: BaseException | None) -> None:
        await asyncio.sleep(0)
        opened.append("closed")
        self.closed.append(error)

    def _call(self) -> str:
        return f"open_door('{self.name}')"

    def _description(self) -> str:
        return f"named {self.name}"


def warned(function: Any) -> list[warnings.WarningMessage]:
    """Call a function and let go what it returns; return the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
        gc.collect()
    return caught


async def test_awaited() -> None:
    """Awaiting it opens; each time anew, and nothing is closed by itself."""
    door = Door("front")
    assert repr(door) == "<Door named front, not awaited>"
    first = await door
    assert first == ["front"]
    assert repr(door) == "<Door named front>"
    assert await door is not first
    assert door.closed == []


async def test_in_a_block() -> None:
    """The block gets what was opened; at its end that is closed, and told what was raised."""
    error = ValueError("in the block")

    door = Door("front")
    async with door as opened:
        assert opened == ["front"]
        assert door.closed == []
    assert opened == ["front", "closed"]
    with pytest.raises(ValueError, match="in the block"):
        async with door as again:
            raise error
    assert again == ["front", "closed"]
    assert again is not opened
    assert door.closed == [None, error]


async def test_what_cannot_be_opened() -> None:
    """The error arrives, and nothing is closed."""
    door = Door("front", OSError("locked"))
    with pytest.raises(OSError, match="locked"):
        async with door:
            pytest.fail("the block does not begin")
    assert door.closed == []


def test_forgotten() -> None:
    """One that is dropped gives a warning, with what to write, in the line that dropped it."""
    (warning,) = warned(lambda: Door("front") and None)
    assert str(warning.message) == (
        "open_door('front') was never awaited, so there is no way in: write"
        " 'await open_door(…)' or 'async with open_door(…)'"
    )
    assert warning.category is RuntimeWarning
    assert warning.filename == __file__


def test_discarded() -> None:
    """One that is closed in place of being awaited gives none."""
    assert warned(lambda: Door("front").close()) == []


def test_refused() -> None:
    """One whose arguments were refused gives none beside the error."""

    def refused() -> None:
        with pytest.raises(ValueError, match="no name"):
            Door("")

    assert warned(refused) == []
