"""An avatar id with the groups of its user, and the end of the login."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

__all__ = ["Identity"]


class Identity(str):
    """An avatar id with groups and an end; a checker may return one instead of a str.

    For a realm it is a str, equal to the str of the same name; a peer gets that str. The server
    copies the groups to ``current_call().peer.groups``, which ``broker.allow`` reads, and ends the
    connection at the end of the login.

    Args:
        name: the avatar id.
        groups: the names of the groups of the user.
        expires: when the login ends, in seconds since 1970; None for never.
    """

    groups: frozenset[str]
    expires: float | None

    def __new__(cls, name: str, groups: Iterable[str] = (), expires: float | None = None) -> Self:
        """Make an Identity."""
        self = super().__new__(cls, name)
        self.groups = frozenset(groups)
        self.expires = expires
        return self

    def jellyFor(self, jellier: Any) -> object:
        """Send the name only, as a str (the hook of `jelly.interfaces.IJellyable`)."""
        return jellier.jelly(str(self))

    def __getnewargs__(self) -> tuple[str, frozenset[str], float | None]:  # type: ignore[override]
        return str(self), self.groups, self.expires
