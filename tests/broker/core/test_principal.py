"""The principal: whose context a call runs in, and who owns what."""

from __future__ import annotations

import gc
import weakref
from contextvars import ContextVar, copy_context

from broker.core.principal import Principal, View, current_principal, split_view, view_of

WHO: ContextVar[str] = ContextVar("who")


def principal_of(home: object, who: str = "alice") -> Principal:
    """Make a principal in whose context ``who`` is set."""
    context = copy_context()
    context.run(WHO.set, who)
    return Principal(home, context)


def test_a_context_of_its_own() -> None:
    """What runs in it sees its context variables, and knows whose they are."""
    home = object()
    alice, bob = principal_of(home), principal_of(home, "bob")
    assert (alice.enter(WHO.get), bob.enter(WHO.get)) == ("alice", "bob")
    assert alice.enter(current_principal, home) is alice
    assert bob.context.copy().run(current_principal, home) is bob
    assert current_principal(home) is None


def test_of_one_connection() -> None:
    """A connection that is made in a call of another has no principal of that one."""
    alice = principal_of(object())
    assert alice.enter(current_principal, object()) is None


def test_it_is_not_held_by_its_context() -> None:
    """A principal that owns nothing any more is freed at once, whatever runs in its context."""
    home = object()
    alice = principal_of(home)
    watch, context = weakref.ref(alice), alice.context.copy()
    gc.disable()
    try:
        del alice
        assert watch() is None
    finally:
        gc.enable()
    assert context.run(current_principal, home) is None


def test_views() -> None:
    """A perspective is itself where there is no principal, and goes with it where there is one."""
    alice = principal_of(object())
    assert view_of("eyes", None) == "eyes"
    assert split_view("eyes") == ("eyes", None)
    assert split_view(("eyes", alice)) == (("eyes", alice), None)
    assert view_of("eyes", alice) == View("eyes", alice)
    assert split_view(view_of(None, alice)) == (None, alice)
