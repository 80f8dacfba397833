"""Avatars without a connection of their own; calls are in ``test_viewable``."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.calls.dispatch import Route
from broker.flavors.avatar import AsReferenceable, Avatar
from broker.flavors.referenceable import Referenceable


class Mine(Avatar):
    """An avatar with the default hook."""


class Own(Avatar):
    """An avatar with a hook of its own."""

    def perspectiveMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:
        """Do nothing."""


def test_the_engines_way() -> None:
    """An avatar with the default hook is called by the engine, and is the perspective."""
    avatar = Mine()
    route = AsReferenceable(avatar, "perspective").route()
    assert route == Route(avatar, "perspective_", (), avatar)


def test_the_hooks_way() -> None:
    """A hook of the class's own is what handles the calls."""
    avatar = Own()
    assert AsReferenceable(avatar, "perspective").route() == avatar.perspectiveMessageReceived


def test_the_way_of_a_referenceable() -> None:
    """A Referenceable inside is called as it would be by itself."""
    inside = Referenceable()
    assert AsReferenceable(inside, "remote").route() == inside.route()


def test_an_object_that_cannot_be_called() -> None:
    """An object without the published method cannot take calls."""
    with pytest.raises(AttributeError):
        AsReferenceable(object(), "perspective").route()
