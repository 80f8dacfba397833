"""What tests of jelly share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def without_gc() -> Iterator[None]:
    """Very many objects are made at once; looking for cycles among them would take the time."""
    gc.disable()
    yield
    gc.enable()
