"""Authorisation: limits who may call an exposed method.

A user can call only the methods of their own avatar. If users with the same avatar differ, `allow`
names the groups whose members may call a method.
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
    """Allow only members of certain groups to call an exposed method; a decorator.

    ::

        class Clerk(broker.Avatar):
            @broker.allow("managers", "owners")
            def perspective_dismiss(self, name): ...

    A peer is in the groups that the checker returned with its avatar id (`cred.Identity`). A guest,
    or a peer that has not logged in, is in no group. The condition belongs to this function: a
    subclass that overrides the method needs its own. It applies to calls of peers only.

    Args:
        groups: their names; a member of any of them may call. Without names no peer may call.

    Raises:
        TypeError: a group is not a str, for example if the decorator has no parentheses.

    The peer gets ``Unauthorized``: "you may not call 'dismiss'".
    """
    for group in groups:
        if not isinstance(group, str):
            raise TypeError(f"allow takes the names of groups, not {type(group).__name__}")
    allowed = frozenset(groups)

    def check(name: str) -> None:
        try:
            groups = current_call().peer.groups
        except LookupError:
            # An object of this side that a promise has become: no peer calls it.
            groups = frozenset()
        if allowed.isdisjoint(groups):
            raise Unauthorized(f"you may not call '{name}'")

    return condition(check)
