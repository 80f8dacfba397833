"""Views and avatars: each method is told who is looking."""

from __future__ import annotations

from typing import Any

from support.memory import BrokerPair

from broker.flavors.avatar import AsReferenceable, Avatar
from broker.flavors.copyable import Copyable, RemoteCopy, register
from broker.flavors.viewable import Viewable, ViewPoint
from broker.interfaces import IPerspective


class Board(Viewable):
    """What several users look at."""

    def view_look(self, perspective: Any, what: Any = None) -> Any:
        """Say who looks at what."""
        return [perspective.name, what]

    def view_same(self, perspective: Any, other: Any) -> Any:
        """Tell whether the board came home, as the looker's view."""
        return [type(other) is ViewPoint, other.object is self, other.perspective is perspective]


@register
class Card(Copyable, RemoteCopy):
    """A copy that says for whom it was made."""

    owner: str

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Depend on who gets it."""
        return {"owner": getattr(perspective, "name", "nobody")}


class User(Avatar):
    """One user."""

    board = Board()

    def __init__(self, name: str):
        self.name = name

    def perspective_board(self) -> Any:
        """Return the board that all share."""
        return self.board

    def perspective_card(self) -> Any:
        """Return a copy."""
        return Card()


class Strange(Avatar):
    """Handles its calls by the published hook."""

    def perspectiveMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:
        """Answer with the name, as an expression."""
        return broker.serialize([message, *broker.unserialize(args, self)], self)


class OnlyHook:
    """No Avatar at all, but it has the published method."""

    def perspectiveMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:
        """Answer with the name, as an expression."""
        return [b"unicode", message.encode()]


def served(avatar: Any) -> BrokerPair:
    """A pair whose root is an avatar."""
    return BrokerPair(AsReferenceable(avatar, "perspective"))


def test_each_perspective_has_its_view() -> None:
    """A view's methods are called with the perspective of whoever got it."""
    for name in ("alice", "bob"):
        pair = served(User(name))
        board = pair.call("board")
        assert pair.get(board.callRemote("look", 5)) == [name, 5]


def test_a_view_comes_home() -> None:
    """A view that is sent back is the ViewPoint of the same two."""
    pair = served(User("alice"))
    board = pair.call("board")
    assert pair.get(board.callRemote("same", board)) == [True, True, True]


def test_one_view_for_each_perspective() -> None:
    """The same object for the same perspective is one export, counted."""
    pair = served(User("alice"))
    kept = [pair.call("board"), pair.call("board")]
    assert kept[0] is kept[1]
    assert len(pair.server.session.translator.exports) == 1
    del kept
    pair.collect()
    assert len(pair.server.session.translator.exports) == 0


def test_identity_of_a_view() -> None:
    """Two ViewPoints of the same two are one, of others they are not."""
    board, alice, bob = Board(), User("alice"), User("bob")
    assert (
        ViewPoint(alice, board).processUniqueID()
        == ViewPoint(alice, board).processUniqueID()
        != ViewPoint(bob, board).processUniqueID()
    )


def test_results_are_made_for_the_perspective() -> None:
    """What an avatar's method returns is made for that avatar."""
    assert served(User("alice")).call("card").owner == "alice"


def test_avatars_expose_their_own_prefix() -> None:
    """Only ``perspective_`` methods of an avatar can be called."""
    pair = served(User("alice"))
    for name in ("name", "perspectiveMessageReceived", "nothing"):
        assert "NoSuchMethod" in pair.call(name).type


def test_an_avatar_with_a_hook_of_its_own() -> None:
    """``perspectiveMessageReceived`` that is overridden handles the calls."""
    assert served(Strange()).call("anything", 5) == ["anything", 5]
    assert served(OnlyHook()).call("anything") == "anything"


def test_as_referenceable_of_a_referenceable() -> None:
    """Any other message type leads to the object's own methods."""

    class Plain:
        def remote_name(self) -> str:
            return "plain"

        def remoteMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:
            return broker.serialize(getattr(self, "remote_" + message)())

    assert BrokerPair(AsReferenceable(Plain())).call("name") == "plain"


def test_avatar_provides_the_interface() -> None:
    """An Avatar is what a realm is asked for."""
    assert IPerspective.providedBy(User("alice"))
