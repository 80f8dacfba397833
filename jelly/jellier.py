"""The jellier: encodes a graph of objects as one expression.

Theory of operation. The walk (``jelly.jellier_walk``) is depth first and has its own stack, since a
peer may decide the depth of a graph (an echo). It is done in slices (``jelly.slices``). An object
that can be shared is written at its first occurrence. At its second occurrence it gets a number n:
``[dereference n]`` is written there, and the first one becomes ``[reference n …]``, at once if it
is complete, else when the walk leaves it. Perspective Broker numbers references in this order, so
the bytes are the same. The walk recurses only through the application's ``jellyFor`` hooks, up to
``max_depth``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jelly import atoms, leaves
from jelly.atoms import Expression
from jelly.code import writer_of
from jelly.errors import CannotJelly, TooLarge
from jelly.foreign import expression_of_twisted, has_jelly_hook
from jelly.interfaces import IJellyable
from jelly.jellier_walk import walk_graph
from jelly.leaves import ATOMS, UNSHARED_WRITERS
from jelly.limit_errors import limit_error
from jelly.limits import Limits
from jelly.refusals import cannot_be_sent
from jelly.registry import Form, defaults
from jelly.security import DummySecurityOptions, Security, class_name
from jelly.slices import Walk, finish
from jelly.visited import Names, Seen, Stateful

__all__ = ["Jellier"]


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
        self._seen: dict[int, Seen] = {}
        self._numbered = 0
        self._names = Names()

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
            expression: Expression = finish(walk_graph(self, obj))
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
        yield from walk_graph(self, obj)

    def prepare(self, object: object) -> list[Expression]:
        """Begin to write ``object``: return the list to write it to (published)."""
        expression: list[Expression] = []
        self._seen[id(object)] = Seen(object, expression)
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

    def _other(self, value: object) -> Expression | Stateful:
        """Return the expression of an object, or a Stateful if its state must be written next."""
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

    def _by_hooks(self, value: Any) -> Expression | Stateful:
        if not getattr(getattr(type(value), "jellyFor", None), "is_engine_hook", False):
            if not IJellyable.providedBy(value):
                return expression_of_twisted(value, self)
            return value.jellyFor(self)  # type: ignore[no-any-return]
        expression = self.prepare(value)
        tag, state = value.tag_and_state(self)
        expression.append(tag)
        return Stateful(expression, state, value.has_unshared_state(self))

    def _instance(self, value: object) -> Expression | Stateful:
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
        return Stateful(expression, value.__getstate__())

    def _registered(self, value: object, form: Form) -> Expression | Stateful:
        if not form.is_shared:
            return [form.tag, self.jelly(form.state(value))]
        expression = self.prepare(value)
        expression.append(form.tag)
        return Stateful(expression, form.state(value), is_unshared=True)
