"""An avatar id that knows more than its name: the groups of its owner, and until when it holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

__all__ = ["Identity"]


class Identity(str):
    """An avatar id with groups and an end; a checker may return one in place of a str.

    To a realm it is a str like any other, and equal to the plain one; sent to a peer, it is the
    plain one. The server copies the groups to ``current_call().peer.groups``, where
    ``broker.allow`` looks, and ends the connection when the time has come.

    Args:
        name: the avatar id.
        groups: the names of the groups that its owner is in.
        expires: when the login ends, in seconds since 1970; None for never.
    """

    groups: frozenset[str]
    expires: float | None

    def __new__(cls, name: str, groups: Iterable[str] = (), expires: float | None = None) -> Self:
        """Make one."""
        self = super().__new__(cls, name)
        self.groups = frozenset(groups)
        self.expires = expires
        return self

    def jellyFor(self, jellier: Any) -> Any:
        """Cross a connection as the plain name (the hook of `jelly.interfaces.IJellyable`)."""
        return jellier.jelly(str(self))

    def __getnewargs__(self) -> tuple[str, frozenset[str], float | None]:  # type: ignore[override]
        return str(self), self.groups, self.expires
