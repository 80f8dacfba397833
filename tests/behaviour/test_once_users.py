"""The replies of calls that run at most once, of several users."""

from __future__ import annotations

import pytest
from support.once_house import ALICE, BOB, KEY, Shop, house, once, outcome, portal

import broker
from broker.login.client import login
from cred.credentials import Anonymous


async def test_two_users() -> None:
    """A user cannot see the replies of another one, with the same key; nor can a guest."""
    shop = Shop()
    async with house(portal(shop)) as home:
        for credentials, number in ((ALICE, 1), (BOB, 2), (Anonymous(), 3)):
            for _ in range(2):
                async with home.connected(credentials=credentials) as connection:
                    got = await once(connection.avatar, f"{KEY}.1.0", "buy", "a")
                    assert got == {"sold": "a", "number": number}
        async with home.connected(credentials=BOB) as connection:
            # The method of another user's call is not found, since the key is not.
            assert await once(connection.avatar, f"{KEY}.2.0", "much", 1) == "x"
            # An acknowledgement is for the own replies only.
            await once(connection.avatar, f"{KEY}.9.8", "much", 1)
        async with home.connected(credentials=ALICE) as connection:
            got = await once(connection.avatar, f"{KEY}.1.0", "buy", "a")
            assert got == {"sold": "a", "number": 1}


async def test_a_user_cannot_push_out_the_replies_of_others() -> None:
    """Neither with many keys nor with many bytes; the guests have one share together."""
    shop = Shop()
    replies = broker.Replies(most=200, size=20_000, each=1500)
    async with house(portal(shop), replies) as home:
        async with home.connected(credentials=ALICE) as connection:
            first = await once(connection.avatar, f"{KEY}.1.0", "buy", "a")
        async with home.connected(credentials=BOB) as connection:
            bob = connection.avatar
            for number in range(1, 20):
                await once(bob, f"{KEY}.{number}.0", "much", 1000)
            for number in (20, 21):
                with pytest.raises(broker.ServerBusy, match=r"^20 replies kept \(replies.most\)$"):
                    await once(bob, f"{KEY}.{number}.0", "much", 1000)
            assert shop.sold["much"] == 19
            # The newest reply is there, the oldest is lost; none runs again.
            assert await once(bob, f"{KEY}.19.0", "much", 1000) == "x" * 1000
            with pytest.raises(broker.ResultLost):
                await once(bob, f"{KEY}.1.0", "much", 1000)
            assert shop.sold["much"] == 19
            # Acknowledged keys make place.
            assert await once(bob, f"{KEY}.20.19", "much", 1) == "x"
        guests = 0
        for nonce in ("g" * 22, "h" * 22, "i" * 22):
            async with home.connected(credentials=Anonymous()) as connection:
                for number in range(1, 10):
                    got = await outcome(once(connection.avatar, f"{nonce}.{number}.0", "much", 1))
                    guests += got == "'x'"
        assert guests == 18
        async with home.connected(credentials=ALICE) as connection:
            assert await once(connection.avatar, f"{KEY}.1.0", "buy", "a") == first
        assert home.kept.size <= 20_000


async def test_a_second_login_of_one_connection() -> None:
    """Each avatar of a connection has the keys of its own user."""
    shop = Shop()
    async with house(portal(shop)) as home, home.connected(credentials=ALICE) as connection:
        bob = await login(connection.broker, BOB)
        alice = connection.avatar
        for avatar, number in ((alice, 1), (bob, 2), (alice, 1), (bob, 2)):
            assert (await once(avatar, f"{KEY}.1.0", "buy", "a"))["number"] == number


async def test_keys_before_a_login() -> None:
    """Metadata of a login is dropped: no key is kept, and the login is made each time."""
    shop = Shop()
    async with house(portal(shop)) as home:
        async with broker.once():
            for _ in range(2):
                async with home.connected(credentials=ALICE) as connection:
                    assert connection.avatar is not None
        assert home.kept.count == 0
