"""Finds the location of a Twisted name in this library, by looking into its modules."""

from __future__ import annotations

import functools
import re
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from broker.porting.findings import Kind
from broker.porting.reasons import INSTEAD, reason_of
from broker.porting.replacements import FEW, INTERFACES, REACTOR, REPLACEMENTS, Replacement

__all__ = ["Location", "Outcome", "class_here", "is_twisted", "outcome_of", "replacement_of"]

_REPLACED = {
    replacement.theirs: replacement for replacement in (*REPLACEMENTS, *FEW, REACTOR, INTERFACES)
}
_MISSING = object()

# They do not depend on a reactor or on Deferred.
_INDEPENDENT = (
    "twisted.__version__",
    "twisted.copyright",
    "twisted.logger",
    "twisted.persisted",
    "twisted.plugin",
    "twisted.plugins",
    "twisted.python",
    "twisted.version",
)
# Packages that were moved as a whole: a name in one of their other modules is absent.
_MOVED = ("twisted.cred", "twisted.spread")
_CHOICE = re.compile(r"twisted\.(internet\.(\w+reactor|main)|application\.reactors)(\.|$)")

_NOT_PROVIDED = "not provided here, see Coming from Twisted"
_OF_THE_REACTOR = "belongs to Twisted's reactor"
_CHOOSES = "chooses a reactor: leave it out, the reactor here is asyncio's loop"
_PACKAGE = "a package: import each of its modules by name, so that each can move"
_TRIAL = "its tests run on Twisted's reactor: keep that (--keep-reactor), or test with unittest"
_RUNS_THERE = "runs on Twisted's reactor: replace it, or keep that reactor (--keep-reactor)"


class Location(NamedTuple):
    """A name to import from this library.

    Attributes:
        module: the module that has the name; "" if the name is itself a top-level module.
        name: the name to import from it, "*" for all names.
    """

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """The whole name."""
        return f"{self.module}.{self.name}" if self.module else self.name

    @property
    def package(self) -> str:
        """The package of this library that it is in."""
        return self.dotted.partition(".")[0]


class Outcome(NamedTuple):
    """What happens to a name: its location here if it moves, else the reason why not."""

    kind: Kind
    text: str = ""
    location: Location | None = None


def is_twisted(dotted: str) -> bool:
    """Return whether a dotted name is Twisted, or in it."""
    return dotted == "twisted" or dotted.startswith("twisted.")


def replacement_of(dotted: str) -> tuple[Replacement, str] | None:
    """Return the replacement of the module that a dotted name is in, and the rest of the name."""
    module, rest = dotted, ""
    while module:
        if module in _REPLACED:
            return _REPLACED[module], rest
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}" if rest else last
    return None


def outcome_of(dotted: str, keep_reactor: bool = False) -> Outcome:
    """Return what happens to a module of Twisted, or to a name in one.

    Args:
        dotted: such as ``twisted.spread.pb``, ``twisted.spread.pb.Root``, ``twisted.spread.pb.*``.
        keep_reactor: whether the program keeps the reactor of Twisted.
    """
    found = replacement_of(dotted)
    if found is None:
        return _not_replaced(dotted, keep_reactor)
    replacement, rest = found
    if replacement.of_reactor and keep_reactor:
        return Outcome(Kind.STAYS, _OF_THE_REACTOR)
    if not rest:
        module, _, name = replacement.ours.rpartition(".")
        return Outcome(Kind.MOVES, location=Location(module, name))
    name = rest.partition(".")[0]
    if name == "*" or _value(replacement, name) is not _MISSING:
        return Outcome(Kind.MOVES, location=Location(replacement.ours, name))
    whole = f"{replacement.theirs}.{name}"
    return Outcome(Kind.ABSENT, INSTEAD.get(whole) or reason_of(whole) or _NOT_PROVIDED)


def class_here(dotted: str) -> type | None:
    """Return the class here for a class of Twisted; None if it is not a class, or absent."""
    found = replacement_of(dotted)
    value = _value(found[0], found[1]) if found and found[1] else None
    return value if isinstance(value, type) else None


def _not_replaced(dotted: str, keep_reactor: bool) -> Outcome:
    if any(theirs.startswith(f"{dotted}.") for theirs in _REPLACED):
        return Outcome(Kind.LOOK, _PACKAGE)
    if _is_in(dotted, _INDEPENDENT):
        return Outcome(Kind.STAYS, "does not use a reactor or Deferred")
    if _is_in(dotted, _MOVED):
        return Outcome(Kind.ABSENT, _NOT_PROVIDED)
    if keep_reactor:
        return Outcome(Kind.STAYS, _OF_THE_REACTOR)
    if _CHOICE.match(dotted):
        return Outcome(Kind.LOOK, INSTEAD.get(dotted) or _CHOOSES)
    if dotted in INSTEAD:
        return Outcome(Kind.LOOK, f"{_RUNS_THERE}; here: {INSTEAD[dotted]}")
    return Outcome(Kind.LOOK, _TRIAL if _is_in(dotted, ("twisted.trial",)) else _RUNS_THERE)


def _is_in(dotted: str, names: tuple[str, ...]) -> bool:
    return any(dotted == name or dotted.startswith(f"{name}.") for name in names)


def _value(replacement: Replacement, name: str) -> object:
    # Some names are made on access, so dir() does not list them.
    return getattr(_module(replacement.ours), name, _MISSING)


@functools.cache
def _module(name: str) -> ModuleType:
    return import_module(name)
