"""An avatar id with the groups of its user, and the end of the login."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol, Self

__all__ = ["Identity", "RefusesUsers"]


class RefusesUsers(Protocol):
    """A checker that can tell later that a user may no longer be logged in."""

    def refused(self, names: Collection[str], /) -> Any:
        """Return those of these avatar ids who may no longer be logged in.

        Args:
            names: avatar ids that this checker has returned.

        Returns:
            Some of the names, in a collection, or an awaitable of it. If it fails, no user is
            refused.
        """


class Identity(str):
    """An avatar id with groups and an end; a checker may return one instead of a str.

    For a realm it is a str, equal to the str of the same name; a peer gets that str. The server
    copies the groups to ``current_call().peer.groups``, which ``broker.allow`` reads, and ends the
    connection at the end of the login.

    Args:
        name: the avatar id.
        groups: the names of the groups of the user.
        expires: when the login ends, in seconds since 1970; None for never.
        checker: is asked each second whether the user may still be logged in, see `RefusesUsers`;
            None if nothing can tell. It is neither sent nor pickled.
    """

    groups: frozenset[str]
    expires: float | None
    checker: RefusesUsers | None

    def __new__(
        cls,
        name: str,
        groups: Iterable[str] = (),
        expires: float | None = None,
        checker: RefusesUsers | None = None,
    ) -> Self:
        """Make an Identity."""
        self = super().__new__(cls, name)
        self.groups = frozenset(groups)
        self.expires = expires
        self.checker = checker
        return self

    def jellyFor(self, jellier: Any) -> object:
        """Send the name only, as a str (the hook of `jelly.interfaces.IJellyable`)."""
        return jellier.jelly(str(self))

    def __getstate__(self) -> None:
        """Return None: all that is kept is in the arguments."""

    def __getnewargs__(self) -> tuple[str, frozenset[str], float | None]:  # type: ignore[override]
        return str(self), self.groups, self.expires
