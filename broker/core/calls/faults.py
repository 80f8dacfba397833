"""Strikes: what a peer may do wrong a few times, and not for ever."""

from __future__ import annotations

from broker.core.policy import Policy
from broker.core.stats import Stats
from broker.errors import NoSuchObject
from jelly.errors import LimitExceeded, ProtocolError

__all__ = ["FaultCounter"]


class FaultCounter:
    """The faults of a peer's calls on one connection that end it when they are many.

    They are objects named that it was not given, and references beyond ``max_refs``.

    Args:
        policy: how many of each.
        stats: counts the one that ended it.
    """

    __slots__ = ("_left_over", "_left_unknown", "_stats")

    def __init__(self, policy: Policy, stats: Stats):
        self._left_unknown = policy.max_unknown
        self._left_over = policy.max_strikes
        self._stats = stats

    def note(self, error: BaseException) -> None:
        """Count the fault of a call, if it is one of these.

        Raises:
            ProtocolError: it was one too many; its text is that of the fault.
        """
        if type(error) is NoSuchObject:
            self._left_unknown -= 1
            if self._left_unknown <= 0:
                self._stats.count("max_unknown")
                raise ProtocolError(str(error)) from error
        elif type(error) is LimitExceeded and str(error).endswith("(max_refs)"):
            self._left_over -= 1
            if self._left_over <= 0:
                self._stats.count("max_strikes")
                raise ProtocolError(str(error)) from error
