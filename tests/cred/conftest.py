"""What the tests of cred share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def outcome() -> Callable[[Any], Any]:
    """A function that returns the result of a Deferred that has fired, or raises its failure."""

    def read(deferred: Any) -> Any:
        results: list[Any] = []
        failures: list[Any] = []
        deferred.addCallbacks(results.append, failures.append)
        if failures:
            raise failures[0].value
        assert len(results) == 1, "the Deferred has not fired"
        return results[0]

    return read
