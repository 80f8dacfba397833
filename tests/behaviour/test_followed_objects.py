"""Tables and Resumables in both faces, in both dialects, over sockets and after a login."""

from __future__ import annotations

from typing import Any

import pytest
from support.followed_world import Board

import broker
import broker.testing
from broker.core.policy import STRICT
from cred import InMemoryUsernamePasswordDatabaseDontUse, Portal, UsernamePassword


class Shop(broker.Root):
    """Has a table and a board."""

    def __init__(self) -> None:
        self.table: broker.Table[str, Any] = broker.Table({"a": 1})
        self.board = Board()

    def remote_table(self) -> Any:
        """Return the table."""
        return self.table

    def remote_board(self) -> Any:
        """Return the board."""
        return self.board


@pytest.mark.parametrize("face", ["asyncio", "published"])
@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_following(face: str, dialect: str) -> None:
    """Views follow, are slow, and are right in the end."""
    shop = Shop()
    async with broker.testing.pair(shop, dialect=dialect, face=face) as pair:
        assert pair.client.dialect == dialect
        root = pair.client.root
        view, board = await root.callRemote("table"), await root.callRemote("board")
        assert (dict(view), board.pieces) == ({"a": 1}, {})
        pair.network.stall()
        for number in range(3000):
            shop.table[f"k{number % 50}"] = "x" * 500 + str(number)
            shop.board.put(f"k{number % 50}", "x" * 500 + str(number))
        del shop.table["a"]
        pair.network.resume()
        await pair.settled()
        assert dict(view) == dict(shop.table)
        assert (view.is_current, view.position) == (True, shop.table.position)
        assert board.pieces == shop.board.pieces
        assert board.resyncs == 1
        assert board.offset == 3000


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_two_users(dialect: str) -> None:
    """Each user's avatar may hand out the same table."""
    table: broker.Table[str, int] = broker.Table()

    class User(broker.Avatar):
        def perspective_table(self) -> Any:
            return table

        def perspective_put(self, key: str, value: int) -> None:
            table[key] = value

    portal = Portal(
        broker.realm(lambda avatar_id, mind: User()),
        [InMemoryUsernamePasswordDatabaseDontUse(alice="a", bob="b")],
    )
    policy = STRICT.but(dialects=(dialect,))
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        address = server.addresses[0]
        async with (
            broker.connect(address, UsernamePassword("alice", "a"), policy=policy) as alice,
            broker.connect(address, UsernamePassword("bob", "b"), policy=policy) as bob,
        ):
            views = [await each.avatar.callRemote("table") for each in (alice, bob)]
            await alice.avatar.callRemote("put", "a", 1)
            await bob.avatar.callRemote("put", "b", 2)
            await alice.avatar.callRemote("put", "c", 3)
            assert dict(views[0]) == {"a": 1, "b": 2, "c": 3}
            await bob.avatar.callRemote("put", "d", 4)
            assert dict(views[1]) == dict(table)
        assert not any(view.is_current for view in views)


def test_without_async() -> None:
    """A script reads a view like a dict."""
    shop = Shop()
    with (
        broker.blocking.serve(shop, "pb://127.0.0.1:0") as server,
        broker.blocking.connect(server.addresses[0]) as connection,
    ):
        view = connection.root.callRemote("table")
        assert dict(view) == {"a": 1}
        assert view.is_current
