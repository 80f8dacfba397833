"""The values that cross: copies, caches and errors, and how the history tells them apart."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import broker
from simulation.history import History

if TYPE_CHECKING:
    from simulation.party import Office

__all__ = [
    "HISTORY",
    "CallingParcel",
    "Ledger",
    "LedgerCopy",
    "Parcel",
    "Refusal",
    "fingerprint",
]

HISTORY: ContextVar[History] = ContextVar("simulation.history")
"""The history of this run, for objects that a peer's bytes make."""


@broker.register
class Refusal(broker.Error):
    """What a method raises on purpose."""


@broker.register
@dataclasses.dataclass
class Parcel(broker.Copyable, broker.RemoteCopy):
    """Crosses by its state."""

    number: int
    content: Any


class CallingParcel(Parcel):
    """Makes a call while the message that it crosses in is being made."""

    party: Any = None
    reference: Any = None

    def getTypeToCopy(self) -> str:
        """Return the tag of a plain parcel."""
        return "simulation.values.Parcel"

    def getStateToCopy(self) -> Any:
        """Make a call, and return the state."""
        if self.party is not None:
            self.party.fire(self.reference, "echo", "from a hook")
        return {"number": self.number, "content": self.content}


class Ledger(broker.Cacheable):
    """Changes, and tells all who follow it."""

    def __init__(self, office: Office, number: int):
        self.office = office
        self.number = number
        self.entries: list[int] = []
        self.observers: dict[str, Any] = {}

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Note an observer, and return the state."""
        name = self.office.next()
        self.observers[name] = observer
        self.office.history.record("observe", self.office.name, detail=name)
        return {"number": self.number, "entries": list(self.entries)}

    def getTypeToCopy(self) -> str:
        """Return the tag of the class at the other side."""
        return "simulation.values.LedgerCopy"

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget an observer."""
        for name, known in list(self.observers.items()):
            if known is observer:
                del self.observers[name]
                self.office.history.record("stopped", self.office.name, detail=name)
                return
        self.office.history.record("wrong", self.office.name, detail="an unknown observer stopped")

    def write(self, entry: int) -> None:
        """Add an entry."""
        self.entries.append(entry)
        for observer in list(self.observers.values()):
            party = self.office.parties[observer.broker]
            party.fire(observer, "written", entry)


@broker.register
class LedgerCopy(broker.RemoteCache):
    """Follows a ledger of the other side's."""

    number: int
    entries: list[int]

    def observe_written(self, call: int, entry: int) -> Any:
        """Follow a change."""
        history = HISTORY.get()
        history.record("start", "cache", call)
        self.entries.append(entry)
        history.record("finish", "cache", call, ("returned", "None"))
        return call, None


def fingerprint(value: Any) -> str:
    """Return what stands for a value in the history, the same at both sides."""
    match value:
        case bytes():
            return f"{len(value)} bytes {zlib.crc32(value):x}"
        case Parcel():
            return f"parcel {value.number} of {fingerprint(value.content)}"
        case broker.Referenceable() | broker.RemoteReference():
            return "item"
        case AsyncIterator():
            # In PB's dialects it arrives as a reference.
            return "item"
        case Ledger() | LedgerCopy():
            return f"ledger {value.number}"
        case list() | tuple():
            return f"[{', '.join(map(fingerprint, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {fingerprint(each)}' for key, each in value.items())}}}"
    return repr(value)
