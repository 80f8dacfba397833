"""What programs in the field import and read of Twisted, and where each name is here.

The list of imports is a file beside this one. The names that are read are those which the factories
and portals use that programs copy from each other, though most of them begin with an underscore.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from broker.porting.reasons import INSTEAD
from broker.porting.replacements import FEW, INTERFACES, REACTOR, REPLACEMENTS

__all__ = [
    "READ",
    "Import",
    "Reading",
    "imports",
    "lacking",
    "location_of",
    "reason_of",
    "share",
]

LIST = Path(__file__).parent / "imports_in_the_field.txt"

MODULES = {
    replacement.theirs: replacement.ours
    for replacement in [*REPLACEMENTS, *FEW, REACTOR, INTERFACES]
}
"""Where the modules went."""


class Import(NamedTuple):
    """What so many programs import: a name of a module, or the module where there is no name."""

    programs: int
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def imports() -> list[Import]:
    """Return the list."""
    found = []
    for line in LIST.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            count, module, *name = line.split("\t")
            found.append(Import(int(count), module, "".join(name)))
    return found


def location_of(imported: Import) -> str:
    """Return what is imported here in its place, or nothing."""
    whole = MODULES.get(str(imported))
    if whole is not None:
        return whole if _module(whole) is not None else ""
    location = MODULES.get(imported.module, "")
    if imported.name == "*":
        return location
    return f"{location}.{imported.name}" if hasattr(_module(location), imported.name) else ""


def _module(name: str) -> ModuleType | None:
    return importlib.import_module(name) if name else None


def reason_of(imported: Import) -> str:
    """Return why it is absent here."""
    return INSTEAD.get(str(imported), "")


def share(found: Iterable[Import]) -> str:
    """Return how many are here, in words."""
    rows = list(found)
    there = [row for row in rows if location_of(row)]
    uses, all_uses = sum(row.programs for row in there), sum(row.programs for row in rows)
    return (
        f"{len(there)} of {len(rows)} imports have a home here,"
        f" {uses} of {all_uses} ({uses / all_uses:.0%}) as programs use them"
    )


class Reading(NamedTuple):
    """Names that programs read of a module of Twisted's or an instance of a class, and ours."""

    theirs: str
    ours: str
    names: str


READ = [
    Reading(
        "twisted.spread.pb.PBClientFactory",
        "broker.pb.PBClientFactory",
        "_broker _cbLoginAnonymous _cbResponse _cbSendUsername _failAll _root rootObjectRequests",
    ),
    Reading(
        "twisted.spread.pb.Broker",
        "broker.pb.Broker",
        "_localCleanup _selectDialect connects disconnects failures localObjects luids transport",
    ),
    Reading("twisted.spread.pb", "broker.pb", "IJellyable IUnjellyable Jellyable Local"),
    Reading("twisted.spread.banana.Banana", "jelly.banana.Banana", "_selectDialect"),
    Reading(
        "twisted.spread.jelly",
        "jelly",
        "None_atom class_atom dereference_atom dictionary_atom frozenset_atom function_atom"
        " instance_atom list_atom module_atom persistent_atom reference_atom set_atom tuple_atom"
        " unpersistable_atom",
    ),
    Reading("twisted.cred.credentials", "cred.credentials", "calcHA1 calcHA2 calcResponse"),
    Reading(
        "twisted.internet.protocol.ReconnectingClientFactory",
        "broker.reactor.protocol.ReconnectingClientFactory",
        "_callID clock connector continueTrying delay factor initialDelay jitter maxDelay"
        " maxRetries retries",
    ),
    Reading("twisted.internet.process.Process", "broker.reactor.process.Process", "_setupChild"),
    Reading("twisted.internet.tcp.Port", "broker.reactor.engine.ports.Port", "sessionno"),
    Reading("twisted.internet.tcp.Server", "broker.net.transports.StreamTransport", "sessionno"),
    Reading(
        "twisted.internet.reactor",
        "broker.reactor",
        "addReader addWriter getDelayedCalls getReaders getWriters iterate removeAll removeReader"
        " removeWriter running startRunning",
    ),
    Reading("twisted.python.log", "broker.reactor.log", "PythonLoggingObserver"),
]


def lacking(reading: Reading) -> list[str]:
    """Return the names that are not here."""
    thing: Any = pkgutil.resolve_name(reading.ours)
    names = [name for name in reading.names.split() if not hasattr(thing, name)]
    if names and isinstance(thing, type):
        made = thing()
        names = [name for name in names if not hasattr(made, name)]
    return names
