"""The principal: the user on whose behalf the peer's calls run, on a connection with logins.

Theory of operation. Each login on a connection makes one principal. Its context variables tell who
is calling. The peer's calls to objects of a principal run in that context. An object that is sent
to the peer as part of a principal's work belongs to that principal: the avatar, the result of a
call, and the arguments of a call to a reference that the principal has sent. So a second login on
the connection does not change the owner of any object of the first.

Objects without an owner have the principal None: all objects of a connection without a login.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, NamedTuple

from msgspec import Struct

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
        # Weak: a reference from the context to its principal would be a cycle, which only the
        # garbage collector frees.
        context.run(_CURRENT.set, weakref.ref(self))


_CURRENT: ContextVar[weakref.ref[Principal]] = ContextVar("broker.principal")


def current_principal(home: object) -> Principal | None:
    """Return the principal in whose context this code runs, if it is one of this connection."""
    reference = _CURRENT.get(None)
    principal = None if reference is None else reference()
    return principal if principal is not None and principal.home is home else None


class View(NamedTuple):
    """A perspective, and a principal that is not None."""

    perspective: object
    principal: Principal


def view_of(perspective: object, principal: Principal | None) -> object:
    """Return both as one value: the perspective itself if there is no principal."""
    return perspective if principal is None else View(perspective, principal)


def split_view(view: object) -> tuple[object, Principal | None]:
    """Return the perspective and the principal of a result of :func:`view_of`."""
    return view if type(view) is View else (view, None)


class OnBehalf(Struct, eq=False):
    """The result of a method that belongs to another principal than the caller: an avatar.

    Attributes:
        principal: the owner of the result.
        value: the result.
        undo: called without arguments if the result cannot be sent.
        is_reference: whether a reference to the result is sent, and no hook of it is called.
    """

    principal: Principal
    value: Any
    undo: Callable[[], object]
    is_reference: bool = False
