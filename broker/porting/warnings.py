"""Finds the lines of a program, other than imports, that a person must check after the move."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from types import FunctionType

from broker.porting.findings import Finding, Kind
from broker.porting.locations import class_here, outcome_of, replacement_of
from broker.porting.names import Names
from broker.porting.reasons import reason_of
from broker.porting.replacements import REACTOR
from broker.porting.sources import Source

__all__ = ["find_warnings"]

_Found = Iterator[tuple[ast.AST, Kind, str]]

_DOTTED = re.compile(r"(twisted(?:\.\w+)+)(?::\w+)?")
# Functions that return a Deferred of this library.
_GIVERS = {"callRemote", "getRootObject", "login", "getObjectAt", "getObjectFor"}
# Functions that take names as they are on the wire: those stay the names of Twisted.
_TAKES_WIRE_NAMES = {"trap", "check"}
# Programs use private members of these classes by name; the other classes they only subclass.
_WITH_PARTS = ("Banana", "Broker", "PBClientFactory", "PBServerFactory", "RemoteReference")
_TWO_TYPES = {
    "twisted.internet.defer.Deferred": "Deferred",
    "twisted.python.failure.Failure": "Failure",
}


def find_warnings(source: Source, names: Names, moves: Callable[[str], bool]) -> Iterator[Finding]:
    """Yield the lines to check, other than imports.

    Args:
        source: the file.
        names: its names.
        moves: returns whether a dotted name of Twisted moves.
    """
    finder = _Finder(names, moves)
    for node in ast.walk(source.tree):
        for at, kind, text in finder.of(node):
            yield Finding(str(source.path), getattr(at, "lineno", 0), kind, text)


class _Finder:
    def __init__(self, names: Names, moves: Callable[[str], bool]):
        self._names = names
        self._moves = moves

    def of(self, node: ast.AST) -> _Found:
        match node:
            case ast.Attribute():
                yield from self._attribute(node)
            case ast.Compare():
                yield from self._comparison(node)
            case ast.Call():
                yield from self._call(node)
            case ast.ClassDef():
                yield from self._class(node)
            case ast.Constant(value=str(text)):
                yield from self._text(node, text)

    def _attribute(self, node: ast.Attribute) -> _Found:
        owner = self._names.dotted(node.value)
        replacement = replacement_of(owner) if owner else None
        if owner is None or replacement is None or replacement[1] or not self._moves(owner):
            return
        outcome = outcome_of(f"{owner}.{node.attr}")
        # A name in a package can be a module too, such as twisted.application.internet.
        if outcome.kind is Kind.ABSENT:
            yield node, outcome.kind, f"{owner}.{node.attr}: {outcome.text}"

    def _comparison(self, node: ast.Compare) -> _Found:
        for part in (node.left, *node.comparators):
            if isinstance(part, ast.Attribute) and part.attr == "remoteType":
                text = (
                    "remoteType is compared: it is bytes. Classes of Twisted keep their Twisted"
                    " names in it; a class of the program has the current name of its module"
                )
                yield node, Kind.LOOK, text

    def _call(self, node: ast.Call) -> _Found:
        is_asked = isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass")
        if is_asked and len(node.args) == 2:
            for part in ast.walk(node.args[1]):
                dotted = self._names.dotted(part)
                if dotted in _TWO_TYPES and self._moves(dotted):
                    name = _TWO_TYPES[dotted]
                    text = f"is false for Twisted's {name} after the move"
                    yield node, Kind.LOOK, f"{_shown(node)}: {text}"
        function = self._names.dotted(_begun_by(node.func))
        if function is None or self._moves(function) or not self._moves(REACTOR.theirs):
            return
        for given in (*node.args, *(keyword.value for keyword in node.keywords)):
            if any(isinstance(p, ast.Attribute) and p.attr in _GIVERS for p in ast.walk(given)):
                text = (
                    f"{function} waits for our Deferred on Twisted's reactor: keep that"
                    " reactor (--keep-reactor), or replace the function"
                )
                yield node, Kind.LOOK, text

    def _text(self, node: ast.Constant, text: str) -> _Found:
        found = _DOTTED.fullmatch(text)
        replacement = replacement_of(found[1]) if found else None
        around = self._names.parents.get(node)
        is_wire = isinstance(around, ast.Compare) or (
            isinstance(around, ast.Call)
            and isinstance(around.func, ast.Attribute)
            and around.func.attr in _TAKES_WIRE_NAMES
        )
        if (
            found is None
            or replacement is None
            or is_wire
            or not self._moves(replacement[0].theirs)
        ):
            return
        location = outcome_of(found[1]).location
        here = location.dotted if location else replacement[0].ours
        text = f"{text!r}: to import or patch it, use {here!r}; on the wire it stays"
        yield node, Kind.LOOK, text

    def _class(self, node: ast.ClassDef) -> _Found:
        for base in node.bases:
            dotted = self._names.dotted(base)
            if dotted is None or not self._moves(dotted):
                continue
            why = reason_of(f"{dotted} (bases)", is_absent=False)
            if why:
                yield node, Kind.LOOK, f"class {node.name} is a {dotted}: {why}"
            yield from self._members(node, dotted)

    def _members(self, node: ast.ClassDef, base: str) -> _Found:
        """Yield members of a base class that a class uses and that are absent here."""
        own = {part.attr for part in _of_self(node) if isinstance(part.ctx, ast.Store)}
        own |= {part.name for part in node.body if isinstance(part, _DEFINES)}
        own |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        told = set()
        for part in [*_of_self(node), *(part for part in node.body if isinstance(part, _DEFINES))]:
            name = part.attr if isinstance(part, ast.Attribute) else part.name
            why = reason_of(f"{base}.{name}") or reason_of(f"{base}.{name}", is_absent=False)
            is_private = base.endswith(_WITH_PARTS) and re.match("_(?!_)", name) is not None
            if not why and is_private and name not in own and not _has(class_here(base), name):
                why = "not a public name of Twisted, and absent here"
            if why and name not in told:
                told.add(name)
                yield part, Kind.LOOK, f"{base}.{name}: {why}"


_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef)


def _begun_by(function: ast.expr) -> ast.expr:
    """Return the first function of a chain of calls: ``f`` of ``f(1).addCallback``."""
    inner = function
    while isinstance(inner, ast.Attribute):
        inner = inner.value
        if isinstance(inner, ast.Call):
            function = inner = inner.func
    return function


def _of_self(node: ast.ClassDef) -> list[ast.Attribute]:
    return [
        part
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == "self"
    ]


def _has(cls: type | None, name: str) -> bool:
    """Return whether a class has an attribute, or one of its methods uses it in its instances."""
    return cls is not None and any(
        name in vars(base)
        or name in vars(base).get("__annotations__", ())
        or any(
            name in value.__code__.co_names
            for value in vars(base).values()
            if isinstance(value, FunctionType)
        )
        for base in cls.__mro__
    )


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:60]}…"
