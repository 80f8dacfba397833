"""Terms: what is read, what is sent, and that a sender keeps to them."""

from __future__ import annotations

import pytest
from support.memory import ROOT, SessionPair

from broker.core.policy import STRICT
from broker.core.wire.dialects import MSGPACK
from broker.core.wire.messages import Version
from broker.core.wire.msgpack.writer import FrameWriter
from broker.core.wire.terms import (
    BASELINE,
    LEAST_FRAME,
    LEAST_NODES,
    Serving,
    Taken,
    Terms,
    read_terms,
    terms_of,
)
from broker.flavors.referenceable import Root
from jelly.errors import TooLarge
from jelly.limits import Limits


class Server(Root):
    """Returns what it gets."""

    def remote_size(self, value: str) -> int:
        """Return the length of a text."""
        return len(value)


@pytest.mark.parametrize(
    ("sent", "terms"),
    [
        (None, BASELINE),
        ({}, BASELINE),
        ({"later": 5}, BASELINE),
        ({"frame": 70_000, "later": 5}, Terms(frame=70_000)),
        ({"frame": 1, "nodes": 1}, Terms(frame=LEAST_FRAME, nodes=LEAST_NODES)),
        ({"streams": 0, "once": 120, "instance": 7}, Terms(streams=0, once=120, instance=7)),
    ],
)
def test_reading(sent: dict[str, int] | None, terms: Terms) -> None:
    """Unknown names are ignored, missing ones have the baseline, and a login always fits."""
    assert read_terms(sent) == terms


def test_sending() -> None:
    """Only what differs from the baseline is sent; this version takes no promises."""
    usual = Taken(BASELINE.streams, BASELINE.items, BASELINE.window, 64)
    assert terms_of(Limits(), usual) == {"promised": 64}
    more = {"streams": 64, "items": 256, "window": 262_144}
    assert terms_of(Limits(), Taken(64, 256, 262_144, 64)) == {**more, "promised": 64}
    small = terms_of(Limits(max_expression=100, max_nodes=5_000), usual)
    assert small == {"frame": LEAST_FRAME, "nodes": 5_000, "promised": 64}
    assert read_terms(small).nodes == 5_000


def pair_of(client: Limits, server: Limits) -> SessionPair:
    """Return a pair whose ends have different limits."""
    return SessionPair(
        Server(),
        policy=STRICT.but(limits=server),
        client_policy=STRICT.but(limits=client),
        offered=(MSGPACK,),
    )


def test_a_value_that_the_peer_does_not_take() -> None:
    """The sender refuses it and writes nothing; the connection lives."""
    pair = pair_of(Limits(), Limits(max_expression=100_000, max_nodes=100_000))
    assert pair.client.outbox.terms.frame == 100_000
    with pytest.raises(
        TooLarge, match=r"^expression of 1000\d\d bytes; the peer takes 100000 \(frame\)"
    ) as caught:
        pair.client.outgoing.call(ROOT, "size", ("x" * 100_000,), {})
    assert (caught.value.limit, caught.value.most) == ("frame", 100_000)
    assert pair.client.data_to_send() == b""
    assert pair.call("size", "x" * 90_000) == 90_000


def test_elements_that_the_peer_does_not_take() -> None:
    """The same for the number of elements."""
    pair = pair_of(Limits(), Limits(max_nodes=5_000))
    with pytest.raises(TooLarge, match=r"of more than 5000 elements, which the peer takes"):
        pair.client.outgoing.call(ROOT, "size", ([1] * 6_000,), {})
    assert pair.call("size", "x") == 1


def test_more_than_the_baseline() -> None:
    """A larger limit at both ends holds once the terms have come, and not before."""
    large = Limits(max_expression=40_000_000, max_string=40_000_000)
    pair = pair_of(large, large)
    assert pair.client.outbox.terms.frame == 40_000_000
    writer = FrameWriter(large, BASELINE)
    with pytest.raises(TooLarge, match=r"the peer takes 16777216 \(frame\)"):
        writer.answer(1, "x" * 16_777_216)
    assert writer.answer(1, "x") is not None
    assert FrameWriter(large).answer(1, "x" * 16_777_216) is not None


def test_own_limits_come_first() -> None:
    """The smaller of the own limit and the term is the one in the error."""
    writer = FrameWriter(Limits(max_expression=100), Terms(frame=200_000))
    with pytest.raises(TooLarge, match="max_expression 100"):
        writer.answer(1, "x" * 200)


def test_the_version() -> None:
    """The terms are in the version of msgpack/1, and PB's dialects have none."""
    assert FrameWriter(Limits()).write(Version(6)) == bytes.fromhex("00000003920006")
    data = MSGPACK.version(Limits(), Taken(0, BASELINE.items, BASELINE.window, 64))
    assert data == FrameWriter(Limits()).write(Version(6, {"streams": 0, "promised": 64}))


def test_the_terms_of_a_server() -> None:
    """It tells the number of its run, and how long it keeps replies; a client tells neither."""
    taken = Taken(BASELINE.streams, BASELINE.items, BASELINE.window, 16)
    assert terms_of(Limits(), taken) is None
    told = terms_of(Limits(), taken, Serving(120, (1 << 63) - 1))
    assert told == {"once": 120, "instance": (1 << 63) - 1}
    assert terms_of(Limits(), taken, Serving(0, 0)) == {"instance": 0}
    read = read_terms(told)
    assert (read.once, read.instance) == (120, (1 << 63) - 1)
    assert (BASELINE.once, BASELINE.instance) == (0, None)
