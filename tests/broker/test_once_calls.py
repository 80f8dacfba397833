"""The caller's side of calls that run at most once."""

from __future__ import annotations

import asyncio
import re

import pytest

import broker
from broker.core.wire.terms import Terms
from broker.once_calls import OnceKeys, call_with_meta, in_once, once, peer_terms, why_not_again


def test_keys() -> None:
    """A number for each call, and the number up to which all have ended."""
    keys = OnceKeys(b"\xff" * 16)
    nonce = "_" * 21 + "w"
    assert (keys.settled, [keys.begin() for _ in range(3)]) == (0, [1, 2, 3])
    assert keys.meta(2) == {"once": f"{nonce}.2.0"}
    keys.end(2)
    assert keys.meta(3) == {"once": f"{nonce}.3.0"}
    keys.end(1)
    keys.end(1)
    assert keys.meta(3) == {"once": f"{nonce}.3.2"}
    keys.end(3)
    assert (keys.settled, keys.begin(), keys.settled) == (3, 4, 3)


def test_nonces() -> None:
    """Each caller has one of its own, of 16 random bytes."""
    metas = {OnceKeys().meta(1)["once"] for _ in range(100)}
    assert len(metas) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}\.1\.0", meta) for meta in metas)


async def test_the_block() -> None:
    """It holds inside, in tasks that begin there, and not behind it."""
    assert not in_once()
    async with once():
        assert in_once()
        task = asyncio.ensure_future(asyncio.to_thread(in_once))
        async with once():
            pass
        assert in_once()
    assert not in_once()
    assert await task


@pytest.mark.parametrize(
    ("first", "terms", "seconds", "text"),
    [
        (Terms(once=120, instance=5), Terms(once=120, instance=5), 119.9, None),
        (Terms(once=120, instance=5), Terms(once=120, instance=6), 0.0, "the server was restarted"),
        (Terms(once=120), Terms(once=120), 0.0, "the server was restarted"),
        (
            Terms(once=120, instance=5),
            Terms(once=120, instance=5),
            130.2,
            "sent 130 s ago; replies are kept for 120 s",
        ),
    ],
)
def test_when_a_call_is_repeated(
    first: Terms, terms: Terms, seconds: float, text: str | None
) -> None:
    """To the same run of the server, while it keeps the reply."""
    error = why_not_again(first, terms, 1000.0, 1000.0 + seconds)
    assert (None if error is None else str(error)) == text
    assert error is None or error.may_have_run is True


class Root(broker.Root):
    """An empty root."""

    def remote_ping(self) -> str:
        """Answer."""
        return "pong"


async def test_terms_of_a_server() -> None:
    """They are waited for; each server has an instance, the same for all its connections."""
    instances = set()
    for _ in range(2):
        replies = broker.Replies(seconds=77)
        async with broker.serve(Root(), "pb://127.0.0.1:0", replies=replies) as server:
            for _ in range(2):
                async with broker.connect(server.addresses[0]) as connection:
                    terms = await peer_terms(connection)
                    assert terms.once == 77
                    assert terms is await peer_terms(connection)
                    instances.add(terms.instance)
                    call = call_with_meta(connection.root, OnceKeys().meta(1), "ping")
                    assert await call == "pong"
            with pytest.raises(broker.PBConnectionLost):
                await peer_terms(connection)
    assert len(instances) == 2
    assert all(type(instance) is int and 0 <= instance < 1 << 63 for instance in instances)


@pytest.mark.parametrize("replies", [True, 120, broker.Replies, {"seconds": 1}])
def test_what_is_no_replies(replies: object) -> None:
    """The type is checked before anything is opened."""
    with pytest.raises(broker.WrongType, match=r"^replies= is a Replies or None"):
        broker.serve(Root(), replies=replies)  # type: ignore[arg-type]
