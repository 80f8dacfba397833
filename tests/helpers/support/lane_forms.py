"""Brokers with the lane in C, with the lane in Python, and without a lane, in one process."""

from __future__ import annotations

from functools import partial
from typing import Any

from broker.connection.broker import Broker
from broker.connection.lane import PythonCallsBase, PythonLane
from broker.connection.pending_calls import PendingCalls
from broker.connection.pump import Pump
from broker.connection.pump_base import PythonPumpBase
from broker.core.unsent import PythonUnsent
from broker.core.wire.dialects import MSGPACK
from broker.native import native

__all__ = ["FORMS", "LANES", "NoLane", "PythonPendingCalls", "PythonPump", "WithPythonLane"]


def in_python(kind: type, base: type) -> Any:
    """Return a class like ``kind`` with another base, which has its slots in Python."""
    slots: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    # Of the class itself: its methods and constants, without the descriptors of slots.
    left_out = {*slots, "__dict__", "__weakref__", "__slots__"}
    own = {name: value for name, value in vars(kind).items() if name not in left_out}
    return type(f"Python{kind.__name__}", (base,), {"__slots__": slots, **own})


PythonPendingCalls = in_python(PendingCalls, PythonCallsBase)
"""`PendingCalls` with its base in Python."""

PythonPump = in_python(Pump, PythonPumpBase)
"""`Pump` with its base in Python."""


class NoLane(Broker):
    """A Broker whose calls and frames all go the general path."""

    def _use_lane(self) -> None:
        """Use none."""


class WithPythonLane(Broker):
    """A Broker with the lane, the bases of calls and pump, and the unsent bytes in Python."""

    def __init__(self, *args: Any, **kw: Any):
        super().__init__(*args, **kw)
        self.session.outbox.unsent = PythonUnsent()
        self.pump = pump = PythonPump(self, self.session, self.policy)
        self.calls = PythonPendingCalls(self, self.session, pump, self.policy)
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
