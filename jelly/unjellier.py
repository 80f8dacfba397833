"""The unjellier: one expression back to a graph of objects, whoever sent it.

Theory of operation. The walk is depth first and keeps its own stack; a frame is a value whose parts
are being made. Lists, dicts, sets and the blank instances of registered classes exist before their
parts do, so a reference to one from inside is simply that object. Tuples and frozensets do not; see
``jelly.knots``. A peer's tag picks a row: of the registry, of the caller's own tags, of the leaves,
of the containers; it never picks an attribute. What has been made at the end holds nothing of ours,
or an error was raised. Nothing recurses except through the published hooks ``unjellyFor``,
factories and ``persistentLoad``, as deep as ``max_depth`` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from jelly import atoms, code, leaves
from jelly.atoms import Expression
from jelly.bases import Unpersistable, blank_of
from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.keys import KeyGuard, is_compound
from jelly.knots import Knot, Knots, tie
from jelly.limits import Limits
from jelly.registry import Registry, named_class
from jelly.security import DummySecurityOptions, Security, SecurityOptions

__all__ = ["Row", "Unjellier"]

# A caller's own row: it makes the value of an expression that starts with its tag.
Row: TypeAlias = Callable[["Unjellier", list[Any]], Any]

_ATOMS = frozenset({int, float, bytes})
_TEXT = frozenset({str, bytes})
# What each part of a dictionary is: a list, of two.
_LISTS, _TWOS = {list}, {2}
_EMPTY = Registry()


class _Frame(NamedTuple):
    """A value whose parts are being made.

    Attributes:
        parts: those made so far.
        rest: the expressions of those to come.
        finish: makes, or fills, the value of all parts.
        target: what is filled; None where the value does not exist before its parts.
        number: of the reference that stands for the value, if that is not known yet.
    """

    parts: list[Any]
    rest: Iterator[Any]
    finish: Callable[[Unjellier, list[Any], Any], Any]
    target: Any
    number: int | None


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
        limits: bounds keys, decimals and how deep hooks may nest.
        allow_code: whether class, module, function and method may come in where ``security``
            allows.
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
    ):
        self.taster = security if security is not None else DummySecurityOptions()
        self.persistentLoad = persistentLoad
        self.invoker = invoker
        self.registry = registry
        self.limits = limits or Limits()
        self.allow_code = allow_code
        self._rows = rows or {}
        self._keys = KeyGuard(self.limits)
        self._knots = Knots()
        self._references: dict[int, Any] = {}
        self._after: list[Callable[[], Any]] = []
        # Most tags are answered here, without asking a method for each.
        self._allowed: Container[bytes] = ()
        if type(security) is SecurityOptions:
            self._allowed = security.allowedTypes
        self._depth = 0

    def unjellyFull(self, obj: Expression) -> Any:
        """Return the graph of a whole expression, and call the ``postUnjelly`` hooks."""
        value = self.unjelly(obj)
        for hook in self._after:
            hook()
        return value

    def unjelly(self, obj: Expression) -> Any:
        """Return the value of ``obj``, which may be part of a larger expression.

        Raises:
            InsecureJelly: a type that may not come in.
            MalformedJelly: an expression that no jellier produces.
            LimitExceeded: a value beyond the limits.
        """
        self._depth += 1
        try:
            if self._depth > self.limits.max_depth:
                raise LimitExceeded(f"nesting deeper than {self.limits.max_depth} (max_depth)")
            return self._walk(obj)
        finally:
            self._depth -= 1

    def _walk(self, root: Expression) -> Any:
        since = self._knots.mark()
        holder: list[Any] = []
        frame = _Frame(holder, iter((root,)), _root, None, None)
        outer: list[_Frame] = []
        readers, limits, allowed = leaves.READERS, self.limits, self._allowed
        while True:
            parts = frame.parts
            for part in frame.rest:
                item = part
                if type(item) is not list:
                    if type(item) not in _ATOMS:
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
                    number, item = self._numbered(item)
                    if type(item) is not list:
                        self._references[number] = item
                        parts.append(item)
                        continue
                    tag = self._tag(item)
                    read = readers.get(tag)
                    if read is not None:
                        self._references[number] = value = read(item, limits)
                        parts.append(value)
                        continue
                    if tag == atoms.REFERENCE:
                        raise MalformedJelly(f"reference {_shown(number)} is another reference")
                opened = self._open(tag, item, number)
                if type(opened) is _Frame:
                    outer.append(frame)
                    frame = opened
                    break
                if number is not None:
                    self._resolve(number, opened)
                parts.append(opened)
            else:
                value = frame.finish(self, parts, frame.target)
                if not outer:
                    break
                if frame.number is not None:
                    self._resolve(frame.number, value)
                frame = outer.pop()
                frame.parts.append(value)
        if self._knots.are_used:
            self._knots.settle(since)
            tie(holder)
            return holder[0]
        return value

    def _tag(self, expression: list[Any]) -> bytes:
        tag = expression[0] if expression else None
        if isinstance(tag, str):
            # Not from a wire: an expression that the application wrote itself.
            tag = tag.encode("utf-8")
        if type(tag) is not bytes:
            raise MalformedJelly("a list that does not start with a tag")
        is_known = tag in self._rows or self.registry.knows(tag)
        if not is_known and not self.taster.isTypeAllowed(tag):
            raise InsecureJelly(f"type '{atoms.text_of(tag)}' is not registered")
        return tag

    def _numbered(self, expression: list[Any]) -> tuple[int, Any]:
        if len(expression) != 3 or type(expression[1]) is not int:
            raise MalformedJelly("reference without a number and a value")
        number = expression[1]
        if number in self._references:
            raise MalformedJelly(f"reference {_shown(number)} defined twice")
        self._references[number] = Knot()
        return number, expression[2]

    def _resolve(self, number: int, value: Any) -> None:
        """Let a reference stand for ``value``, also where it was met before it was known."""
        known = self._references[number]
        if type(known) is Knot:
            if type(value) is not Knot:
                known.value = value
                self._references[number] = value
            elif value is not known:
                # The value itself has to wait; what was handed out follows it.
                self._knots.wait(lambda: _follow(known, value))
                self._references[number] = value

    def _dereference(self, expression: list[Any]) -> Any:
        if len(expression) != 2 or type(expression[1]) is not int:
            raise MalformedJelly("dereference without a number")
        try:
            value = self._references[expression[1]]
        except KeyError:
            number = _shown(expression[1])
            raise MalformedJelly(f"reference {number} was never defined") from None
        if type(value) is Knot:
            self._knots.are_used = True
        return value

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
            return self._then_post(factory(self.unjelly(expression[1])))
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
            return self._then_post(cls(self, expression))
        blank = blank_of(cls)
        hook = getattr(cls, "unjellyFor", None)
        if hook is None:
            raise InsecureJelly(f"{cls.__name__} is registered but has no unjellyFor")
        if getattr(hook, "is_engine_hook", False):
            _check_arity(expression, 2)
            return self._stateful(blank, expression[1], number, _set_unjellied)
        if number is not None:
            self._references[number] = blank
        value = blank.unjellyFor(self, expression)
        if value is not blank and number is not None:
            self._references[number] = value
        return self._then_post(value)

    def _stateful(
        self, blank: Any, state: Expression, number: int | None, setter: Callable[..., None]
    ) -> _Frame:
        if number is not None:
            self._references[number] = blank
        return _Frame([], iter((state,)), Unjellier._finish_stateful, (blank, setter), None)

    def _finish_stateful(self, parts: list[Any], target: Any) -> Any:
        blank, setter = target

        def set_state() -> None:
            tie(parts)
            setter(self, blank, parts[0])
            self._then_post(blank)

        self._when_tied(set_state)
        return blank

    def _then_post(self, value: Any) -> Any:
        # The hook of the class, never one that came with the state.
        hook = getattr(type(value), "postUnjelly", None)
        if hook is not None:
            self._after.append(lambda: hook(value))
        return value

    def _when_tied(self, work: Callable[[], None]) -> None:
        if self._knots.are_used:
            self._knots.wait(work)
        else:
            work()

    # Containers. Those that exist before their parts are the target of their frame.

    def _open_list(self, expression: list[Any], number: int | None) -> Any:
        if _ATOMS.issuperset(map(type, expression)):
            return expression[1:]
        made: list[Any] = []
        if number is not None:
            self._references[number] = made
        return _Frame(made, iter(expression[1:]), Unjellier._finish_list, made, None)

    def _finish_list(self, parts: list[Any], made: list[Any]) -> list[Any]:
        if self._knots.are_used:
            self._knots.wait(lambda: tie(made))
        return made

    def _open_tuple(self, expression: list[Any], number: int | None) -> Any:
        if _ATOMS.issuperset(map(type, expression)):
            return tuple(expression[1:])
        return _Frame([], iter(expression[1:]), Unjellier._finish_tuple, None, number)

    def _finish_tuple(self, parts: list[Any], target: None) -> Any:
        if self._knots.are_used and Knot in map(type, parts):
            return self._later(tuple, parts)
        return tuple(parts)

    def _open_frozenset(self, expression: list[Any], number: int | None) -> _Frame:
        return _Frame([], iter(expression[1:]), Unjellier._finish_frozenset, None, number)

    def _finish_frozenset(self, parts: list[Any], target: None) -> Any:
        # Members that hash without looking at others can be hashed before those are complete.
        if self._knots.are_used and any(
            kind is Knot or is_compound(kind) for kind in map(type, parts)
        ):
            return self._later(self._make_frozenset, parts)
        return self._make_frozenset(parts)

    def _make_frozenset(self, parts: list[Any]) -> Any:
        self._keys.check(parts, "set member")
        return self._keys.hashed(frozenset, parts, "set member")

    def _later(self, make: Callable[[list[Any]], Any], parts: list[Any]) -> Knot:
        knot = Knot()

        def work() -> None:
            tie(parts)
            knot.value = make(parts)

        self._knots.wait(work)
        return knot

    def _open_set(self, expression: list[Any], number: int | None) -> _Frame:
        made: set[Any] = set()
        if number is not None:
            self._references[number] = made
        return _Frame([], iter(expression[1:]), Unjellier._finish_set, made, None)

    def _finish_set(self, parts: list[Any], made: set[Any]) -> set[Any]:
        self._when_tied(lambda: self._fill(made, parts, parts, "set member"))
        return made

    def _open_dictionary(self, expression: list[Any], number: int | None) -> Any:
        made: dict[Any, Any] = {}
        if number is not None:
            self._references[number] = made
        pairs = expression[1:]
        if not pairs:
            return made
        if set(map(type, pairs)) != _LISTS or set(map(len, pairs)) != _TWOS:
            raise MalformedJelly("dictionary of something other than pairs")
        parts = list(chain.from_iterable(pairs))
        if _ATOMS.issuperset(map(type, parts)):
            # Without a step for each: 40,000 ints are read in six tenths of the time.
            return self._finish_dictionary(parts, made)
        return _Frame([], iter(parts), Unjellier._finish_dictionary, made, None)

    def _finish_dictionary(self, parts: list[Any], made: dict[Any, Any]) -> dict[Any, Any]:
        keys = parts[::2]
        if not self._knots.are_used and _TEXT.issuperset(map(type, keys)):
            made.update(zip(keys, parts[1::2], strict=True))
            return made
        self._when_tied(lambda: self._fill_dictionary(made, parts))
        return made

    def _fill_dictionary(self, made: dict[Any, Any], parts: list[Any]) -> None:
        tie(parts)
        keys = parts[::2]
        self._fill(made, keys, zip(keys, parts[1::2], strict=True), "dict key")

    def _fill(self, made: Any, keys: list[Any], content: Iterable[Any], what: str) -> None:
        tie(keys)
        self._keys.check(keys, what)
        self._keys.hashed(made.update, content, what)

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


def _shown(number: int) -> str:
    return str(number) if number.bit_length() <= 64 else "of over 64 bits"


def _check_arity(expression: list[Any], count: int) -> None:
    if len(expression) != count:
        raise MalformedJelly(f"{atoms.text_of(expression[0])} of {len(expression) - 1} fields")


def _set_unjellied(unjellier: Unjellier, blank: Any, state: Any) -> None:
    blank.set_unjellied_state(unjellier, state)


def _set_plain(unjellier: Unjellier, blank: Any, state: Any) -> None:
    setter = getattr(type(blank), "__setstate__", None)
    if setter is not None:
        setter(blank, state)
    elif isinstance(state, dict):
        blank.__dict__.update(state)
    elif state is not None:
        raise MalformedJelly(f"state of {type(blank).__name__} is no dictionary")


_OPENERS: dict[bytes, Callable[[Unjellier, list[Any], int | None], Any]] = {
    atoms.LIST: Unjellier._open_list,
    atoms.TUPLE: Unjellier._open_tuple,
    atoms.DICTIONARY: Unjellier._open_dictionary,
    atoms.SET: Unjellier._open_set,
    atoms.FROZENSET: Unjellier._open_frozenset,
    atoms.PERSISTENT: Unjellier._persistent,
    atoms.UNPERSISTABLE: Unjellier._unpersistable,
}
