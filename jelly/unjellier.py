"""The unjellier: one expression back to a graph of objects, whoever sent it.

Theory of operation. The walk is depth first and keeps its own stack; a frame is a value whose parts
are being made (``jelly.containers``). It is done in slices (``jelly.slices``), so that a large
graph does not stop everything else. A peer's tag picks a row: of the registry, of the caller's own
tags, of the leaves, of the containers; it never picks an attribute. The value at the end holds
nothing of ours, or an error was raised. Nothing recurses except through the published hooks
``unjellyFor`` and ``persistentLoad``, as deep as ``max_depth`` allows.

Parts that are shared make a graph small and its expansion as a tree large; code that walks the
graph without remembering where it was, such as ``repr``, walks the tree. So the nodes of the tree
are counted: of each reference when it is complete, and again each time it is referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TypeAlias

from jelly import atoms, code, containers, leaves
from jelly.atoms import Expression
from jelly.bases import Unpersistable, blank_of
from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.frames import Frame
from jelly.keys import KeyGuard
from jelly.knots import Knot, Knots, tie
from jelly.leaves import ATOMS
from jelly.limits import Limits
from jelly.numbers import number_in
from jelly.refusals import not_registered
from jelly.registry import Registry, defaults, named_class
from jelly.security import DummySecurityOptions, Security, SecurityOptions
from jelly.slices import MANY, PARTS, UNFINISHED, VISITS, consumed, finish
from jelly.state import put_plain_state

__all__ = ["WORDS", "Row", "Unjellier"]

# A caller's own row: it makes the value of an expression that starts with its tag.
Row: TypeAlias = Callable[["Unjellier", list[Any]], Any]

_EMPTY = Registry()


# A long string counts as one node for so many bytes.
_BYTES = 256


def _root(unjellier: Unjellier, parts: list[Any], target: Any) -> Any:
    return parts[0]


class Unjellier:
    """Makes one graph of one expression; published as what ``unjellyFor`` receives.

    Args:
        security: says which types, modules and classes may come in.
        persistentLoad: ``f(id, unjellier)`` returns the object of a persistent id.
        invoker: whoever receives; for objects of a connection, its Broker.
        registry: the classes and factories that tags become.
        rows: tags that the caller handles itself, before the registry is asked.
        limits: bounds keys, decimals, sharing, and how deep hooks may nest.
        allow_code: whether class, module, function and method may come in where ``security``
            allows.
        declared_state: whether copies get the fields that their class declares, and no others,
            also where the class was not registered with them.
        consumes: whether the expressions may be emptied while they are read.

    Attributes:
        is_trusted: whether the expression is this program's own: everything is allowed, and there
            is no connection.
    """

    def __init__(
        self,
        security: Security | None = None,
        persistentLoad: Callable[[Any, Any], Any] | None = None,
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
        # Nothing that came on a connection is the program's own.
        self.is_trusted = invoker is None and isinstance(self.taster, DummySecurityOptions)
        self.registry = registry
        self.limits = limits or Limits()
        self.allow_code = allow_code
        self._declared_state = declared_state
        self._consumes = consumes
        self._rows = rows or {}
        self.keys = KeyGuard(self.limits)
        self.knots = Knots()
        self._references: dict[int, Any] = {}
        self._after: list[Callable[[], Any]] = []
        # Most tags are answered here, without asking a method for each.
        self._allowed: Container[bytes] = ()
        if type(security) is SecurityOptions:
            self._allowed = security.allowedTypes
        self._depth = 0
        # The nodes of the graph as a tree, and those of each reference.
        self.expanded = 0
        self._weights: dict[int, int] = {}
        self._is_shared = False
        # The references that were read, by the id of their expressions; and expressions, with their
        # tags, that may hold others.
        self.read: set[int] = set()
        self.unread: list[tuple[bytes | None, Any]] = []

    def note_read(self, expression: list[Any]) -> None:
        """Note that what a reference stands for has been received: it counts as read."""
        self.read.add(id(expression))

    def is_declared(self, cls: type) -> bool:
        """Whether the fields that a class of copies declares are the only ones that it gets."""
        return self._declared_state or cls in defaults.declared.with_fields

    def unjellyFull(self, obj: Expression) -> Any:
        """Return the graph of a whole expression, and call the ``postUnjelly`` hooks (published).

        Raises:
            InsecureJelly, MalformedJelly, LimitExceeded: as `unjelly` does.
        """
        return finish(self.walk(obj))

    def walk(self, obj: Expression) -> Iterator[Any]:
        """Make the graph of a whole expression, as a walk of ``jelly.slices``.

        Raises:
            InsecureJelly, MalformedJelly, LimitExceeded: as `unjelly` does.
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
            InsecureJelly: a type that may not come in.
            MalformedJelly: an expression that no jellier produces.
            LimitExceeded: a value beyond the limits.
        """
        self._depth += 1
        try:
            if self._depth > self.limits.max_depth:
                raise LimitExceeded(f"nesting deeper than {self.limits.max_depth} (max_depth)")
            return finish(self._walk(obj))
        finally:
            self._depth -= 1

    def parts(self, expression: list[Any]) -> Iterator[Any]:
        """Return what stands behind the tag of an expression."""
        if self._consumes and len(expression) >= MANY:
            rest = consumed(expression)
            next(rest)
            return rest
        return islice(expression, 1, None)

    def define(self, number: int | None, value: Any) -> None:
        """Let a reference, if there is one, stand for a value that exists before its parts do."""
        if number is not None:
            self._references[number] = value

    def _walk(self, root: Expression) -> Iterator[Any]:
        since = self.knots.mark()
        holder: list[Any] = []
        opened_items: list[tuple[bytes | None, Any]] = []
        frame = Frame(holder, iter((root,)), _root, None, None)
        outer: list[Frame] = []
        # The numbered containers that are open: how deep, which number, what was counted before.
        weighed: list[tuple[int, int, int]] = []
        readers, limits, allowed, keys = leaves.READERS, self.limits, self._allowed, self.keys
        visits, hashed = VISITS, keys.total
        item, tag = root, None
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
                        number, item = self._numbered(item)  # noqa: PLW2901 - what it stands for
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
                        # Hashing is work, too.
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
        tag: Any,
        item: Any,
        opened: list[tuple[bytes | None, Any]],
        frames: list[Frame],
    ) -> None:
        """Note what a walk that failed at ``item`` has not read."""
        self.unread += opened
        if not opened or item is not opened[-1][1]:
            self.unread.append((tag if type(tag) is bytes else None, item))
        for frame in frames:
            # Parts that were taken out of a list that is emptied.
            # One entry: there may be a million parts.
            self.unread.append((None, [atoms.LIST, *frame.rest]))

    def _tag(self, expression: list[Any]) -> bytes:
        tag = expression[0] if expression else None
        if isinstance(tag, str):
            # Not from a wire: an expression that the application wrote itself.
            tag = tag.encode("utf-8")
        if type(tag) is not bytes:
            raise MalformedJelly("a list that does not start with a tag")
        is_known = tag in self._rows or self.registry.knows(tag)
        if not is_known and not self.taster.isTypeAllowed(tag):
            raise not_registered(tag)
        return tag

    def _numbered(self, expression: list[Any]) -> tuple[int, Any]:
        number = number_in(expression)
        _check_arity(expression, 3)
        if number in self._references:
            raise MalformedJelly(f"reference {number} defined twice")
        self._references[number] = Knot()
        return number, expression[2]

    def _tag_of_numbered(self, number: int, item: Any) -> tuple[bytes | None, Any]:
        """Return the tag of what a reference stands for; or None, and a value without parts."""
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

    def _resolve(self, number: int, value: Any) -> None:
        """Let a reference stand for ``value``, also where it was met before it was known."""
        known = self._references[number]
        if type(known) is Knot:
            if type(value) is not Knot:
                known.value = value
                self._references[number] = value
            elif value is not known:
                # The value itself has to wait; what was handed out follows it.
                self.knots.wait(lambda: _follow(known, value))
                self._references[number] = value

    def _dereference(self, expression: list[Any]) -> Any:
        number = number_in(expression)
        _check_arity(expression, 2)
        try:
            value = self._references[number]
        except KeyError:
            raise MalformedJelly(f"reference {number} was never defined") from None
        if type(value) is Knot:
            self.knots.are_used = True
        # A container that is not complete yet counts as one node.
        self._is_shared = True
        self.expanded += self._weights.get(number, 1)
        self._check_expanded()
        return value

    def _check_expanded(self) -> None:
        most = self.limits.max_expanded
        if self.expanded > most:
            raise LimitExceeded(f"graph expands to more than {most} nodes (max_expanded)")

    def _open(self, tag: bytes, expression: list[Any], number: int | None) -> Any:
        """Return the value of an expression that is no leaf, or the frame in which it is made."""
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
            return self._registered(cls, expression, number)
        factory = self.registry.factory_for(tag)
        if factory is not None:
            _check_arity(expression, 2)
            return Frame([], iter((expression[1],)), Unjellier._finish_made, factory, number)
        reader = code.READERS.get(tag)
        if reader is not None:
            if not self.allow_code:
                raise InsecureJelly(f"type '{atoms.text_of(tag)}' is not accepted by this policy")
            return reader(self, expression)
        cls = named_class(atoms.text_of(tag), self.taster)
        _check_arity(expression, 2)
        blank = blank_of(cls)
        return self._stateful(blank, expression[1], number, _set_plain)

    def _registered(self, cls: Any, expression: list[Any], number: int | None) -> Any:
        if not isinstance(cls, type):
            self.unread.append((expression[0], expression))
            return self._then_post(cls(self, expression))
        blank = blank_of(cls)
        hook = getattr(cls, "unjellyFor", None)
        if hook is None:
            raise InsecureJelly(f"{cls.__name__} is registered but has no unjellyFor")
        if getattr(hook, "is_engine_hook", False):
            state = blank.unjellied_state(self, expression)
            return self._stateful(blank, state, number, _set_unjellied)
        if number is not None:
            self._references[number] = blank
        self.unread.append((expression[0], expression))
        value = blank.unjellyFor(self, expression)
        if value is not blank and number is not None:
            self._references[number] = value
        return self._then_post(value)

    def _stateful(
        self, blank: Any, state: Expression, number: int | None, setter: Callable[..., None]
    ) -> Frame:
        if number is not None:
            self._references[number] = blank
        return Frame([], iter((state,)), Unjellier._finish_stateful, (blank, setter), None)

    def _finish_stateful(self, parts: list[Any], target: Any) -> Any:
        blank, setter = target

        def set_state() -> None:
            tie(parts)
            setter(self, blank, parts[0])
            self._then_post(blank)

        self._when_tied(set_state)
        return blank

    def _finish_made(self, parts: list[Any], factory: Any) -> Any:
        if self.knots.are_used:
            return containers.later(self, lambda parts: self._then_post(factory(parts[0])), parts)
        return self._then_post(factory(parts[0]))

    def _then_post(self, value: Any) -> Any:
        # The hook of the class, never one that came with the state.
        hook = getattr(type(value), "postUnjelly", None)
        if hook is not None:
            self._after.append(lambda: hook(value))
        return value

    def _when_tied(self, work: Callable[[], None]) -> None:
        if self.knots.are_used:
            self.knots.wait(work)
        else:
            work()

    def _persistent(self, expression: list[Any], number: int | None) -> Any:
        _check_arity(expression, 2)
        if self.persistentLoad is None:
            return Unpersistable("Persistent callback not found")
        return self.persistentLoad(expression[1], self)

    def _unpersistable(self, expression: list[Any], number: int | None) -> Unpersistable:
        _check_arity(expression, 2)
        return Unpersistable(f"Unpersistable data: {atoms.text_of(expression[1])}")


def _follow(known: Knot, value: Knot) -> None:
    known.value = value.value


def _text_weight(tag: bytes, expression: list[Any]) -> int:
    """Return what the strings that stand in an expression count beyond one node each."""
    items: Iterable[Any] = expression
    if tag == atoms.DICTIONARY:
        items = chain.from_iterable(pair for pair in expression if type(pair) is list)
    total = 0
    for item in items:
        text = item[1] if type(item) is list and len(item) == 2 else item
        if type(text) is bytes:
            total += len(text) // _BYTES
    return total


def _check_arity(expression: list[Any], count: int) -> None:
    if len(expression) != count:
        raise MalformedJelly(f"{atoms.text_of(expression[0])} of {len(expression) - 1} fields")


def _set_unjellied(unjellier: Unjellier, blank: Any, state: Any) -> None:
    blank.set_unjellied_state(unjellier, state)


def _set_plain(unjellier: Unjellier, blank: Any, state: Any) -> None:
    put_plain_state(blank, state, is_trusted=unjellier.is_trusted)


_OPENERS: dict[bytes, Callable[[Unjellier, list[Any], int | None], Any]] = {
    **containers.OPENERS,
    atoms.PERSISTENT: Unjellier._persistent,
    atoms.UNPERSISTABLE: Unjellier._unpersistable,
}

WORDS: frozenset[bytes] = frozenset(
    {*leaves.READERS, *code.READERS, *_OPENERS, atoms.REFERENCE, atoms.DEREFERENCE}
)
"""The tags that are no names of classes."""
