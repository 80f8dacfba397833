"""The handshake: the server offers, the client picks."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.wire.dialects import MSGPACK, NONE, PB
from broker.core.wire.handshake import Handshake
from jelly.errors import ProtocolError


def test_the_server_begins() -> None:
    """A server offers its dialects, best first; a client waits."""
    assert Handshake(False).opening() == [b"msgpack/1", b"pb", b"none"]
    assert Handshake(True).opening() is None


@pytest.mark.parametrize(
    ("offer", "picked"),
    [
        ([b"pb", b"none"], PB),
        ([b"none", b"pb"], NONE),
        ([b"msgpack/1", b"pb"], MSGPACK),
        ([b"msgpack/2", b"pb"], PB),
        ([b"unknown", b"", b"none"], NONE),
    ],
)
def test_the_client_picks(offer: list[bytes], picked: Any) -> None:
    """A client takes the first of the offer that it knows, and says so."""
    assert Handshake(True).receive(offer) == (picked, picked.name)


@pytest.mark.parametrize("offer", [[], [b"msgpack/2"], [b"PB"]])
def test_nothing_in_common(offer: list[Any]) -> None:
    """An offer without any known dialect is refused."""
    with pytest.raises(ProtocolError, match="no dialect in common with the server"):
        Handshake(True).receive(offer)


@pytest.mark.parametrize("offer", [b"pb", 5, [1], [b"pb", [b"none"]], [b"pb", 1.5]])
def test_no_offer(offer: Any) -> None:
    """What is no list of names comes from no server of this protocol."""
    with pytest.raises(ProtocolError, match="the peer is not a Perspective Broker server"):
        Handshake(True).receive(offer)


def named(*names: str) -> Handshake:
    """Return the handshake of a server with these logins."""
    handshake = Handshake(False, [PB, NONE])
    handshake.name_logins = lambda: names
    return handshake


def test_a_server_with_a_login_names_it() -> None:
    """Behind its dialects a server with a login names the ways to log in, also if there is none."""
    assert named("token", "password").opening() == [b"pb", b"none", b"login token password"]
    assert named().opening() == [b"pb", b"none", b"login"]


def test_the_client_reads_the_logins() -> None:
    """A client reads what the server takes, wherever it stands, and picks a dialect as ever."""
    for offer in ([b"pb", b"login token"], [b"login token", b"pb"]):
        client = Handshake(True)
        assert client.logins is None
        assert client.receive(offer) == (PB, b"pb")
        assert client.logins == ("token",)
    client = Handshake(True)
    client.receive([b"pb", b"none"])
    assert client.logins is None


@pytest.mark.parametrize("offer", [[b"login pb"], [b"login"]])
def test_logins_are_no_dialect(offer: list[bytes]) -> None:
    """An offer of logins alone leaves nothing to speak."""
    with pytest.raises(ProtocolError, match="no dialect in common with the server"):
        Handshake(True).receive(offer)


def test_logins_that_cannot_be_read() -> None:
    """An offer whose logins cannot be read is refused, although it has a dialect."""
    with pytest.raises(ProtocolError, match="the offer names the logins 2 times"):
        Handshake(True).receive([b"pb", b"login a", b"login b"])


@pytest.mark.parametrize("choice", [b"login token password", b"login", b"login token"])
def test_a_client_that_chooses_the_logins(choice: bytes) -> None:
    """The string that names the logins cannot be chosen."""
    with pytest.raises(ProtocolError, match="chose a dialect that was not offered"):
        named("token", "password").receive(choice)


def test_the_server_takes_the_choice() -> None:
    """A choice out of the offer is taken, and needs no reply."""
    assert Handshake(False).receive(b"none") == (NONE, None)
    assert Handshake(False, [PB]).receive(b"pb") == (PB, None)


@pytest.mark.parametrize("choice", [b"msgpack/1", b"", [b"pb"], 5, b"none"])
def test_what_was_not_offered(choice: Any) -> None:
    """Anything else than a name out of the offer is refused."""
    with pytest.raises(ProtocolError, match="chose a dialect that was not offered"):
        Handshake(False, [PB]).receive(choice)
