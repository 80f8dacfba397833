"""The lobby: who may wait for a login, and who not."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.policy import STRICT
from broker.lobby import Lobby, Refusal
from broker.net.addresses import IPv4Address, UNIXAddress


def at(number: int) -> IPv4Address:
    """An address of documentation, one for each number."""
    return IPv4Address("TCP", f"198.51.{number >> 8}.{number & 255}", 1000)


def lucky(**changes: Any) -> Lobby:
    """A lobby in which nobody is refused at random."""
    return Lobby(STRICT.but(**changes), lambda: 1.0)


def test_each_source_has_its_share() -> None:
    """A seventeenth connection from one address is refused; one from another is not."""
    lobby = lucky()
    places = [lobby.enter(at(1)) for _ in range(16)]
    with pytest.raises(Refusal, match=r"^16 connections waiting for login$") as caught:
        lobby.enter(at(1))
    assert caught.value.limit == "max_waiting_each"
    lobby.enter(at(2))
    places[0].leave()
    lobby.enter(at(1))
    assert len(lobby) == 17


def test_all_have_a_limit() -> None:
    """A connection beyond the 256th is refused, wherever it comes from."""
    lobby = lucky()
    places = [lobby.enter(at(number)) for number in range(256)]
    with pytest.raises(Refusal, match=r"^256 connections waiting for login$") as caught:
        lobby.enter(at(999))
    assert caught.value.limit == "max_waiting"
    for place in places:
        place.leave()
        place.leave()
    assert len(lobby) == 0
    assert not lobby._by_source


@pytest.mark.parametrize(("waiting", "chance"), [(0, 0.0), (128, 0.0), (160, 0.25), (224, 0.75)])
def test_random_early_drop(waiting: int, chance: float) -> None:
    """From half of the limit on, newcomers are refused with a chance that grows up to one."""
    unlucky = [chance - 0.01] if chance else []
    dice = iter([1.0] * waiting + unlucky + [chance])
    lobby = Lobby(STRICT, lambda: next(dice))
    for number in range(waiting):
        lobby.enter(at(number))
    if chance:
        with pytest.raises(Refusal, match=rf"^{waiting} connections waiting for login$"):
            lobby.enter(at(999))
    lobby.enter(at(999))


def test_sources_without_a_host() -> None:
    """A UNIX socket is no source that could have more than its share."""
    lobby = lucky()
    for _ in range(100):
        lobby.enter(UNIXAddress(""))
    assert len(lobby) == 100
