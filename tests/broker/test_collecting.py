"""The garbage collector while a server serves."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

import broker
from broker.collecting import without_startup
from broker.server import serve


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    # pytest leaves out what it has made until the tests begin.
    gc.unfreeze()
    yield
    left_out = gc.get_freeze_count()
    gc.freeze()
    assert left_out == 0


class Node:
    """Refers to itself, so that only the collector ends it."""

    def __init__(self) -> None:
        self.me = self


def test_objects_of_the_start_are_left_out_until_the_end() -> None:
    """Inside, no collection visits an older object; afterwards all are collected again."""
    old = Node()
    seen = weakref.ref(old)
    with without_startup():
        assert not any(each is old for each in gc.get_objects())
        del old
        gc.collect()
        assert seen() is not None
    gc.collect()
    assert seen() is None


def test_younger_objects_are_collected() -> None:
    """Inside, garbage that is made later is collected."""
    with without_startup():
        seen = weakref.ref(Node())
        gc.collect()
        assert seen() is None


def test_garbage_of_the_start_does_not_stay() -> None:
    """Garbage that exists already is collected first."""
    gc.disable()
    try:
        seen = weakref.ref(Node())
        with without_startup():
            assert seen() is None
    finally:
        gc.enable()


def test_objects_that_the_program_leaves_out_stay_left_out() -> None:
    """What the program has frozen itself is not given back."""
    gc.freeze()
    try:
        with without_startup():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_a_server_leaves_the_objects_of_its_start_out() -> None:
    """``serve_forever`` does so until it returns."""
    server = await serve(broker.Root(), "pb://127.0.0.1:0")
    serving = asyncio.create_task(server.serve_forever(handle_signals=False))
    while not gc.get_freeze_count():
        await asyncio.sleep(0)
    await server.close()
    await serving
    assert gc.get_freeze_count() == 0
