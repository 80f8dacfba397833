"""The recorded conversation: one line for each message, the same in each run."""

from __future__ import annotations

from typing import Any

import pytest
from support.club import DIALECTS, Club, Thing, club_portal

import broker
from broker.testing.connected_pair import pair
from broker.testing.conversation import record
from cred.credentials import UsernamePassword

WITH_A_ROOT = """\
client: call 1 root.echo('a', key=[1, None])
server: answer 1 ['a', [1, None]]
client: send 2 root.pay(5)
client: call 3 root.thing()
server: answer 3 #1
client: call 4 #1.ping()
server: answer 4 'pong'
client: call 5 root.keep(#1)
server: answer 5 None
client: call 6 root.fail()
server: error 6 twisted.spread.pb.Error: no
client: call 7 root.echo({'a': (1, #2)})
server: answer 7 {'a': (1, the receiver's #2)}"""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_calls_and_answers(dialect: str) -> None:
    """Calls, one-way calls, answers, objects and errors read the same in both dialects."""
    async with pair(Club(), dialect=dialect) as made:
        root = made.client.root
        await root.callRemote("echo", "a", key=[1, None])
        root.send("pay", 5)
        thing = await root.callRemote("thing")
        await thing.callRemote("ping")
        kept = Thing()
        await root.callRemote("keep", kept)
        with pytest.raises(broker.Error):
            await root.callRemote("fail")
        other = Thing()
        assert (await root.callRemote("echo", {"a": (1, other)}))["a"][1] is other
        told = [line for line in record(made).splitlines() if "decref" not in line]
    assert "\n".join(told) == WITH_A_ROOT


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_two_runs_give_the_same_text(dialect: str) -> None:
    """Also with an internal error, whose id is random."""

    class Broken(broker.Root):
        """Raises what is not registered."""

        def remote_break(self) -> None:
            """Raise."""
            raise ValueError

    texts = []
    for _ in range(2):
        async with pair(Broken(), dialect=dialect) as made:
            with pytest.raises(broker.RemoteError):
                await made.client.root.callRemote("break")
            texts.append(record(made))
    assert "internal error (id …)" in texts[0]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_secrets_of_a_login(dialect: str) -> None:
    """The arguments of login methods are left out."""
    secret = UsernamePassword("alice", "secret")
    async with pair(club_portal(), credentials=secret, dialect=dialect) as made:
        await made.client.avatar.callRemote("whoami")
        text = record(made)
    assert "secret" not in text
    assert "root.login" in text
    assert ".whoami()" in text


async def test_streams_caches_and_the_end() -> None:
    """Messages of streams, releases and the goodbye have their names and numbers."""
    club = Club()
    async with pair(club) as made:
        root = made.client.root
        async with broker.stream_of(await root.callRemote("count")) as stream:
            assert await anext(stream) == 0
        del stream
        await root.callRemote("board")
        await made.settled()
    text = record(made)
    for part in ("answer 1 stream 1", "server: items 1, <", "client: stop 1", "server: end 1"):
        assert part in text
    assert "client: decache" in text


async def test_the_handshake_is_hidden() -> None:
    """Only `lines` has the offer, the choice and the versions, with their places."""
    async with pair(Club()) as made:
        await made.settled()
        assert record(made) == ""
        lines = made.recorder.lines(is_exact=True)
        assert [line.end for line in lines] == ["server", "client", "client", "server"]
        assert [line.is_shown for line in lines] == [False] * 4
        assert lines[-1].last == made.network.carried - 1
        assert made.recorder.side_of(0) == "server"
        assert made.recorder.side_of(lines[0].last + 1) == "client"
        assert made.recorder.side_of(made.network.carried) == ""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_much_data(dialect: str) -> None:
    """Long messages are cut in the text, and bytes beyond the first MiB are not kept."""
    async with pair(Club(), dialect=dialect) as made:
        await made.client.root.callRemote("echo", "x" * 5000)
        assert max(map(len, record(made).splitlines())) < 350
        for _ in range(3):
            await made.client.root.callRemote("keep", b"x" * 500_000)
        assert record(made).splitlines()[-1] == "network: more bytes, which were not recorded"


async def test_a_message_beyond_the_limits() -> None:
    """A message that the receiver refuses is a line, too."""
    policy = broker.STRICT.but(limits=broker.Limits(max_nodes=50))
    async with pair(Club(), policy=policy) as made:
        made.client.broker.session.outbox._limits = broker.Limits()
        made.client.broker.session.outbox.take_terms(made.client.broker.session.outbox.terms)
        with pytest.raises(broker.Disconnected):
            await made.client.root.callRemote("echo", list(range(100)))
    assert "client: a message that is not allowed" in record(made)


async def test_it_can_be_read_at_any_time() -> None:
    """A message that was sent in part, such as before a cut, is left out."""
    club = Club()
    async with pair(club) as made:
        await made.settled()
        made.network.cut_after(bytes=5)
        waits: Any = made.client.root.callRemote("pay", 5)
        with pytest.raises(broker.PBConnectionLost):
            await waits
        assert record(made) == ""
        assert club.total == 0
