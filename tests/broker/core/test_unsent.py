"""Unsent: what is appended comes out once, in order, and the counts are exact, in both forms."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.collecting import at_each_allocation

from broker.core.unsent import PythonUnsent, Unsent

FORMS = {"python": PythonUnsent, "used": Unsent}
each_form = pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
# Short ones, those around the sizes that the form in C tells apart, and long ones.
SIZES = (0, 1, 2, 479, 480, 481, 960, 961, 1023, 1024, 1025, 5000, 100_000)
STEPS = st.lists(
    st.none() | st.binary(max_size=40) | st.sampled_from(SIZES).map(lambda size: b"x" * size),
    max_size=40,
)


def state(unsent: Any) -> tuple[int, int, bool]:
    """The counts."""
    return unsent.queued, unsent.size, unsent.is_closed


@each_form
def test_append_and_take(make: Any) -> None:
    """Messages come out as one piece, in order, once; and then nothing is left."""
    unsent = make()
    assert state(unsent) == (0, 0, False)
    assert unsent.take() == b""
    unsent.append(b"one")
    unsent.append(b"")
    unsent.append(b"two")
    assert state(unsent) == (3, 6, False)
    assert unsent.take() == b"onetwo"
    assert state(unsent) == (0, 0, False)
    assert unsent.take() == b""
    unsent.append(b"three")
    assert unsent.take() == b"three"


@each_form
@given(steps=STEPS)
def test_any_mix(make: Any, steps: list[bytes | None]) -> None:
    """Whatever the sizes are, and whenever something is taken (None), all bytes come out."""
    unsent = make()
    due: list[bytes] = []
    for step in [*steps, None]:
        if step is None:
            assert unsent.take() == b"".join(due)
            due.clear()
        else:
            unsent.append(step)
            due.append(step)
        assert state(unsent) == (len(due), sum(map(len, due)), False)


@each_form
@pytest.mark.parametrize("first", SIZES)
@pytest.mark.parametrize("second", SIZES)
def test_two_sizes(make: Any, first: int, second: int) -> None:
    """Each size may follow each other size."""
    unsent = make()
    unsent.append(b"a" * first)
    unsent.append(b"b" * second)
    unsent.append(b"c")
    assert unsent.size == first + second + 1
    assert unsent.take() == b"a" * first + b"b" * second + b"c"


@each_form
@pytest.mark.parametrize("sizes", [(), (3,), (3, 2000), (2000,), (2000, 3)])
def test_close(make: Any, sizes: tuple[int, ...]) -> None:
    """After ``close`` nothing comes out, also of what is appended later."""
    unsent = make()
    for size in sizes:
        unsent.append(b"x" * size)
    unsent.close()
    assert state(unsent) == (0, 0, True)
    unsent.append(b"late")
    unsent.append(b"x" * 2000)
    assert state(unsent) == (0, 0, True)
    assert unsent.take() == b""
    unsent.close()
    assert state(unsent) == (0, 0, True)


@each_form
def test_queued_can_be_set(make: Any) -> None:
    """The outbox adds the messages that it has not encoded yet; ``take`` sets all back."""
    unsent = make()
    unsent.append(b"one")
    unsent.queued += 2
    assert unsent.queued == 3
    assert unsent.take() == b"one"
    assert unsent.queued == 0


@each_form
def test_arguments(make: Any) -> None:
    """There are no arguments, and a message has a length."""
    with pytest.raises(TypeError):
        make(1)
    with pytest.raises(TypeError):
        make().append(None)
    with pytest.raises(AttributeError):
        make().other = 1


BEFORE = pytest.mark.parametrize("before", [(), (3,), (3, 2000), (2000, 3), (2000, 2000, 3)])
OPERATIONS = {"append": 3, "append much": 2000, "take": 0}
each_operation = pytest.mark.parametrize("operation", OPERATIONS)


def disturbed(make: Any, before: tuple[int, ...], operation: str, finalizer: Any) -> int:
    """Run a finalizer in each place of an operation; check what comes out; return how often."""
    unsent: Any
    taken: list[bytes] = []
    ran = 0

    def finalize() -> None:
        nonlocal ran
        ran += 1
        finalizer(unsent, taken)

    for run in at_each_allocation(6, finalize):
        unsent = make()
        taken.clear()
        for size in before:
            unsent.append(b"x" * size)
        piece = b"x" * OPERATIONS[operation]
        due, expected = sum(before) + len(piece), ran
        if operation == "take":
            taken.append(run(unsent.take))
        else:
            run(partial(unsent.append, piece))
        size, queued = unsent.size, unsent.queued
        rest = unsent.take()
        assert (size, bool(queued)) == (len(rest), bool(rest))
        both = b"".join([*taken, rest])
        assert both.count(b"x") == due
        assert (b"y" in both) == (ran > expected and finalizer is not take)
    return ran


def take(unsent: Any, taken: list[bytes]) -> None:
    """Take the bytes, as a flush does."""
    taken.append(unsent.take())


@each_form
@each_operation
@BEFORE
@pytest.mark.parametrize("late", [5, 3000])
def test_a_finalizer_sends(make: Any, operation: str, before: tuple[int, ...], late: int) -> None:
    """A message that a finalizer appends, while something is appended or taken, is not lost."""
    disturbed(make, before, operation, lambda unsent, taken: unsent.append(b"y" * late))


@each_form
@each_operation
@BEFORE
def test_a_finalizer_takes(make: Any, operation: str, before: tuple[int, ...]) -> None:
    """A finalizer that takes the bytes gets whole messages, and each byte comes out once."""
    disturbed(make, before, operation, take)
