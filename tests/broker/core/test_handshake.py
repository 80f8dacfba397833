"""The handshake: the server offers, the client picks."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.dialects import MSGPACK, NONE, PB
from broker.core.handshake import Handshake
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


def test_the_server_takes_the_choice() -> None:
    """A choice out of the offer is taken, and needs no reply."""
    assert Handshake(False).receive(b"none") == (NONE, None)
    assert Handshake(False, [PB]).receive(b"pb") == (PB, None)


@pytest.mark.parametrize("choice", [b"msgpack/1", b"", [b"pb"], 5, b"none"])
def test_what_was_not_offered(choice: Any) -> None:
    """Anything else than a name out of the offer is refused."""
    with pytest.raises(ProtocolError, match="chose a dialect that was not offered"):
        Handshake(False, [PB]).receive(choice)
