"""Tables and Resumables followed by a Twisted program, by RemoteCaches of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from support.peers import Peer, explained_by

import broker
from jelly.errors import CannotJelly

HERE = Path(__file__).parent


class Board(broker.Resumable):
    """Pieces that move."""

    def __init__(self) -> None:
        self.pieces: dict[str, str] = {"a": "rook"}

    def getTypeToCopy(self) -> str:
        """Be called as the program calls it."""
        return "interop.Board"

    def getStateToCopy(self) -> dict[str, Any]:
        """Return the pieces."""
        return {"pieces": dict(self.pieces)}

    def move(self, a: str, b: str) -> None:
        """Move one."""
        self.pieces[b] = self.pieces.pop(a)
        self.change("moved", a, b)


class House(broker.Root):
    """Has them."""

    def __init__(self) -> None:
        self.book: broker.Table[str, Any] = broker.Table({"ACME": 41.5, "EMCA": 1})
        self.tall: broker.Table[int, str] = broker.Table(dict.fromkeys(range(100), "x" * 50000))
        self.the_board = Board()

    def remote_book(self) -> Any:
        """Return the table."""
        return self.book

    def remote_large(self) -> Any:
        """Return one that is larger than a message."""
        return self.tall

    def remote_trade(self) -> None:
        """Change it."""
        self.book["ACME"] = 42.0
        with self.book.batch():
            del self.book["EMCA"]
            self.book["MACE"] = "new"

    def remote_wait(self) -> None:
        """Answer."""

    def remote_board(self) -> Any:
        """Return the board."""
        return self.the_board

    def remote_play(self) -> None:
        """Move."""
        self.the_board.move("a", "b")
        self.the_board.move("b", "c")

    def remote_disturb(self) -> None:
        """Have the whole state sent again: this change cannot be sent."""
        try:
            self.the_board.change("moved", object(), object())
        except CannotJelly:
            return
        raise AssertionError


async def test_a_twisted_client() -> None:
    """It sees each change, the rest of a large table, and the whole state of a Resumable again."""
    async with broker.serve(House(), "pb://127.0.0.1:0") as server:
        port = server.addresses[0].rpartition(":")[2]
        with Peer(HERE / "table_client.py", port) as client, explained_by(client):
            found = await asyncio.to_thread(client.read_all)
    assert found == [
        [[["ACME", 41.5], ["EMCA", 1]], 1, True],
        [[["ACME", 42.0], ["MACE", "new"]], 3, True],
        [True, False],
        [100, True],
        [{"a": "rook"}, 0, 16],
        [{"c": "rook"}, 0],
        [{"c": "rook"}, 3, 1],
    ]
