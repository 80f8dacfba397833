"""How often each end waits for the other until a client is in, and that each turn is one write."""

from __future__ import annotations

from typing import Any

import pytest
from support.certificates import Authority
from support.memory import BrokerPair
from support.ways_in import WaysIn, tokens

import broker
import cred
from broker.core.policy import PUBLISHED, STRICT
from broker.flavors.referenceable import Root
from broker.login.client import login
from broker.net.transports import StreamTransport
from cred.credentials import IScramProof, IUsernamePassword

ALICE = cred.UsernamePassword("alice", "secret")
OPEN = STRICT.but(challenge_login=True)


def turns(room: BrokerPair, credentials: Any) -> list[str]:
    """Log in as soon as there is a dialect; return who wrote, in the order of the writes."""
    written: list[str] = []
    for side, name in ((room.client, "client"), (room.server, "server")):
        transport = room.transport(side)

        def note(data: bytes, write: Any = transport.write, name: str = name) -> None:
            written.append(name)
            write(data)

        transport.write = note  # type: ignore[method-assign]
    entered: list[Any] = []

    def begin() -> None:
        login(room.client, credentials).addBoth(entered.append)

    room.client.notifyOnConnect(begin)
    room.connect()
    assert len(entered) == 1
    return written


@pytest.mark.parametrize(
    ("credentials", "taken", "round_trips"),
    [
        (cred.ClientCertificate(), [], 1),
        (cred.Token("good"), [], 1),
        (cred.Anonymous(), [], 1),
        (ALICE, [IScramProof], 1),
        (ALICE, [], 2),
        (ALICE, [IScramProof, IUsernamePassword], 2),
    ],
)
@pytest.mark.parametrize("dialect", ["msgpack/1", "pb", "none"])
def test_round_trips(credentials: Any, taken: list[Any], round_trips: int, dialect: str) -> None:
    """After the offer each login is one question, or two; the first leaves with the choice."""
    room = WaysIn(policy=OPEN.but(dialects=(dialect,)), connect=False)
    room.take_away(*taken)
    written = turns(room, credentials)
    # With its last message a client may say that it has let go of what it was lent for the login.
    assert written[: 1 + 2 * round_trips] == ["server", *["client", "server"] * round_trips]
    assert written[1 + 2 * round_trips :] in ([], ["client"])
    assert len(room.avatars) == 1


@pytest.mark.parametrize("credentials", [ALICE, cred.Anonymous()])
def test_a_server_without_login_is_asked_once(credentials: Any) -> None:
    """Where there is no login that is found out in one round trip."""
    assert turns(BrokerPair(Root(), policy=PUBLISHED, connect=False), credentials) == [
        "server",
        "client",
        "server",
    ]


async def test_connect_logs_in_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """``connect`` sends the choice, the version and the login in one write, through TLS too."""
    authority = Authority(tmp_path)
    pair = authority.issue(["127.0.0.1"])
    server_tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    client_tls = broker.TLS.client(ca=authority.ca_path)
    portal = cred.Portal(broker.realm(lambda avatar_id, mind: broker.Avatar()), [tokens(good="x")])
    written: list[bytes] = []

    def listen(kind: Any) -> None:
        write = kind.write

        def noted(transport: Any, data: bytes) -> None:
            if transport.protocol.isClient:
                written.append(bytes(data))
            write(transport, data)

        monkeypatch.setattr(kind, "write", noted)

    listen(StreamTransport)

    for address, tls in (("pb://127.0.0.1:0", None), ("pbs://127.0.0.1:0", server_tls)):
        written.clear()
        async with broker.serve(portal, address, tls=tls) as server:
            trust = None if tls is None else client_tls
            where = server.addresses[0]
            async with broker.connect(where, cred.Token("good"), tls=trust) as connection:
                assert connection.peer.mechanism == "token"
                (only,) = written
                assert b"msgpack/1" in only
                assert b"loginToken" in only
