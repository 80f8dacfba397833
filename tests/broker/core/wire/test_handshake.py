"""The handshake: the server offers, the client picks."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.wire.dialects import MSGPACK, NONE, PB
from broker.core.wire.handshake import Handshake, written
from jelly.errors import ProtocolError
from jelly.limits import Limits


def test_the_server_begins() -> None:
    """A server offers its dialects, best first; a client waits."""
    assert Handshake(False).opening() == (b"msgpack/1", b"pb", b"none")
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
    assert named("token", "password").opening() == (b"pb", b"none", b"login token password")
    assert named().opening() == (b"pb", b"none", b"login")


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


def taken(handshake: Handshake, *pieces: bytes) -> Any:
    """Give the pieces of some bytes to a handshake, and return the result of the last."""
    *first, last = pieces
    for piece in first:
        assert handshake.take(piece) is None
    return handshake.take(last)


OFFER = written((b"msgpack/1", b"pb", b"login token"), Limits())


@pytest.mark.parametrize("length", range(len(OFFER) + 1))
def test_an_offer_in_pieces(length: int) -> None:
    """A client takes an offer wherever it is cut, with the same result."""
    client = Handshake(True)
    pieces = [piece for piece in (OFFER[:length], OFFER[length:]) if piece]
    assert taken(client, *pieces) == (MSGPACK, b"msgpack/1", b"")
    assert client.logins == ("token",)


@pytest.mark.parametrize("name", [b"msgpack/1", b"pb", b"none"])
@pytest.mark.parametrize("behind", [b"", b"behind"])
def test_a_choice_in_pieces(name: bytes, behind: bytes) -> None:
    """A server takes a choice wherever it is cut, and returns the bytes behind it."""
    data = written(name, Limits())
    for length in range(len(data)):
        pieces = [piece for piece in (data[:length], data[length:] + behind) if piece]
        dialect, reply, rest = taken(Handshake(False), *pieces)
        assert (dialect.name, reply, rest) == (name, None, behind)


@pytest.mark.parametrize("behind", [b"x", OFFER])
def test_bytes_behind_an_offer(behind: bytes) -> None:
    """The bytes behind an offer are those of the dialect."""
    assert Handshake(True).take(OFFER + behind) == (MSGPACK, b"msgpack/1", behind)


def test_a_head_with_leading_zeros() -> None:
    """A choice with an unusual head is the same choice."""
    usual = written(b"pb", Limits())
    longer = usual[:1] + b"\x00" + usual[1:]
    assert Handshake(False).take(longer) == Handshake(False).take(usual) == (PB, None, b"")


@pytest.mark.parametrize("is_client", [False, True])
def test_another_protocol(is_client: bool) -> None:
    """Text of another protocol is refused at its first bytes, by both ends."""
    handshake = Handshake(is_client)
    with pytest.raises(ProtocolError, match="the peer does not speak Perspective Broker"):
        handshake.take(b"GET / HTTP/1.1")


@pytest.mark.parametrize("names", [(b"pb", b"login a", b"login b"), (b"PB",)])
def test_an_offer_that_is_refused_again(names: tuple[bytes, ...]) -> None:
    """A bad offer is refused each time that it comes."""
    for _ in range(2):
        with pytest.raises(ProtocolError, match=r"logins 2 times|no dialect in common"):
            Handshake(True).take(written(names, Limits()))
