"""A user's tests with the test kit; ``mypy --strict`` finds nothing to say."""

from __future__ import annotations

import asyncio
from typing import Protocol

import broker
import broker.testing
from broker.testing import Leak, Pair, calling_as, every_cut, pair, peer, record, virtual_clock
from broker.testing.plugin import PairMaker
from cred import Portal


class TicketOffice(Protocol):
    """A contract."""

    async def reserve(self, seats: int, *, row: str = "A") -> list[int]:
        """Reserve."""


class Member(broker.Avatar):
    """An avatar."""

    def perspective_whoami(self) -> str | None:
        """Return the name of the caller."""
        return broker.current_call().peer.avatar_id


async def test_fixture(broker_pair: PairMaker) -> None:
    """Use the fixture."""
    made: Pair = await broker_pair(
        Portal(broker.realm(lambda user, mind: Member())), user="alice", leaks=False
    )
    name: str | None = await made.client.avatar.callRemote("whoami")
    assert name == "alice"
    made.network.delay = 0.2
    made.network.to_client.rate = 1000
    made.network.stall("to_server")
    made.network.resume()
    made.network.cut_after(bytes=137)
    leaks: list[Leak] = made.leaks()
    assert leaks == []


async def scripted() -> str:
    """Script the other end."""
    office = peer(TicketOffice)
    office.expects("reserve", seats=2).returns([1, 2])
    office.expects("reserve", 3).raises(broker.Error("none"))
    async with pair(office, dialect="pb", policy=broker.PUBLISHED) as made:
        seats: list[int] = await made.client.root.of(TicketOffice).reserve(2)
        assert seats == [1, 2]
        await made.settled()
        return record(made)


@every_cut(lambda: pair(broker.Root()), frames=True)
async def test_cuts(made: Pair, other: int = 1) -> None:
    """Be cut."""
    assert made.server.is_closed


def test_directly() -> None:
    """Call without a connection."""
    with calling_as("alice", groups={"admins"}) as call:
        assert call.peer.avatar_id == "alice"
        assert Member().perspective_whoami() == "alice"
    with virtual_clock() as clock:
        text: str = clock.run(scripted())
        clock.run(broker.testing.call(Member(), "whoami", user="alice"))
    assert text
    asyncio.run(test_cuts(other=2))
