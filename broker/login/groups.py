"""Authorisation: who may call a method that is exposed.

What an avatar has methods for is the first answer. `allow` is the second, where users with the same
avatar differ: it names the groups whose members may call one method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from broker.connection.peer import current_call
from broker.core.calls.dispatch import condition
from cred.error import Unauthorized

__all__ = ["allow"]

Method = TypeVar("Method", bound=Callable[..., Any])


def allow(*groups: str) -> Callable[[Method], Method]:
    """Let only members of certain groups call an exposed method; a decorator.

    ::

        class Clerk(broker.Avatar):
            @broker.allow("managers", "owners")
            def perspective_dismiss(self, name): ...

    A peer is in the groups that the checker has given with its avatar id (`cred.Identity`); one
    that has not logged in, or as a guest, is in none. The condition is set on this very function: a
    subclass that overrides the method sets its own, or has none. It binds calls of peers only.

    Args:
        groups: their names; a member of one of them may call. None at all lets nobody.

    Raises:
        TypeError: a group is no str, as where the decorator was written without parentheses.

    The peer gets ``Unauthorized``: "you may not call 'dismiss'".
    """
    for group in groups:
        if not isinstance(group, str):
            raise TypeError(f"allow takes the names of groups, not {type(group).__name__}")
    allowed = frozenset(groups)

    def check(name: str) -> None:
        if allowed.isdisjoint(current_call().peer.groups):
            raise Unauthorized(f"you may not call '{name}'")

    return condition(check)
