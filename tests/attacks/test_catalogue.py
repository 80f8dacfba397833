"""Every attack of a few bytes is refused with its exact text, at once; no other client notices."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import pytest
from attacks.attacker import Speaker, Target, Victim, cost, flat, taming
from attacks.catalogue import ATTACKS, BAD, Attack

import broker
from broker.core.wire.messages import GraphError


def combinations() -> list[pytest.ParameterSet]:
    """Each attack under each policy and in each dialect that it applies to."""
    return [
        pytest.param(attack, policy, dialect, id=f"{attack}-{policy}-{dialect}")
        for attack in ATTACKS
        for policy in attack.policies
        for dialect in attack.dialects
    ]


# The peer's text, where it differs from the log's.
IN_TWISTED_S_WORDS = {
    "pair: missing 1 required positional argument: 'second'": (
        "Target.remote_pair() missing 1 required positional argument: 'second'"
    ),
    "object 12345 is not exported to this connection": "Invalid Object ID",
    "object 'admin' is not exported to this connection": "Invalid Object ID",
    "cache 5 is not held": "Invalid Object ID",
    "cache 5 is not published to this connection": "Invalid Object ID",
    "no remote method 'frobnicate'": "No such method: remote_frobnicate",
    "no remote method '__class__'": "No such method: remote___class__",
}


@pytest.mark.parametrize(("attack", "policy", "dialect"), combinations())
def test_refused(
    attack: Attack, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs one line and little time; only the call ends, or the connection."""
    victim = Victim(dialect, policy)
    data = attack.make(victim.speaker)
    with taming(caplog) as lines:
        victim.hear(data)
        seconds = cost(
            lambda other: other.hear(data), lambda: Victim(dialect, policy), 4, attack.seconds
        )
    if attack.dies == "connection":
        if attack.text == BAD:
            # The rest of the text is the decoder's.
            assert lines[0].startswith(f"closed PEER: {BAD}: ")
        else:
            assert lines[0] == f"closed PEER: {attack.text}"
        assert victim.is_dead
    else:
        assert lines[0] == f"PEER: {attack.text}"
        assert not victim.is_dead
        (answer,) = [m for m in victim.speaker.read(victim.said) if type(m) is GraphError]
        kind, _, text = attack.text.partition(": ")
        if (policy, dialect) == ("published", "pb"):
            text = IN_TWISTED_S_WORDS.get(text, text)
        assert text.encode() in flat(answer.failure)
        assert kind.encode() in flat(answer.failure)
    assert set(lines) == {lines[0]}
    assert seconds <= attack.seconds
    victim.end()


async def test_the_bystander_notices_nothing() -> None:
    """During each attack on real sockets, another client's calls are answered."""
    strict = [attack for attack in ATTACKS if "strict" in attack.policies]

    async with broker.serve(Target(), "pb://127.0.0.1:0") as server:
        async with broker.connect(server.addresses[0]) as bystander:
            for attack, dialect in [(a, d) for a in strict for d in a.dialects]:
                await strike(server, attack, dialect)
                answer = bystander.root.callRemote("echo", attack.name)
                assert await answer == attack.name
            assert not bystander.is_closed
        assert server.stats.accepted == 1 + sum(len(attack.dialects) for attack in strict)


async def strike(server: broker.Server, attack: Attack, dialect: str) -> None:
    """Attack a server over a raw socket, until it answers or closes."""
    speaker = Speaker(dialect)
    port = int(server.addresses[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    writer.write(speaker.greeting + attack.make(speaker))
    # A server that closes with much unread data sends a reset.
    with suppress(ConnectionResetError, BrokenPipeError):
        while piece := await reader.read(65536):
            heard += piece
            if any(type(message) is GraphError for message in speaker.read(heard)):
                break
    writer.close()


ROWS = {
    *(f"A{number}" for number in range(1, 18)),
    *(f"B{number}" for number in range(1, 20)),
    *(f"C{number}" for number in range(1, 11)),
}


def test_every_row_has_a_test() -> None:
    """Each row of the catalogue is named by a test, here or beside the code that it is about."""
    named = {attack.row for attack in ATTACKS}
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        for marks in re.findall(r"(?:mark\.row|binds)\(([^)]*)", path.read_text("utf-8")):
            named |= set(re.findall(r'"([A-D]\d*)"', marks))
    assert named >= ROWS
