"""The answers of this end that calls on promises may still name, in little memory.

The caller may not have read the newest answers yet. So what they name is kept, for as many answers
as a caller may have open calls. A call on a promise is rare, so the answers are searched for it.
"""

from __future__ import annotations

from array import array

from broker.core.calls.promised import MOST_OPEN, Home, Named, Place, Step
from broker.core.wire.messages import RequestId
from broker.core.wire.msgpack.replies import KeptReply

__all__ = ["Remembered"]

_HOME, _AT_CALLER, _STEPS = -1, -2, -3
_MOST_FAILURES, _LONGEST_FAILURE = 64, 4096


class Remembered:
    """What the newest answers of one connection name, and its newest errors.

    At most `MOST_OPEN` answers that name something take 16 bytes each, and those with references by
    step a dict besides. At most 64 errors are kept, of at most 4,096 bytes.
    """

    __slots__ = ("_failures", "_newest", "_next", "_places", "_requests", "_steps")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all answers."""
        self._requests = array("q")
        self._places = array("q")
        # The place of the oldest answer, once there are as many as are kept.
        self._next = 0
        self._newest = 0
        # Made when they are first needed; most connections never need them.
        self._steps: dict[RequestId, dict[Step, Place]] | None = None
        self._failures: dict[RequestId, KeptReply] | None = None

    def add(self, request_id: RequestId, named: Named) -> None:
        """Remember what an answer names, in place of the oldest answer if there are too many."""
        place = named if type(named) is int else _STEPS
        if isinstance(named, Home):
            place = _AT_CALLER if named.object_id is None else _HOME
        elif isinstance(named, dict):
            if self._steps is None:
                self._steps = {}
            self._steps[request_id] = named
        if request_id <= self._newest and request_id in self._requests:
            self._places[self._requests.index(request_id)] = place
            return
        self._newest = max(self._newest, request_id)
        if len(self._requests) < MOST_OPEN:
            self._requests.append(request_id)
            self._places.append(place)
            return
        if self._steps is not None:
            self._steps.pop(self._requests[self._next], None)
        self._requests[self._next], self._places[self._next] = request_id, place
        self._next = (self._next + 1) % MOST_OPEN

    def get(self, request_id: RequestId) -> Named | None:
        """Return what an answer names; of a Home, without the id that the peer knows it by."""
        try:
            place = self._places[self._requests.index(request_id)]
        except ValueError:
            return None
        if place == _STEPS:
            return None if self._steps is None else self._steps[request_id]
        if place < 0:
            return Home(None if place == _AT_CALLER else b"")
        return place

    def add_failure(self, request_id: RequestId, reply: KeptReply) -> None:
        """Remember an error that was an answer, unless it is long."""
        if len(reply.tail) > _LONGEST_FAILURE:
            return
        if self._failures is None:
            self._failures = {}
        self._failures[request_id] = reply
        if len(self._failures) > _MOST_FAILURES:
            del self._failures[next(iter(self._failures))]

    def failure(self, request_id: RequestId) -> KeptReply | None:
        """Return the error that was the answer to a call, if it is remembered."""
        return None if self._failures is None else self._failures.get(request_id)
