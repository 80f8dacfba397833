"""The jellier: encodes a graph of objects as one expression.

Theory of operation. The walk is depth first and has its own stack, since a peer may decide the
depth of a graph (an echo). It is done in slices (``jelly.slices``). An object that can be shared is
written at its first occurrence. At its second occurrence it gets a number n: ``[dereference n]`` is
written there, and the first one becomes ``[reference n …]``, at once if it is complete, else when
the walk leaves it. Perspective Broker numbers references in this order, so the bytes are the same.
The walk recurses only through the application's ``jellyFor`` hooks, up to ``max_depth``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, TypeAlias, final

from msgspec import Struct

from jelly import atoms, leaves
from jelly.atoms import Expression
from jelly.code import writer_of
from jelly.errors import CannotJelly, TooLarge
from jelly.foreign import expression_of_twisted, has_jelly_hook
from jelly.interfaces import IJellyable
from jelly.leaves import ATOMS, LEAVES, UNSHARED_WRITERS
from jelly.limit_errors import limit_error
from jelly.limits import Limits
from jelly.refusals import cannot_be_sent
from jelly.registry import Form, defaults
from jelly.security import DummySecurityOptions, Security, class_name
from jelly.slices import PARTS, UNFINISHED, VISITS, Walk, finish

__all__ = ["Jellier"]

_TAGS: dict[type, bytes] = {
    list: atoms.LIST,
    tuple: atoms.TUPLE,
    dict: atoms.DICTIONARY,
    set: atoms.SET,
    frozenset: atoms.FROZENSET,
}
# Most entries of a dict that are written in one visit.
_MOST_AT_ONCE = 1024


class _Seen(Struct, gc=False):
    """An object that was visited, with its expression and its number.

    The reference to the object keeps its id from being used again.
    """

    value: object
    expression: list[Expression]
    number: int = 0
    is_complete: bool = False

    def complete(self) -> None:
        self.is_complete = True
        if self.number:
            self.expression[:] = [atoms.REFERENCE, self.number, self.expression[:]]


# An open container of a walk: the list to write to, the parts left to write, and the object.
_Level: TypeAlias = tuple[list[Expression], Iterator[Any], _Seen | None]


class Jellier:
    """Makes one expression of one graph; Twisted's hook ``jellyFor`` gets it as an argument.

    Args:
        security: decides which classes may be sent as ordinary instances.
        persistentStore: ``f(object, jellier)`` returns an id to send in place of an instance, or
            None.
        invoker: for the hooks; on a connection, its Broker.
        limits: of the nesting of ``jellyFor``, and of the depth of the expression.
        sends_unpersistable: if a value inside the state of an object cannot be sent, write
            ``[unpersistable reason]`` in its place. An error of a hook is still raised.
        has_zones: whether a datetime with a zone has an expression.
    """

    def __init__(
        self,
        security: Security | None = None,
        persistentStore: Callable[[Any, Jellier], Any] | None = None,
        invoker: Any = None,
        limits: Limits | None = None,
        sends_unpersistable: bool = False,
        has_zones: bool = False,
    ):
        self.taster = security if security is not None else DummySecurityOptions()
        self.persistentStore = persistentStore
        self.invoker = invoker
        self._sends_unpersistable = sends_unpersistable
        self._writers = leaves.ZONED_WRITERS if has_zones else leaves.WRITERS
        self._max_depth = (limits or Limits()).max_depth
        # The largest depth of the expression; None without limits, if it is not sent.
        self._most_levels = None if limits is None else limits.max_depth
        self._levels = 0
        self._depth = 0
        self._seen: dict[int, _Seen] = {}
        self._numbered = 0
        self._names = _Names()

    def jelly(self, obj: Any) -> Expression:
        """Return the expression of ``obj``, which may be part of a larger graph.

        Raises:
            CannotJelly: ``obj``, or a value in it, may not or cannot be sent.
            TooLarge: the graph is deeper than max_depth.
        """
        kind = type(obj)
        if kind in ATOMS:
            return obj  # type: ignore[no-any-return]
        self._depth += 1
        try:
            if self._depth > self._max_depth:
                raise limit_error(TooLarge, "max_depth", self._max_depth, self._depth)
            expression: Expression = finish(self._walk(obj))
            return expression
        finally:
            self._depth -= 1

    def walk(self, obj: object) -> Walk[Any]:
        """Make the expression of a whole graph, as a walk of ``jelly.slices``.

        A container is read when the walk enters it. Later changes are not sent.

        Raises:
            CannotJelly, TooLarge: see `jelly`.
        """
        self._depth += 1
        yield from self._walk(obj)

    def prepare(self, object: object) -> list[Expression]:
        """Begin to write ``object``: return the list to write it to (published)."""
        expression: list[Expression] = []
        self._seen[id(object)] = _Seen(object, expression)
        return expression

    def preserve(self, object: object, sexp: Expression) -> Expression:
        """End the writing of ``object`` as ``sexp``; return the list to use (published)."""
        seen = self._seen[id(object)]
        if sexp is not seen.expression:
            seen.expression[:] = sexp  # type: ignore[assignment]
        seen.complete()
        return seen.expression

    def unpersistable(self, reason: str, sexp: list[Expression] | None = None) -> Expression:
        """Return the expression for a value that cannot be sent; for hooks (published)."""
        expression = [] if sexp is None else sexp
        expression.extend([atoms.UNPERSISTABLE, reason.encode("utf-8")])
        return expression

    def _walk(self, root: object) -> Walk[Any]:
        holder: list[Expression] = []
        out = holder
        values: Iterator[Any] = iter((root,))
        seen: _Seen | None = None
        # The state that is written next, if nothing else in the graph can refer to it.
        unshared: object = None
        outer: list[_Level] = []
        writers, base, most = self._writers, self._levels, self._most_levels
        visits = VISITS
        try:
            while True:
                visits -= 1
                if not visits:
                    yield UNFINISHED
                    visits = VISITS
                full = len(out) + PARTS
                for value in islice(values, PARTS):
                    kind = type(value)
                    if kind is int or kind is bytes or kind is float:
                        out.append(value)
                        continue
                    write = writers.get(kind)
                    if write is not None:
                        try:
                            leaf = write(value)
                        except CannotJelly as error:
                            other = self._in_place_of(value, error, seen, outer)
                            if other is None:
                                raise
                            leaf = other
                        out.append(leaf)
                        continue
                    known = self._seen.get(id(value))
                    if known is not None:
                        out.append(self._refer_to(known))
                        continue
                    tag = _TAGS.get(kind)
                    if tag is None:
                        if kind is _Pair:
                            inside: list[Expression] = []
                            out.append(inside)
                            outer.append((out, values, seen))
                            out, values, seen = inside, iter(value), None
                            break
                        # The list that a hook returns is one level above its parts.
                        self._levels = base + len(outer) + 1
                        try:
                            made = self._other(value)
                        except CannotJelly as error:
                            other = self._in_place_of(value, error, seen, outer)
                            if other is None:
                                raise
                            made = other
                        self._levels = base
                        if type(made) is not _Stateful:
                            out.append(made)
                            # A hook counts as a visit.
                            break
                        out.append(made.expression)
                        outer.append((out, values, seen))
                        self._check_level(base + len(outer))
                        out, seen = made.expression, self._seen[id(value)]
                        values = iter((made.state,))
                        unshared = made.state if made.is_unshared else None
                        break
                    inside, parts = self._opened(tag, value)
                    entry = _Seen(value, inside)
                    if value is unshared:
                        # Nothing can refer to it. Without an entry, a list of small copies takes a
                        # third less memory.
                        unshared = None
                    else:
                        self._seen[id(value)] = entry
                    # The message itself is one more level.
                    if most is not None and base + len(outer) + 1 >= most:
                        self._check_level(base + len(outer) + 1)
                    out.append(inside)
                    outer.append((out, values, seen))
                    out, values, seen = inside, parts, entry
                    break
                else:
                    if len(out) == full:
                        continue
                    if seen is not None:
                        seen.complete()
                    if not outer:
                        break
                    out, values, seen = outer.pop()
        except CannotJelly as error:
            frames = [(part, entry) for part, _, entry in outer]
            error.trail = (*_trail([*frames, (out, seen)]), *error.trail)
            raise
        yield holder[0]

    def _opened(self, tag: bytes, value: Any) -> tuple[list[Expression], Iterator[object]]:
        """Return the expression of a container, and its parts that are not written there yet.

        If all parts are simple values, they are written at once, in a list without spare capacity.
        """
        if type(value) is not dict:
            if ATOMS.issuperset(map(type, value)):
                return [tag, *value], iter(())
            return [tag], iter(value if type(value) is tuple else tuple(value))
        simple = (
            len(value) <= _MOST_AT_ONCE
            and LEAVES.issuperset(map(type, value))
            and LEAVES.issuperset(map(type, value.values()))
        )
        if not simple:
            # A copy, as above: the application may change the dict while the walk pauses.
            return [tag], map(_Pair, tuple(value.items()))
        writers, names = self._writers, self._names
        try:
            # With this quick path, a hundred rows of a table take six tenths of the time.
            pairs: list[Expression] = [
                [
                    names[key]
                    if type(key) is str
                    else key
                    if type(key) in ATOMS
                    else writers[type(key)](key),
                    item if type(item) in ATOMS else writers[type(item)](item),
                ]
                for key, item in value.items()
            ]
        except CannotJelly as error:
            if self._sends_unpersistable:
                # One by one, so that the others are sent.
                return [tag], map(_Pair, tuple(value.items()))
            parts = enumerate(chain.from_iterable(value.items()))
            error.trail = tuple((value, n) for n, part in parts if part is error.culprit)[:1]
            raise
        return [tag] + pairs, iter(())  # noqa: RUF005 - an unpacked list would get spare capacity

    def _check_level(self, level: int) -> None:
        most = self._most_levels
        if most is not None and level >= most:
            raise limit_error(TooLarge, "max_depth", most)

    def _refer_to(self, seen: _Seen) -> Expression:
        if not seen.number:
            self._numbered += 1
            seen.number = self._numbered
            if seen.is_complete:
                seen.complete()
        return [atoms.DEREFERENCE, seen.number]

    def _other(self, value: object) -> Expression | _Stateful:
        """Return the expression of an object, or a _Stateful if its state must be written next."""
        if has_jelly_hook(value):
            try:
                return self._by_hooks(value)
            except CannotJelly as error:
                if error.culprit is None:
                    error.culprit = value
                raise
        row = writer_of(type(value))
        if row is not None:
            return row(self, value)
        if self.persistentStore is not None:
            identity = self.persistentStore(value, self)
            if identity is not None:
                return [atoms.PERSISTENT, identity]
        return self._instance(value)

    def _in_place_of(
        self, value: object, error: CannotJelly, seen: _Seen | None, outer: list[_Level]
    ) -> Expression | None:
        """Return the expression to write in place of a value that cannot be sent, or None.

        Args:
            value: the value.
            error: the reason.
            seen, outer: the position of the walk.
        """
        if not self._sends_unpersistable:
            return None
        # The value is part of a state if a hook writes it, or if the walk has entered an object.
        is_in_state = self._depth > 1 or any(
            each is not None and type(each.value) not in _TAGS
            for each in (seen, *(entry for _, _, entry in outer))
        )
        if error.culprit is not value or has_jelly_hook(value):
            return None
        kind = type(value)
        if not is_in_state:
            write = UNSHARED_WRITERS.get(kind)
            return None if write is None else write(value)
        if kind in leaves.WRITERS or writer_of(kind) is not None:
            return [atoms.UNPERSISTABLE, str(error).encode("utf-8")]
        reason = f"instance of class {class_name(kind)} deemed insecure"
        expression = self.prepare(value)
        expression += [atoms.UNPERSISTABLE, reason.encode("utf-8")]
        self._seen[id(value)].complete()
        return expression

    def _by_hooks(self, value: Any) -> Expression | _Stateful:
        if not getattr(getattr(type(value), "jellyFor", None), "is_engine_hook", False):
            if not IJellyable.providedBy(value):
                return expression_of_twisted(value, self)
            return value.jellyFor(self)  # type: ignore[no-any-return]
        expression = self.prepare(value)
        tag, state = value.tag_and_state(self)
        expression.append(tag)
        return _Stateful(expression, state, value.has_unshared_state(self))

    def _instance(self, value: object) -> Expression | _Stateful:
        cls = type(value)
        form = defaults.declared.forms.get(cls)
        if form is not None:
            return self._registered(value, form)
        stand_in = defaults.declared.stand_ins.get(cls)
        if stand_in is not None:
            return self._by_hooks(stand_in(value))
        if not self.taster.isClassAllowed(cls):
            # Inside a state, ``_in_place_of`` writes what Twisted writes.
            write = None if self._sends_unpersistable else UNSHARED_WRITERS.get(cls)
            if write is not None:
                return write(value)
            raise cannot_be_sent(value)
        expression = self.prepare(value)
        expression.append(class_name(cls).encode("utf-8"))
        return _Stateful(expression, value.__getstate__())

    def _registered(self, value: object, form: Form) -> Expression | _Stateful:
        if not form.is_shared:
            return [form.tag, self.jelly(form.state(value))]
        expression = self.prepare(value)
        expression.append(form.tag)
        return _Stateful(expression, form.state(value), is_unshared=True)


def _trail(frames: list[tuple[list[Expression], _Seen | None]]) -> Iterator[tuple[object, int]]:
    """Yield the position of a walk; see ``CannotJelly.trail``.

    Args:
        frames: the open expressions, each with its object. The outermost one has none, and the pair
            of a key and value of a dict has none.
    """
    last = len(frames) - 1
    for number, (out, seen) in enumerate(frames[1:], 1):
        if seen is None:
            continue
        # The first part of an expression is its tag. If the walk is inside a part, that part is in
        # the expression already.
        position = len(out) - (1 if number == last else 2)
        if type(seen.value) is dict and number < last:
            pair = frames[number + 1][0]
            position = 2 * position + len(pair) - (0 if number + 1 == last else 1)
        yield seen.value, position


@final
class _Stateful(NamedTuple):
    """The expression of an instance, whose last part is its state.

    Attributes:
        expression: the parts before the state.
        state: an object, to be written next.
        is_unshared: whether the state was made for this message, and has no other reference.
    """

    expression: list[Expression]
    state: object
    is_unshared: bool = False


class _Names(dict[str, Expression]):
    """A cache of the expressions of keys, since the copies in a list have the same fields."""

    def __missing__(self, name: str) -> Expression:
        expression = leaves.write_str(name)
        if len(self) < _MOST_AT_ONCE:
            self[name] = expression
        return expression


class _Pair(tuple[object, object]):
    """A key and value of a dict; on the wire, they are a list without a tag."""

    __slots__ = ()
