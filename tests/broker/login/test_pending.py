"""Pending connections: which may wait for a login, and which is dropped."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

import pytest

from broker.core.policy import STRICT
from broker.login.pending import PendingConnections, Slot, TooManyPending
from broker.net.socket_addresses import IPv4Address, IPv6Address, PipeAddress, UNIXAddress


def at(number: int, network: str = "198.51") -> IPv4Address:
    """An address of documentation, one for each number."""
    return IPv4Address("TCP", f"{network}.{number >> 8}.{number & 255}", 1000)


class Crowd:
    """A lobby, and where those come from who have been dropped, in order."""

    def __init__(self, dice: Callable[[], float] = lambda: 0.0, **changes: Any):
        self.pending = PendingConnections(STRICT.but(**changes), dice)
        self.dropped: list[Any] = []
        self.texts: set[str] = set()

    def enter(self, address: Any) -> Slot:
        """Come in."""

        def drop(refusal: TooManyPending) -> None:
            self.dropped.append(address)
            self.texts.add(str(refusal))
            assert refusal.limit == "max_waiting"

        return self.pending.enter(address, drop)


def test_each_source_has_its_share() -> None:
    """A seventeenth connection from one address is refused; one from another is not."""
    crowd = Crowd()
    places = [crowd.enter(at(1)) for _ in range(16)]
    with pytest.raises(TooManyPending, match=r"^16 connections waiting for login$") as caught:
        crowd.enter(at(1))
    assert caught.value.limit == "max_waiting_each"
    crowd.enter(at(2))
    places[0].leave()
    crowd.enter(at(1))
    assert len(crowd.pending) == 17
    assert crowd.dropped == []


def test_all_have_a_limit() -> None:
    """The 257th comes in, and one of those that were there is dropped for it."""
    crowd = Crowd()
    places = [crowd.enter(at(number << 8)) for number in range(256)]
    places.append(crowd.enter(at(999 << 8, "203.0")))
    assert len(crowd.pending) == 256
    assert crowd.dropped == [at(0)]
    assert crowd.texts == {"256 connections waiting for login"}
    for place in places:
        place.leave()
        place.leave()
    assert len(crowd.pending) == 0
    assert not crowd.pending._by_source
    assert not crowd.pending._by_network


@pytest.mark.parametrize("dice", [0.0, 0.5, 0.99, 1.0])
def test_the_source_with_the_most(dice: float) -> None:
    """Who is dropped is one of the address that has the most, whatever chance says."""
    crowd = Crowd(lambda: dice, max_waiting=10)
    for number, count in ((1, 3), (2, 4), (3, 2), (4, 1)):
        for _ in range(count):
            crowd.enter(at(number))
    crowd.enter(at(5))
    assert crowd.dropped == [at(2)]
    crowd.enter(at(6))
    assert crowd.dropped[1] in (at(1), at(2))
    assert len(crowd.pending) == 10


def test_a_newcomer_of_the_fullest_source() -> None:
    """A source that has the most gets no more by coming again: the newcomer may be the one."""
    lucky, unlucky = (Crowd(lambda chance=chance: chance, max_waiting=4) for chance in (0.0, 1.0))
    for crowd in (lucky, unlucky):
        for number in (1, 1, 1, 2):
            crowd.enter(at(number))
    lucky.enter(at(1))
    assert lucky.dropped == [at(1)]
    with pytest.raises(TooManyPending, match=r"^4 connections waiting for login$") as caught:
        unlucky.enter(at(1))
    assert caught.value.limit == "max_waiting"
    assert unlucky.dropped == []
    assert len(lucky.pending) == len(unlucky.pending) == 4


@pytest.mark.parametrize("dice", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("crowded", "others"),
    [
        ([at(number, "203.0") for number in range(6)], [at(number << 8) for number in range(4)]),
        (
            [IPv6Address("TCP", f"2001:db8:1:{number:x}::1", 1) for number in range(6)],
            [IPv6Address("TCP", f"2001:db8:{number:x}::1", 1) for number in range(2, 6)],
        ),
    ],
)
def test_the_network_with_the_most(crowded: list[Any], others: list[Any], dice: float) -> None:
    """Among addresses that have as many, those of one network together are one source."""
    crowd = Crowd(lambda: dice, max_waiting=10)
    for address in crowded + others:
        crowd.enter(address)
    crowd.enter(at(7 << 8, "192.0"))
    assert crowd.dropped[0] in crowded


def test_addresses_of_one_ipv6_network() -> None:
    """An IPv6 network of 64 bits is one source, however many addresses it uses."""
    crowd = Crowd(max_waiting=6)
    for number in range(4):
        crowd.enter(IPv6Address("TCP", f"2001:db8::{number:x}", 1))
    for _ in range(2):
        crowd.enter(at(1))
    crowd.enter(at(2))
    assert crowd.dropped == [IPv6Address("TCP", "2001:db8::0", 1)]


LOCAL = [UNIXAddress(""), PipeAddress()]


@pytest.mark.parametrize("local", LOCAL)
def test_sources_without_a_host(local: Any) -> None:
    """A UNIX socket is no source that could have more than its share."""
    crowd = Crowd()
    for _ in range(200):
        crowd.enter(local)
    assert len(crowd.pending) == 200


@pytest.mark.parametrize("dice", [0.0, 1.0])
@pytest.mark.parametrize("local", LOCAL)
def test_they_do_not_starve(local: Any, dice: float) -> None:
    """Up to half of the lobby is safe for connections without a source, whatever others do."""
    crowd = Crowd(lambda: dice, max_waiting=20)
    for number in range(20):
        crowd.enter(at(number))
    for _ in range(10):
        crowd.enter(local)
    for number in range(100):
        try:
            crowd.enter(at(number % 30))
        except TooManyPending:
            continue
    assert local not in crowd.dropped
    assert len(crowd.pending) == 20


@pytest.mark.parametrize("dice", [0.0, 1.0])
@pytest.mark.parametrize("local", LOCAL)
def test_they_do_not_starve_others(local: Any, dice: float) -> None:
    """Beyond half of the lobby they are the first to be dropped."""
    crowd = Crowd(lambda: dice, max_waiting=20)
    for _ in range(20):
        crowd.enter(local)
    with pytest.raises(TooManyPending) if dice else _nothing():
        crowd.enter(local)
    before = len(crowd.dropped)
    for number in range(10):
        crowd.enter(at(number))
    assert crowd.dropped[before:] == [local] * 10


class _nothing:
    """A block in which nothing is expected."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *exc: object) -> None:
        """End."""


