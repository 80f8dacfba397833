"""The unjellier: decodes one expression, from any sender, to a graph of objects.

Theory of operation. The walk (``jelly.unjellier_walk``) is depth first and has its own stack. A
frame is a value whose parts are being made (``jelly.containers``). The walk is done in slices
(``jelly.slices``), so that a large graph does not block other connections. A peer's tag selects a
row: of the registry, of ``rows``, of the scalars, or of the containers. It never selects an
attribute. The walk either returns a value without internal objects of this library, or raises an
error. It recurses only through Twisted's hooks ``unjellyFor`` and ``persistentLoad``, up to
``max_depth``.

A small graph with shared parts may be a large tree when it is expanded. Code that does not remember
which parts it has visited, such as ``repr``, walks that tree. So the nodes of the tree are counted:
those of a reference when it is complete, and again each time it is referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from jelly import atoms, code, leaves
from jelly.atoms import Expression
from jelly.errors import LimitExceeded
from jelly.keys import KeyGuard
from jelly.knots import Knot, Knots
from jelly.limit_errors import limit_error
from jelly.limits import Limits
from jelly.registry import Registry, defaults
from jelly.security import DummySecurityOptions, Security, SecurityOptions
from jelly.slices import MANY, UNFINISHED, VISITS, Walk, consumed, finish
from jelly.unjellier_walk import OPENERS, check_expanded, walk_expression

__all__ = ["WORDS", "Row", "Unjellier"]

# A row of the caller: makes the value of an expression that starts with its tag.
Row: TypeAlias = Callable[["Unjellier", list[Expression]], object]

_EMPTY = Registry()


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
        walk = walk_expression(self, obj)
        while (value := next(walk)) is UNFINISHED:
            yield UNFINISHED
        if self._is_shared:
            check_expanded(self)
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
            return finish(walk_expression(self, obj))
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


WORDS: frozenset[bytes] = frozenset(
    {*leaves.READERS, *code.READERS, *OPENERS, atoms.REFERENCE, atoms.DEREFERENCE, atoms.UUID}
)
"""The tags that are not names of classes."""
