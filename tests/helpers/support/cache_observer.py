"""An observer of a cache, without a peer."""

from __future__ import annotations


class FakeObserver:
    """The observer of a cache: notes whether it has ended."""

    def __init__(self) -> None:
        self.has_ended = False

    def end(self) -> None:
        """Note the end."""
        self.has_ended = True
