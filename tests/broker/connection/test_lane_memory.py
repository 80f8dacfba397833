"""The lane keeps nothing: neither references nor memory, also where memory is missing."""

from __future__ import annotations

import gc
import importlib.util
import random
import subprocess
import sys
import tracemalloc
import weakref
from typing import Any

import pytest
from fuzz.lane_frames import Plan, plan_of
from fuzz.lane_room import POLICIES, Quiet, Room
from support import programs
from support.lane_forms import LANES

from broker.native import native

HAS_TESTCAPI = importlib.util.find_spec("_testcapi") is not None
# Objects that all share, whose references are counted.
SHARED: tuple[Any, ...] = (None, True, False, 0, 1, 5, "", "a", "echo", "root", b"", ())


def played(form: str, plan: Plan) -> None:
    """Play a conversation to its end."""
    room = Room(form, plan.is_client, POLICIES[plan.policy])
    for step in plan.steps:
        if type(step) is bytes:
            room.feed(step)
        else:
            room.act(step)  # type: ignore[arg-type]
            room.run()
    room.end()
    room.release()


def growth(form: str, plans: list[Plan], times: int) -> tuple[int, list[int]]:
    """Return by how much blocks of memory and references have grown."""
    gc.collect()
    references = [sys.getrefcount(each) for each in SHARED]
    blocks = sys.getallocatedblocks()
    for _ in range(times):
        for plan in plans:
            played(form, plan)
    gc.collect()
    blocks = sys.getallocatedblocks() - blocks
    return blocks, [
        sys.getrefcount(each) - before for each, before in zip(SHARED, references, strict=True)
    ]


@pytest.mark.parametrize("form", LANES)
def test_nothing_is_kept(form: str) -> None:
    """After 2,000 conversations as many blocks are in use, and as many references, as before.

    They have calls, answers, errors and cancelled calls; frames that are left, and bent ones.
    """
    dice = random.Random(5)
    plans = [plan_of(dice.randbytes(dice.choice((16, 40, 120)))) for _ in range(100)]
    with Quiet():
        # Until the caches are full: of names, of classes, and Python's own of freed objects.
        for _ in range(20):
            blocks, _ = growth(form, plans, 1)
            if abs(blocks) < 10:
                break
        # What grows once, as a cache does, does not grow again.
        for _ in range(5):
            blocks, references = growth(form, plans, 20)
            if abs(blocks) < 100:
                break
    assert abs(blocks) < 100
    assert all(abs(each) < 20 for each in references), references


@pytest.mark.parametrize("form", LANES)
def test_calls_without_an_answer_are_collected(form: str) -> None:
    """A connection is collected with the Promises of its calls, each of which refers to it."""
    with Quiet():
        room = Room(form, True, POLICIES[0])
        room.feed(b"\0\0\0\3\x92\x0c\1")
        assert room.broker.calls.lane is not None
        promises = [room.root.callRemote("x", number) for number in range(3)]
        gone = weakref.ref(room.broker)
        del room, promises
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("form", LANES)
@pytest.mark.parametrize("head", [b"\xdd", b"\xdf"], ids=["lists", "maps"])
def test_memory_comes_with_the_bytes(form: str, head: bytes) -> None:
    """Containers that say more than there is, each in the other, take no memory for what they say.

    Each value has a byte at least, so that what all open containers still need must be there.
    """
    with Quiet():
        room = Room(form, False, POLICIES[0])
        nothing = b"\x96\1\5\xa4root\xa7nothing\x90\x80"
        room.feed(len(nothing).to_bytes(4, "big") + nothing)
        lane: Any = room.broker.session.inbox.lane
        size = min(lane.reader.most_unchecked, 100_000) - 100
        says = size - 200 if head == b"\xdd" else size // 2 - 200
        inner = head + says.to_bytes(4, "big") + (b"" if head == b"\xdd" else b"\xa1k")
        body = (b"\x96\1\6\xa4root\xa4echo\x91" + inner * 6).ljust(size, b"\1")
        data = len(body).to_bytes(4, "big") + body
        lane.is_open = True
        tracemalloc.start()
        try:
            lane.run(data, 0, -1)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert lane.handled == 0
        # A list has a pointer of eight bytes for each of its values.
        assert peak < 12 * size
        room.release()
        room.end()


def test_each_allocation_fails_once() -> None:
    """With no memory for it, each operation raises MemoryError or does what it should.

    What is left then is whole: frames, tables and counts. Each operation succeeds in the end.
    """
    command = programs.command("support.no_memory")
    done = subprocess.run(
        command, env=programs.environment(), capture_output=True, text=True, check=False
    )
    if not HAS_TESTCAPI:
        assert "No module named '_testcapi'" in done.stderr
        return
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    names = {line.split()[0] for line in lines}
    in_c = {"unsent", "run", "turn", "pairs", "call"}
    assert names == {"await", "bridge"} | (set() if native is None else in_c)
    assert sum(int(line.split()[-2]) for line in lines) > 20
