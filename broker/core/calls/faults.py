"""Counts faults in a peer's calls, and ends the connection when there are too many."""

from __future__ import annotations

from broker.core.policy import Policy
from broker.core.stats import Stats
from broker.errors import NoSuchObject
from jelly.errors import LimitExceeded, ProtocolError

__all__ = ["FaultCounter"]


class FaultCounter:
    """Counts two kinds of faults in the peer's calls on one connection.

    These are calls to objects that the peer was not given, and calls with references over
    ``max_refs``.

    Args:
        policy: ``max_unknown`` and ``max_strikes``, the number of each that ends the connection.
        stats: counts the limit that ended it.
    """

    __slots__ = ("_left_over", "_left_unknown", "_stats")

    def __init__(self, policy: Policy, stats: Stats):
        self._left_unknown = policy.max_unknown
        self._left_over = policy.max_strikes
        self._stats = stats

    def count(self, error: BaseException) -> None:
        """Count the error of a call, if it is one of these faults.

        Raises:
            ProtocolError: the limit is reached. Its text is the text of the fault.
        """
        if type(error) is NoSuchObject:
            self._left_unknown -= 1
            if self._left_unknown <= 0:
                raise self._last("max_unknown", error) from error
        elif type(error) is LimitExceeded and error.limit in ("max_refs", "max_streams"):
            self._left_over -= 1
            if self._left_over <= 0:
                raise self._last("max_strikes", error) from error
        elif type(error) is ProtocolError and error.limit == "max_streams":
            raise self._last("max_streams", error) from error

    def _last(self, limit: str, error: BaseException) -> ProtocolError:
        """Count the limit, and return the error that ends the connection."""
        self._stats.count(limit)
        ended_by = ProtocolError(str(error))
        ended_by.limit = limit
        return ended_by
