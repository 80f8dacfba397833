"""A scripted peer: script and calls fit the contract, and a test fails by what differs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from support.club import DIALECTS, Club

import broker
from broker.testing.connected_pair import pair
from broker.testing.scripted_peer import Peer, peer
from cred.portal import Portal


@broker.register
@dataclass
class Ticket(broker.Copyable, broker.RemoteCopy):
    """A copy."""

    row: str
    number: int


@broker.register
class SoldOutHere(broker.Error):
    """A registered error."""


class Desk(Protocol):
    """Sells tickets."""

    async def reserve(self, seats: int, *, row: str = "A") -> list[Ticket]:
        """Reserve seats."""

    async def close(self, *names: str, **reasons: int) -> None:
        """Close."""

    def prices(self, row: str) -> AsyncIterator[int]:
        """Tell prices."""

    def note(self, text: str) -> None:
        """Take a note; one way."""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_script_is_played(dialect: str) -> None:
    """Calls get the results and errors of their expectations, in any order."""
    desk = peer(Desk)
    desk.expects("note", "hello")
    desk.expects("reserve", 1).raises(SoldOutHere("none"))
    desk.expects("reserve", seats=3).returns([Ticket("A", 1)])
    desk.expects("close", "x", "y", why=2)
    desk.expects("prices", "A").returns([10, 20])
    async with pair(desk, dialect=dialect) as made:
        client = made.client.root.of(Desk)
        assert await client.reserve(3, row="A") == [Ticket("A", 1)]
        with pytest.raises(SoldOutHere, match="none"):
            await client.reserve(seats=1)
        await client.close("x", "y", why=2)
        assert [price async for price in client.prices("A")] == [10, 20]
        client.note("hello")
        await made.settled()


async def test_equal_expectations() -> None:
    """Each is met once, in the order of the script."""
    desk = peer(Desk)
    for number in (1, 2):
        desk.expects("reserve", 1).returns([Ticket("B", number)])
    async with pair(desk) as made:
        client = made.client.root.of(Desk)
        found = [await client.reserve(1) for _ in range(2)]
    assert found == [[Ticket("B", 1)], [Ticket("B", 2)]]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_unmet_expectation(dialect: str) -> None:
    """A call that does not come fails the test, with the conversation."""
    desk = peer(Desk)
    desk.expects("reserve", 1).returns([])
    desk.expects("reserve", seats=2, row="B").returns([])
    with pytest.raises(AssertionError) as seen:
        async with pair(desk, dialect=dialect) as made:
            await made.client.root.of(Desk).reserve(1)
    text = str(seen.value)
    assert "Desk:\nnot called: reserve(seats=2, row='B')\nthe conversation:\n" in text
    assert "client: call 1 root.reserve(1)" in text


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("is_caught", [True, False])
async def test_a_call_that_is_not_expected(is_caught: bool, dialect: str) -> None:
    """It gets an error, and fails the test, even if the program catches the error."""
    desk = peer(Desk)
    desk.expects("reserve", 1).returns([])
    with pytest.raises(AssertionError) as seen:
        async with pair(desk, dialect=dialect) as made:
            client = made.client.root.of(Desk)
            await client.reserve(1)
            try:
                await client.reserve(1)
            except broker.Error as error:
                assert str(error) == "the script does not expect reserve(1)"
                if not is_caught:
                    raise
    assert "Desk:\nnot expected: reserve(1)\nthe conversation:\n" in str(seen.value)
    assert (seen.value.__context__ is not None) == (not is_caught)


async def test_a_block_that_raises() -> None:
    """Its own error passes: calls that would have come later are not asked for."""
    desk = peer(Desk)
    desk.expects("reserve", 1)
    with pytest.raises(KeyError):
        async with pair(desk):
            raise KeyError("mine")


def test_the_script_fits_the_contract() -> None:
    """Methods, arguments and results that the contract does not have are refused at once."""
    desk = peer(Desk)
    with pytest.raises(AttributeError, match="Desk has no method 'sell'"):
        desk.expects("sell")
    for args, kw in (((), {}), ((1, 2), {}), (("one",), {}), ((1,), {"row": 5})):
        with pytest.raises(broker.WrongArguments):
            desk.expects("reserve", *args, **kw)
    for args, kw in (((1,), {}), ((), {"why": "x"})):
        with pytest.raises(broker.WrongArguments):
            desk.expects("close", *args, **kw)
    with pytest.raises(broker.WrongResult):
        desk.expects("reserve", 1).returns(5)
    with pytest.raises(broker.WrongResult):
        desk.expects("prices", "A").returns(5)
    with pytest.raises(TypeError, match="takes an exception"):
        desk.expects("reserve", 1).raises("no")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Protocol class"):
        peer(Club)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_mind(dialect: str) -> None:
    """As a mind, it takes the calls of the server, and the end of the pair checks it."""

    class Caller(broker.Avatar):
        """Calls its mind."""

        def __init__(self, mind: Any):
            self.mind = mind

        async def perspective_go(self, seats: int) -> int:
            """Call."""
            return len(await self.mind.of(Desk).reserve(seats))

    portal = Portal(broker.realm(lambda user, mind: Caller(mind)))
    desk = peer(Desk)
    desk.expects("reserve", 2).returns([Ticket("A", 1)])
    async with pair(portal, user="bob", mind=desk, dialect=dialect) as made:
        assert await made.client.avatar.callRemote("go", 2) == 1
        await made.settled()
        assert made.leaks() == []
    with pytest.raises(AssertionError, match=r"not expected: reserve\(3\)"):
        async with pair(portal, user="bob", mind=desk, dialect=dialect) as made:
            with pytest.raises(broker.Error):
                await made.client.avatar.callRemote("go", 3)


async def test_an_argument() -> None:
    """Its servant can be sent; then the test checks the script itself."""
    desk = peer(Desk)
    desk.expects("note", "hi")
    club = Club()
    async with pair(club) as made:
        await made.client.root.callRemote("keep", desk.servant)
        with pytest.raises(AssertionError, match="not called: note"):
            desk.check_script()
        club.kept[0].of(Desk).note("hi")
        await made.settled()
        desk.check_script()
        club.kept.clear()


def test_repr() -> None:
    """It shows the contract and the number of calls."""
    desk = peer(Desk)
    assert "not met" in repr(desk.expects("note", "x"))
    assert repr(desk) == "<Peer of Desk, 1 expected calls>"
    assert isinstance(desk, Peer)
