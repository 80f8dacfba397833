"""Connections: peers that do not read, do not answer, send too much, or have disconnected."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from attacks.attacker import POLICIES, Target, Victim, binds, portal, taming
from attacks.catalogue import a_string
from support.certificates import Authority
from support.memory import BrokerPair

import broker
from broker.core.policy import STRICT
from broker.core.wire.messages import GraphAnswer
from broker.errors import PBConnectionLost
from broker.net.tls.settings import TLS

HALF_A_MEGABYTE = bytes(500_000)


class Library(Target):
    """Has long answers, and slow ones."""

    def __init__(self) -> None:
        self.served = 0
        self.over = asyncio.Event()

    def remote_book(self) -> bytes:
        """Return half a megabyte."""
        self.served += 1
        return HALF_A_MEGABYTE

    async def remote_slow(self) -> None:
        """Return at the end of the test."""
        await self.over.wait()


@binds("B13")
def test_a_peer_that_does_not_read(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """600 small requests for long answers cost one answer, then nothing; it ends after 30 s."""
    library = Library()
    victim = Victim(dialect, policy, library, reads=False)
    with taming(caplog) as lines:
        for number in range(1, 601):
            victim.hear(victim.speaker.call(name=b"book", number=number))
        assert library.served <= 2
        for _ in range(29):
            victim.wait(1.0)
        assert not victim.is_dead
        for _ in range(2):
            victim.wait(1.0)
    assert library.served <= 2
    assert victim.transport.unsent <= 20_000_000
    (line,) = lines
    assert re.fullmatch(r"closed PEER: peer is not reading \(\d+ bytes unsent\)", line)
    assert victim.is_dead


@binds("B13")
def test_a_flood_of_what_is_answered_at_once(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers that are not results of a call, such as those to unknown objects, count as well."""
    chosen = POLICIES[policy].but(max_unsent=1_000_000)
    victim = Victim(dialect, chosen, reads=False)
    speaker = victim.speaker
    one = speaker.message(b"x" * 100) if dialect == "pb" else speaker.call(target=12345)
    with taming(caplog):
        for _ in range(300):
            if not victim.is_dead:
                victim.hear(one * 100)
                victim.wait(0.1)
    assert victim.transport.unsent <= 2_000_000


@binds("B11", dialects=())
async def test_nothing_is_logged_of_a_call_whose_peer_has_gone(
    policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If a peer disconnects while its call runs, nothing is logged; the caller learns it may have
    run.
    """

    async def gone() -> None:
        chosen, library = POLICIES[policy], Library()
        async with broker.serve(library, "pb://127.0.0.1:0", policy=chosen) as server:
            connection = await broker.connect(server.addresses[0])
            call = connection.root.callRemote("slow")
            while not server.connections or not server.connections[0].broker.session.running:
                await asyncio.sleep(0)
            connection.broker.transport.abortConnection()
            with pytest.raises(PBConnectionLost) as caught:
                await call
            assert caught.value.may_have_run
            await connection.wait_closed()
            for other in server.connections:
                await other.wait_closed()
        library.over.set()

    with caplog.at_level(logging.WARNING):
        await gone()
    assert caplog.messages == []


@binds("B11", policies=(), dialects=())
def test_what_was_not_written_was_not_run() -> None:
    """A call that was never sent reports that it was not run."""
    pair = BrokerPair(Library())
    call = pair.client.remoteForName(b"root").callRemote("book")
    late = pair.client.remoteForName(b"root").callRemote("book")
    failures: list[Any] = []
    for deferred in (call, late):
        deferred.addErrback(failures.append)
    pair.cut()
    assert [failure.value.may_have_run for failure in failures] == [True, False]


@binds("A8", policies=(), dialects=())
async def test_who_is_put_out_is_told_why() -> None:
    """A client learns which limit it exceeded, for a fault as for a late login."""

    async def refused(reason: str, end: Any, policy: Any = STRICT) -> None:
        async with broker.serve(portal(), "pb://127.0.0.1:0", policy=policy) as server:
            connection = await broker.connect(server.addresses[0])
            call = end(connection)
            await connection.wait_closed()
            if call is not None:
                with pytest.raises(PBConnectionLost, match=r"^the peer closed the connection: "):
                    await call
            assert str(connection.broker.reason) == f"the peer closed the connection: {reason}"

    await refused("not logged in", lambda each: each.root.callRemote("echo", [{"a": b"b"}]))
    await refused(
        "expression larger than 65536 bytes (max_expression)",
        lambda each: each.root.callRemote("loginAnonymous", bytes(70_000)),
    )
    await refused(
        "login not completed in 0.05 s",
        lambda each: None,
        STRICT.but(login_timeout=0.05),
    )


@binds("B12", policies=(), dialects=())
def test_a_link_that_is_dead(caplog: pytest.LogCaptureFixture) -> None:
    """A silent peer gets a ping after 20 s, and the connection ends after 20 s more."""
    victim = Victim("msgpack/1")
    with taming(caplog) as lines:
        for _ in range(40):
            assert not victim.is_dead
            victim.wait(1.0)
    assert lines == ["closed PEER: no data from peer for 40 s"]


@binds("A8")
def test_a_message_that_does_not_end(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that trickles ends the connection after 30 s; a slow large one may take longer."""
    for piece, is_dead in ((1, True), (1100, False)):
        victim = Victim(dialect, policy)
        begin = a_string(600_000) if dialect == "pb" else (600_000).to_bytes(4, "big")
        victim.hear(begin)
        with taming(caplog) as lines:
            for _ in range(31):
                victim.wait(1.0)
                victim.hear(bytes(piece))
        assert victim.is_dead is is_dead
        assert lines == ["closed PEER: message not completed in 30 s"] * is_dead
        assert victim.broker.session.stats.limits == ({"partial_timeout": 1} if is_dead else {})
        victim.end()


@binds("B12", dialects=("msgpack/1",))
def test_too_many_pings(policy: str, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """One ping a second is answered without end, two a second are not."""
    for a_second, is_dead in ((1, False), (3, True)):
        victim = Victim(dialect, policy)
        with taming(caplog) as lines:
            for _ in range(60):
                victim.wait(1.0)
                victim.hear(victim.speaker.message(b"ping", 7) * a_second)
        assert victim.is_dead is is_dead
        assert lines == ["closed PEER: too many pings"] * is_dead
        victim.end()


@binds("A8")
def test_a_login_that_does_not_come(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that does not log in is disconnected after 30 s, whatever else it sends."""
    chosen = POLICIES[policy]
    assert chosen.login_timeout == STRICT.login_timeout == 30.0
    victim = Victim(dialect, policy, portal())
    victim.broker.setup_timeouts.add("login", chosen.login_timeout)
    with taming(caplog) as lines:
        for number in range(1, 30):
            victim.wait(1.0)
            victim.hear(victim.speaker.call(name=b"mechanisms", number=number))
            assert type(victim.speaker.read(victim.said)[-1]) is GraphAnswer
        victim.wait(1.0)
    assert lines == ["closed PEER: login not completed in 30 s"]


@binds("A8", policies=(), dialects=())
async def test_a_handshake_that_does_not_come_counts(tmp_path: Path) -> None:
    """A connection without a TLS handshake is closed and counted."""
    pair = Authority(tmp_path).issue()
    tls = TLS.server(pair.certificate_path, pair.key_path)
    policy = STRICT.but(handshake_timeout=0.05)
    async with broker.serve(Target(), "pbs://127.0.0.1:0", tls=tls, policy=policy) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        while server.connections:
            await asyncio.sleep(0)
        assert server.stats.limits == {"handshake_timeout": 1}
