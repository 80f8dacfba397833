"""Session tickets from end to end: logins and calls on connections that are resumed."""

from __future__ import annotations

from typing import Any

import pytest
from support.certificates import Authority, Pair
from support.ways_in import ScramUsers

import broker
import cred
from broker.core.policy import PUBLISHED, STRICT

ALICE = cred.UsernamePassword("alice", "secret")


class Desk(broker.Avatar):
    """Tells how its user has logged in."""

    def perspective_mechanism(self) -> str | None:
        """Return the mechanism."""
        return broker.current_call().peer.mechanism


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that clients trust."""
    return Authority(tmp_path_factory.mktemp("tickets"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """The server's certificate."""
    return authority.issue()


def filter_of(connection: broker.Connection) -> Any:
    """Return the TLS filter of a connection."""
    transport: Any = connection.broker.transport
    return transport._source._filters[0]


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED], ids=["STRICT", "PUBLISHED"])
@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_logins(
    authority: Authority, pair: Pair, dialect: str, policy: broker.Policy
) -> None:
    """A user who comes again logs in with a channel binding, and sees the server's certificate."""
    portal = cred.Portal(broker.realm(lambda name, mind: Desk()), [ScramUsers(alice="secret")])
    policy = policy.but(dialects=(dialect,))
    server_tls = broker.TLS.server(pair.certificate_path, pair.key_path, tickets=True)
    tls = broker.TLS.client(ca=authority.ca_path)
    seen = []
    async with broker.serve(portal, "pbs://127.0.0.1:0", tls=server_tls, policy=policy) as server:
        for _ in range(3):
            async with broker.connect(
                server.addresses[0], ALICE, tls=tls, policy=policy
            ) as connection:
                mechanism = await connection.avatar.callRemote("mechanism")
                certificate = connection.peer.certificate
                seen.append((filter_of(connection).is_resumed, mechanism, certificate))
    plus = "SCRAM-SHA-256-PLUS"
    assert seen == [(is_resumed, plus, pair.certificate) for is_resumed in (False, True, True)]


async def test_a_connection_that_was_cut(authority: Authority, pair: Pair) -> None:
    """A client that has lost its connection resumes the session."""
    server_tls = broker.TLS.server(pair.certificate_path, pair.key_path, tickets=True)
    tls = broker.TLS.client(ca=authority.ca_path)
    seen = []
    async with broker.serve(broker.Root(), "pbs://127.0.0.1:0", tls=server_tls) as server:
        for _ in range(3):
            connection = await broker.connect(server.addresses[0], tls=tls)
            seen.append(filter_of(connection).is_resumed)
            with pytest.raises(broker.NoSuchMethod):
                await connection.root.callRemote("nothing")
            connection.broker.transport.abortConnection()
            await connection.wait_closed()
            del connection
    assert seen == [False, True, True]


async def test_two_servers_on_one_host(authority: Authority, pair: Pair) -> None:
    """A client that goes back and forth between two ports resumes with both."""
    tls = broker.TLS.client(ca=authority.ca_path)

    def serve() -> broker.Serve:
        server_tls = broker.TLS.server(pair.certificate_path, pair.key_path, tickets=True)
        return broker.serve(broker.Root(), "pbs://127.0.0.1:0", tls=server_tls)

    seen = []
    async with serve() as one, serve() as other:
        for server in (one, other) * 3:
            async with broker.connect(server.addresses[0], tls=tls) as connection:
                with pytest.raises(broker.NoSuchMethod):
                    await connection.root.callRemote("nothing")
                seen.append(filter_of(connection).is_resumed)
    assert seen == [False, False, True, True, True, True]
