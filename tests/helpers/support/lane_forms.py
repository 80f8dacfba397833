"""Brokers with the lane in C, with the lane in Python, and without a lane, in one process."""

from __future__ import annotations

from functools import partial
from typing import Any

from broker.connection.broker import Broker
from broker.connection.lane import PythonCallsBase, PythonLane
from broker.connection.pending_calls import PendingCalls
from broker.core.unsent import PythonUnsent
from broker.core.wire.dialects import MSGPACK
from broker.native import native

__all__ = ["FORMS", "LANES", "NoLane", "PythonPendingCalls", "WithPythonLane"]

# Of the class itself: the methods and constants of PendingCalls, without the descriptors of slots.
_OWN = {
    name: value
    for name, value in vars(PendingCalls).items()
    if name not in (*PendingCalls.__slots__, "__dict__", "__weakref__", "__slots__")
}
PythonPendingCalls: Any = type(
    "PythonPendingCalls", (PythonCallsBase,), {"__slots__": PendingCalls.__slots__, **_OWN}
)
"""`PendingCalls` with its base in Python."""


class NoLane(Broker):
    """A Broker whose calls and frames all go the general path."""

    def _use_lane(self) -> None:
        """Use none."""


class WithPythonLane(Broker):
    """A Broker with the lane, the base of the calls and the unsent bytes in Python."""

    def __init__(self, *args: Any, **kw: Any):
        super().__init__(*args, **kw)
        self.session.outbox.unsent = PythonUnsent()
        pump = self.pump
        self.calls = PythonPendingCalls(
            self, self.session, pump.soon_flush, pump.flush_later, self.policy
        )
        self.answered = self.calls.answered

    def _use_lane(self) -> None:
        """Use the lane in Python, where a Broker uses a lane."""
        session = self.session
        if session.dialect is MSGPACK and not session.keeps_expressions:
            session.use_lane(partial(PythonLane, session, self.calls, self.policy.high_water))


FORMS: dict[str, type[Broker]] = {"none": NoLane, "python": WithPythonLane}
"""The classes of Brokers by what handles most of their messages; "c" only where it is in use."""
if native is not None:
    FORMS["c"] = Broker

LANES = [name for name in FORMS if name != "none"]
"""The forms that have a lane."""