def flooded(seed: int, sources: list[Any], honest: Any, login: float, rate: float) -> bool:
    """Return whether a client gets in during a flood, on simulated time.

    Each source opens so many connections a second. The client comes when the lobby is full, waits
    ``login`` seconds to be let in, and tries again after each drop for a second.
    """
    dice = random.Random(seed)
    crowd = PendingConnections(STRICT, dice.random)
    now, ends = 0.0, 1.5
    events: list[tuple[float, int, Any]] = [
        (dice.random() / rate, number, source) for number, source in enumerate(sources)
    ]
    events.append((0.5, -1, honest))
    heapq.heapify(events)
    state = {"since": None, "place": None}

    def lost(refusal: Any) -> None:
        state["since"] = None
        heapq.heappush(events, (now + 0.01, -1, honest))

    while events:
        now, number, source = heapq.heappop(events)
        if state["since"] is not None and now - state["since"] >= login:
            return True
        if now > ends:
            return False
        if number >= 0:
            heapq.heappush(events, (now + 1 / rate, number, source))
        try:
            if number >= 0:
                crowd.enter(source)
            else:
                state["since"] = now
                crowd.enter(source, lost)
        except TooManyPending:
            if number < 0:
                lost(None)
    return False


FLOODS = {
    "twenty addresses": [at(number << 8) for number in range(20)],
    "twenty of one network": [at(number) for number in range(20)],
    "a whole network": [at(number) for number in range(256)],
    "an IPv6 site": [IPv6Address("TCP", f"2001:db8:0:{number:x}::1", 1) for number in range(300)],
    "local connections": [UNIXAddress("")] * 20,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize(
    "honest", [at(1, "203.0"), IPv6Address("TCP", "2001:db8:ffff::1", 1)], ids=["IPv4", "IPv6"]
)
def test_an_honest_client_gets_in(flood: str, honest: Any) -> None:
    """Within a second a client from elsewhere is let in, whoever floods with reconnects."""
    rate = 2000 / len(FLOODS[flood])
    assert all(flooded(seed, FLOODS[flood], honest, 0.2, rate) for seed in range(5))
