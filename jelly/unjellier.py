"""The unjellier: decodes one expression, from any sender, to a graph of objects.

Theory of operation. The walk is depth first and has its own stack. A frame is a value whose parts
are being made (``jelly.containers``). The walk is done in slices (``jelly.slices``), so that a
large graph does not block other connections. A peer's tag selects a row: of the registry, of
``rows``, of the scalars, or of the containers. It never selects an attribute. The walk either
returns a value without internal objects of this library, or raises an error. It recurses only
through Twisted's hooks ``unjellyFor`` and ``persistentLoad``, up to ``max_depth``.

A small graph with shared parts may be a large tree when it is expanded. Code that does not remember
which parts it has visited, such as ``repr``, walks that tree. So the nodes of the tree are counted:
those of a reference when it is complete, and again each time it is referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TypeAlias

from jelly import atoms, code, containers, instances, leaves
from jelly.arity import check_arity
from jelly.atoms import Expression
from jelly.bases import Unpersistable
from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.frames import Frame
from jelly.keys import KeyGuard
from jelly.knots import Knot, Knots, tie
from jelly.leaves import ATOMS
from jelly.limit_errors import limit_error
from jelly.limits import Limits
from jelly.numbers import number_in
from jelly.refusals import not_registered
from jelly.registry import Registry, defaults, named_class
from jelly.security import DummySecurityOptions, Security, SecurityOptions
from jelly.slices import MANY, PARTS, UNFINISHED, VISITS, Walk, consumed, finish

__all__ = ["WORDS", "Row", "Unjellier"]

# A row of the caller: makes the value of an expression that starts with its tag.
Row: TypeAlias = Callable[["Unjellier", list[Expression]], object]

_EMPTY = Registry()


# Bytes of a long string that count as one node.
_BYTES = 256


def _root(unjellier: Unjellier, parts: list[object], target: object) -> object:
    return parts[0]


class Unjellier:
    """Makes one graph of one expression; Twisted's hook ``unjellyFor`` gets it as an argument.

    Args:
        security: decides which types, modules and classes are allowed.
        persistentLoad: ``f(id, unjellier)`` returns the object of a persistent id.
        invoker: for the hooks; on a connection, its Broker.
        registry: the classes and factories of the tags.
        rows: tags that the caller handles itself; they are looked up before the registry.
        limits: of keys, decimals, sharing, and the nesting of hooks.
        allow_code: whether classes, modules, functions and methods are allowed, if ``security``
            allows them.
        declared_state: whether copies get only the fields that their class declares, even if the
            class was not registered with its fields.
        consumes: whether the expressions may be emptied while they are decoded.

    Attributes:
        is_trusted: whether the expression comes from this program: there is no connection, and
            ``security`` allows everything.
    """

    def __init__(
        self,
        security: Security | None = None,
        persistentLoad: Callable[[Any, Unjellier], object] | None = None,
        invoker: Any = None,
        registry: Registry = _EMPTY,
        rows: Mapping[bytes, Row] | None = None,
        limits: Limits | None = None,
        allow_code: bool = True,
        declared_state: bool = False,
        consumes: bool = False,
    ):
        self.taster = security if security is not None else DummySecurityOptions()
        self.persistentLoad = persistentLoad
        self.invoker = invoker
        # An expression that was received on a connection is never trusted.
        self.is_trusted = invoker is None and isinstance(self.taster, DummySecurityOptions)
        self.registry = registry
        self.limits = limits or Limits()
        self.allow_code = allow_code
        self._declared_state = declared_state
        self._consumes = consumes
        self._rows = rows or {}
        self.keys = KeyGuard(self.limits)
        self.knots = Knots()
        self._references: dict[int, object] = {}
        self._after: list[Callable[[], object]] = []
        # A quick path: for most tags, no method of ``security`` is called.
        self._allowed: Container[bytes] = ()
        if type(security) is SecurityOptions:
            self._allowed = security.allowedTypes
        self._depth = 0
        # The nodes of the graph as a tree, and the nodes of each reference.
        self.expanded = 0
        self._weights: dict[int, int] = {}
        self._is_shared = False
        # Ids of the expressions of decoded references; and expressions, with their tags, that may
        # contain references that were not decoded.
        self.read: set[int] = set()
        self.unread: list[tuple[bytes | None, Expression]] = []

    def note_read(self, expression: list[Expression]) -> None:
        """Note that the expression of a reference was decoded."""
        self.read.add(id(expression))

    def is_declared(self, cls: type) -> bool:
        """Return whether copies of a class get only the fields that the class declares."""
        return self._declared_state or cls in defaults.declared.with_fields

    def unjellyFull(self, obj: Expression) -> Any:
        """Return the graph of a whole expression, and call the ``postUnjelly`` hooks (published).

        Raises:
            InsecureJelly, MalformedJelly, LimitExceeded: see `unjelly`.
        """
        return finish(self.walk(obj))

    def walk(self, obj: Expression) -> Walk[Any]:
        """Like `unjellyFull`, as a walk of ``jelly.slices``.

        Raises:
            InsecureJelly, MalformedJelly, LimitExceeded: see `unjelly`.
        """
        self._depth += 1
        walk = self._walk(obj)
        while (value := next(walk)) is UNFINISHED:
            yield UNFINISHED
        if self._is_shared:
            self._check_expanded()
        for number, hook in enumerate(self._after, 1):
            hook()
            if number % VISITS == 0:
                yield UNFINISHED
        yield value

    def unjelly(self, obj: Expression) -> Any:
        """Return the value of ``obj``, which may be part of a larger expression (published).

        Raises:
            InsecureJelly: a type is not allowed.
            MalformedJelly: no jellier produces such an expression.
            LimitExceeded: a value exceeds a limit.
        """
        self._depth += 1
        try:
            if self._depth > self.limits.max_depth:
                most = self.limits.max_depth
                raise limit_error(LimitExceeded, "max_depth", most, self._depth)
            return finish(self._walk(obj))
        finally:
            self._depth -= 1

    def parts(self, expression: list[Expression]) -> Iterator[Expression]:
        """Return the parts of an expression after its tag."""
        if self._consumes and len(expression) >= MANY:
            rest = consumed(expression)
            next(rest)
            return rest
        return islice(expression, 1, None)

    def define(self, number: int | None, value: object) -> None:
        """Set the value of a reference, if there is one, before the parts of the value exist."""
        if number is not None:
            self._references[number] = value

    def name_knot(self, number: int | None, what: str) -> None:
        """Name the value of a reference, if there is one, for the error if it contains itself."""
        known = None if number is None else self._references[number]
        if type(known) is Knot:
            known.what = what

    def call_after(self, hook: Callable[[], object]) -> None:
        """Call ``hook`` when the whole graph is made."""
        self._after.append(hook)

    def _walk(self, root: Expression) -> Walk[Any]:
        since = self.knots.mark()
        holder: list[object] = []
        opened_items: list[tuple[bytes | None, Expression]] = []
        frame = Frame(holder, iter((root,)), _root, None, None)
        outer: list[Frame] = []
        # The open containers with a number: their depth, their number, the count before them.
        weighed: list[tuple[int, int, int]] = []
        readers, limits, allowed, keys = leaves.READERS, self.limits, self._allowed, self.keys
        visits, hashed = VISITS, keys.total
        item: Any = root
        tag: bytes | None = None
        try:
            while True:
                visits -= 1
                if visits <= 0:
                    yield UNFINISHED
                    visits = VISITS
                parts = frame.parts
                full = len(parts) + PARTS
                for item in islice(frame.rest, PARTS):
                    if type(item) is not list:
                        if type(item) not in ATOMS:
                            raise MalformedJelly(f"{type(item).__name__} in an expression")
                        parts.append(item)
                        continue
                    tag = item[0] if item else None
                    if type(tag) is not bytes or tag not in allowed:
                        tag = self._tag(item)
                    read = readers.get(tag)
                    if read is not None:
                        parts.append(read(item, limits))
                        continue
                    number = None
                    if tag == atoms.REFERENCE:
                        number, item = self._numbered(item)  # noqa: PLW2901 - the referenced item
                        tag, value = self._tag_of_numbered(number, item)
                        if tag is None:
                            parts.append(value)
                            continue
                    before = self.expanded
                    self.expanded += len(item)
                    if weighed or number is not None:
                        self.expanded += _text_weight(tag, item)
                    opened = self._open(tag, item, number)
                    if type(opened) is Frame:
                        outer.append(frame)
                        opened_items.append((tag, item))
                        if number is not None:
                            weighed.append((len(outer), number, before))
                        frame = opened
                        break
                    if number is not None:
                        self._resolve(number, opened)
                        self._weights[number] = self.expanded - before
                    parts.append(opened)
                else:
                    if len(parts) == full:
                        continue
                    value = frame.finish(self, parts, frame.target)
                    if keys.total != hashed:
                        # Hashing counts as visits, too.
                        visits -= (keys.total - hashed) // PARTS
                        hashed = keys.total
                    if type(value) is Frame:
                        frame = value
                        continue
                    if not outer:
                        break
                    if frame.number is not None:
                        self._resolve(frame.number, value)
                    if weighed and weighed[-1][0] == len(outer):
                        _, number, before = weighed.pop()
                        self._weights[number] = self.expanded - before
                    frame = outer.pop()
                    opened_items.pop()
                    frame.parts.append(value)
        except GeneratorExit:
            raise
        except BaseException:
            self._note_unread(tag, item, opened_items, [*outer, frame])
            raise
        if self.knots.are_used:
            settling = self.knots.settle(since)
            while next(settling) is UNFINISHED:
                yield UNFINISHED
            tie(holder)
            value = holder[0]
        yield value

    def _note_unread(
        self,
        tag: bytes | None,
        item: Expression,
        opened: list[tuple[bytes | None, Expression]],
        frames: list[Frame],
    ) -> None:
        """Note the expressions that were not decoded when a walk failed at ``item``."""
        self.unread += opened
        if not opened or item is not opened[-1][1]:
            self.unread.append((tag if type(tag) is bytes else None, item))
        for frame in frames:
            # The parts may have been removed from their list. They get one entry together, since
            # there may be a million of them.
            self.unread.append((None, [atoms.LIST, *frame.rest]))

    def _tag(self, expression: list[Expression]) -> bytes:
        tag: object = expression[0] if expression else None
        if isinstance(tag, str):
            # Only in an expression that the application wrote itself; the wire has bytes.
            tag = tag.encode("utf-8")
        if type(tag) is not bytes:
            raise MalformedJelly("a list that does not start with a tag")
        is_known = tag in self._rows or self.registry.knows(tag)
        if not is_known and not self.taster.isTypeAllowed(tag):
            raise not_registered(tag)
        return tag

    def _numbered(self, expression: list[Expression]) -> tuple[int, Expression]:
        number = number_in(expression)
        check_arity(expression, 3)
        if number in self._references:
            raise MalformedJelly(f"reference {number} defined twice")
        self._references[number] = Knot()
        return number, expression[2]

    def _tag_of_numbered(self, number: int, item: Expression) -> tuple[bytes | None, object]:
        """Return the tag of a referenced value that has parts; else None and the value."""
        if type(item) is list:
            tag = self._tag(item)
            if tag == atoms.REFERENCE:
                raise MalformedJelly(f"reference {number} is another reference")
            read = leaves.READERS.get(tag)
            if read is None:
                return tag, None
            value = read(item, self.limits)
        elif type(item) in ATOMS:
            value = item
        else:
            raise MalformedJelly(f"{type(item).__name__} in an expression")
        self._references[number] = value
        self._weights[number] = 1 + _text_weight(b"", [item])
        return None, value

    def _resolve(self, number: int, value: object) -> None:
        """Set the value of a reference, also in the places that referred to it before."""
        known = self._references[number]
        if type(known) is Knot:
            if type(value) is not Knot:
                known.value = value
                self._references[number] = value
            elif value is not known:
                # The value is not known yet either: the earlier knot gets its value later.
                self.knots.wait(lambda: _follow(known, value))
                self._references[number] = value

    def _dereference(self, expression: list[Expression]) -> object:
        number = number_in(expression)
        check_arity(expression, 2)
        try:
            value = self._references[number]
        except KeyError:
            raise MalformedJelly(f"reference {number} was never defined") from None
        if type(value) is Knot:
            self.knots.are_used = True
        # An incomplete container counts as one node.
        self._is_shared = True
        self.expanded += self._weights.get(number, 1)
        self._check_expanded()
        return value

    def _check_expanded(self) -> None:
        most = self.limits.max_expanded
        if self.expanded > most:
            raise limit_error(LimitExceeded, "max_expanded", most, self.expanded)

    def _open(self, tag: bytes, expression: list[Expression], number: int | None) -> object:
        """Return the value of an expression that is not a scalar, or the frame that makes it."""
        if tag == atoms.DEREFERENCE:
            return self._dereference(expression)
        opener = _OPENERS.get(tag)
        if opener is not None:
            return opener(self, expression, number)
        row = self._rows.get(tag)
        if row is not None:
            return row(self, expression)
        cls = self.registry.class_for(tag)
        if cls is not None:
            return instances.registered(self, cls, tag, expression, number)
        factory = self.registry.factory_for(tag)
        if factory is not None:
            return instances.by_factory(self, factory, expression, number)
        if tag == atoms.UUID:
            value = leaves.read_uuid(expression)
            if value is not None:
                return value
        reader = code.READERS.get(tag)
        if reader is not None:
            if not self.allow_code:
                raise InsecureJelly(f"type '{atoms.text_of(tag)}' is not accepted by this policy")
            return reader(self, expression)
        cls = named_class(atoms.text_of(tag), self.taster)
        return instances.plain(self, cls, expression, number)

    def _persistent(self, expression: list[Expression], number: int | None) -> object:
        check_arity(expression, 2)
        if self.persistentLoad is None:
            return Unpersistable("Persistent callback not found")
        return self.persistentLoad(expression[1], self)

    def _unpersistable(self, expression: list[Expression], number: int | None) -> Unpersistable:
        check_arity(expression, 2)
        return Unpersistable(f"Unpersistable data: {atoms.text_of(expression[1])}")


def _follow(known: Knot, value: Knot) -> None:
    known.value = value.value


def _text_weight(tag: bytes, expression: list[Expression]) -> int:
    """Return the nodes that the strings in an expression count in addition to one each."""
    items: Iterable[Expression] = expression
    if tag == atoms.DICTIONARY:
        items = chain.from_iterable(pair for pair in expression if type(pair) is list)
    total = 0
    for item in items:
        text = item[1] if type(item) is list and len(item) == 2 else item
        if type(text) is bytes:
            total += len(text) // _BYTES
    return total


_OPENERS: dict[bytes, containers.Opener] = {
    **containers.OPENERS,
    atoms.PERSISTENT: Unjellier._persistent,
    atoms.UNPERSISTABLE: Unjellier._unpersistable,
}

WORDS: frozenset[bytes] = frozenset(
    {*leaves.READERS, *code.READERS, *_OPENERS, atoms.REFERENCE, atoms.DEREFERENCE, atoms.UUID}
)
"""The tags that are not names of classes."""
