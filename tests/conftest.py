"""What holds for all tests: what is there before a file of tests is kept out of ``gc.collect``.

Thousands of collected tests and all that they import are half a million objects, and many tests
look at what a full collection leaves. Frozen, they are not looked through each time: the whole
takes 230 s instead of 320. And what a file has left unclosed is found at its end, by its last
test, rather than by whichever test a collection happens in later. No example of Hypothesis has a
deadline. SIGINT interrupts the tests and what they start, also where a shell has put them in the
background and has it ignored.
"""

from __future__ import annotations

import gc
import signal

import pytest
from hypothesis import settings

# A deadline of Hypothesis is a time of the wall, which a busy machine does not keep.
settings.register_profile("any load", deadline=None)
settings.load_profile("any load")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _freeze() -> None:
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Freeze what collecting has made."""
    _freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Freeze what a file leaves, such as modules, once its last test has ended."""
    if nextitem is None or nextitem.path != item.path:
        _freeze()
