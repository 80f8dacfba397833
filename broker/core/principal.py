"""The principal: the user on whose behalf the peer's calls run, where a connection has users.

Theory of operation. Each login on a connection makes one principal. Its context variables say who
is calling, and the calls of the peer's to what it owns run in them. What is sent to the peer as
part of a principal's work belongs to that principal: the avatar, the result of a call, and the
arguments of a call that goes through a reference which the principal has handed over. So a second
login on the connection changes nothing for what the first has reached.

What belongs to nobody has no principal, which is None: all objects of a connection without a login.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, NamedTuple

__all__ = ["OnBehalf", "Principal", "View", "current_principal", "split_view", "view_of"]


class Principal:
    """One user of one connection.

    Args:
        home: identifies the connection.
        context: its context variables.

    Attributes:
        home, context: as given.
        enter: ``context.run``.
    """

    __slots__ = ("__weakref__", "context", "enter", "home")

    def __init__(self, home: object, context: Context):
        self.home = home
        self.context = context
        self.enter = context.run
        # Weakly: a context that held its principal would be garbage that only a collection frees.
        context.run(_CURRENT.set, weakref.ref(self))


_CURRENT: ContextVar[weakref.ref[Principal]] = ContextVar("broker.principal")


def current_principal(home: object) -> Principal | None:
    """Return the principal in whose context this runs, if it is one of this connection."""
    reference = _CURRENT.get(None)
    principal = None if reference is None else reference()
    return principal if principal is not None and principal.home is home else None


class View(NamedTuple):
    """A perspective and a principal, where there is a principal."""

    perspective: Any
    principal: Principal


def view_of(perspective: Any, principal: Principal | None) -> Any:
    """Return both as one value: the perspective itself where there is no principal."""
    return perspective if principal is None else View(perspective, principal)


def split_view(view: Any) -> tuple[Any, Principal | None]:
    """Return the perspective and the principal of what :func:`view_of` returned."""
    return view if type(view) is View else (view, None)


class OnBehalf:
    """The result of a method that belongs to another principal than the caller: an avatar.

    Attributes:
        principal: whose it is.
        value: the result.
        undo: called without arguments if it cannot be sent.
    """

    __slots__ = ("principal", "undo", "value")

    def __init__(self, principal: Principal, value: Any, undo: Callable[[], object]):
        self.principal = principal
        self.value = value
        self.undo = undo
