"""Offers: servers with a false or malformed offer, and clients that choose an unknown dialect."""

from __future__ import annotations

from typing import Any

import pytest
from attacks.attacker import NO_LIMITS, POLICIES, binds, portal, taming
from support.memory import FakeTransport, ManualScheduler

import cred
from broker.connection.broker import Broker
from broker.core.policy import Policy
from broker.core.wire.dialects import NONE
from broker.errors import ConnectionAborted
from broker.failure import Failure
from broker.login.client import login
from broker.login.server import root_of

ALICE = cred.UsernamePassword("alice", "secret")


class Side:
    """One end on a public connection without TLS; the other end is the attacker.

    Attributes:
        entered: the outcome of the login, if any.
    """

    def __init__(self, is_client: bool, policy: Policy, credentials: Any = None):
        self.scheduler = ManualScheduler()
        self.transport = FakeTransport(self.scheduler, "PEER")
        self.broker = Broker(is_client, policy=policy)
        self.entered: list[Any] = []
        if not is_client:
            self.broker.setNameForLocal(b"root", root_of(portal()).rootObject(self.broker))
        self.broker.makeConnection(self.transport)
        if credentials is not None:
            self.broker.notifyOnConnect(lambda: self._log_in(credentials))

    def _log_in(self, credentials: Any) -> None:
        login(self.broker, credentials).addBoth(self.entered.append)

    def hear(self, part: Any) -> None:
        """Receive the attacker's part of the handshake."""
        self.broker.dataReceived(NONE.writer(NO_LIMITS).write_expression(part))
        self.scheduler.run()
        if self.transport.is_aborted:
            self.broker.connectionLost(Failure(ConnectionAborted()))

    @property
    def said(self) -> bytes:
        """All bytes that it has sent."""
        return b"".join(self.transport.writes)


MALFORMED = [
    ([b"pb", b"login a", b"login b"], "the offer names the logins 2 times"),
    ([b"pb", *[b"login password"] * 500], "the offer names the logins 500 times"),
    ([b"pb", b"login " + b"x " * 200], "the logins of the offer have 406 bytes, of 256"),
    ([b"pb", b"login " + b"p" * 60_000], "the logins of the offer have 60006 bytes, of 256"),
    ([b"pb", b"login \xff\xfe"], "the logins of the offer are not ASCII"),
    ([b"pb", [b"login", b"password"]], "the peer is not a Perspective Broker server"),
    ([b"login password"], "no dialect in common with the server"),
]


@binds("C2", dialects=())
@pytest.mark.parametrize(("offer", "told"), MALFORMED)
def test_a_malformed_offer(
    policy: str, offer: list[Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client ends the connection in one line, and has sent nothing."""
    client = Side(True, POLICIES[policy], ALICE)
    with taming(caplog) as lines:
        client.hear(offer)
    assert lines == [f"closed PEER: {told}"]
    assert client.transport.is_aborted
    assert (client.said, client.entered) == (b"", [])


LYING = [b"login token password", b"login certificate", b"login", b"login " + b"x " * 125]


@binds("C2", dialects=())
@pytest.mark.parametrize("logins", LYING)
@pytest.mark.parametrize("credentials", [ALICE, cred.Token("a secret token")])
def test_an_offer_of_what_shows_a_secret(policy: str, logins: bytes, credentials: Any) -> None:
    """Whatever the offer, no password and no token is sent on a connection that others can read."""
    client = Side(True, POLICIES[policy], credentials)
    client.hear([b"pb", logins])
    (failure,) = client.entered
    assert failure.check(cred.LoginFailed)
    for secret in (b"alice", b"secret", b"login"):
        assert secret not in client.said


@binds("C2", dialects=())
@pytest.mark.parametrize(
    "credentials", [cred.Token("a secret token"), cred.Scram("alice", "secret")]
)
def test_an_offer_that_was_stripped(policy: str, credentials: Any) -> None:
    """If an attacker removed the logins from the offer, no login unknown to Twisted starts."""
    client = Side(True, POLICIES[policy], credentials)
    client.hear([b"pb", b"none"])
    (failure,) = client.entered
    assert "this server is Twisted's, or asks for no login" in failure.getErrorMessage()
    for secret in (b"alice", b"secret", b"login"):
        assert secret not in client.said


@binds("C2", policies=("strict",), dialects=())
def test_a_stripped_offer_gets_a_name_at_most(policy: str) -> None:
    """Without an offer of logins a strict client sends the user name, and answers no challenge."""
    client = Side(True, POLICIES[policy], ALICE)
    client.hear([b"pb"])
    assert client.said.count(b"alice") == 1
    answer = [b"answer", 1, [b"tuple", b"c" * 16, [b"remote", 1]]]
    pb = client.broker.session.dialect
    assert pb is not None
    client.broker.dataReceived(pb.writer(NO_LIMITS).write_expression([b"version", 6]))
    client.broker.dataReceived(pb.writer(NO_LIMITS).write_expression(answer))
    client.scheduler.run()
    (failure,) = client.entered
    assert "Policy(challenge_login=True)" in failure.getErrorMessage()
    assert b"respond" not in client.said


@binds("C2", dialects=())
@pytest.mark.parametrize("has_all", [True, False])
def test_a_client_that_chooses_the_logins(
    policy: str, has_all: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The string that names the logins is not accepted as a dialect, whole or in part."""
    server = Side(False, POLICIES[policy])
    (offer,) = server.transport.writes
    text = b"login anonymous" if policy == "strict" else b"login challenge anonymous"
    assert offer.endswith(text)
    with taming(caplog) as lines:
        server.hear(text if has_all else b"login")
    assert lines == ["closed PEER: the peer chose a dialect that was not offered"]
    assert server.transport.is_aborted
