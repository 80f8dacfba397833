"""Grants: which patterns a user may subscribe to, publish to, and see the members of."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from broker.errors import ConfigError
from broker.topics.names import covers, is_pattern

__all__ = ["Grants"]


class Grants(Struct, frozen=True):
    """The patterns that a user may use. A grant must cover the whole pattern that is asked for.

    Attributes:
        subscribe: patterns to subscribe to.
        publish: patterns of topics to publish to.
        presence: patterns whose members may be seen.

    Raises:
        ConfigError: one of them is not a pattern.
    """

    subscribe: Sequence[str] = ()
    publish: Sequence[str] = ()
    presence: Sequence[str] = ()

    def __post_init__(self) -> None:
        for kind in ("subscribe", "publish", "presence"):
            patterns = getattr(self, kind)
            if isinstance(patterns, str):
                raise ConfigError(f"Grants.{kind} is a list of patterns, not one text")
            for pattern in patterns:
                if not is_pattern(pattern):
                    raise ConfigError(f"Grants.{kind}: {pattern!r} is not a pattern of topics")

    def may_subscribe(self, pattern: str) -> bool:
        """Return whether one grant covers the whole pattern."""
        return any(covers(grant, pattern) for grant in self.subscribe)

    def may_publish(self, topic: str) -> bool:
        """Return whether a grant covers the topic."""
        return any(covers(grant, topic) for grant in self.publish)

    def may_see(self, pattern: str) -> bool:
        """Return whether one grant covers the whole pattern."""
        return any(covers(grant, pattern) for grant in self.presence)
