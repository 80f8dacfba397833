"""Who is at the other end, and who is calling; running methods are in ``test_results``."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import pytest
from support.memory import BrokerPair

from broker.connection.peer import CURRENT_CALL, Call, Peer, current_call
from broker.flavors.referenceable import Root


class House(Root):
    """Keeps what it was told."""

    seen: Any = None

    def remote_look(self) -> None:
        """Keep who is calling."""
        type(self).seen = current_call()


def test_a_peer_at_first() -> None:
    """Nothing is known of a peer until it connects and logs in."""
    peer = Peer()
    seen = (peer.address, peer.avatar_id, peer.mechanism, peer.certificate)
    assert seen == (None, None, None, None)


def test_outside_of_a_method() -> None:
    """Nobody is calling; the text says where to ask."""
    with pytest.raises(LookupError, match="current_call\\(\\) is for remote methods") as caught:
        current_call()
    assert caught.value.__cause__ is None


def test_inside_of_a_method() -> None:
    """The call knows the peer and the connection that it came over."""
    pair = BrokerPair(House())
    pair.call("look")
    assert House.seen.peer is pair.server.peer
    assert House.seen.connection is pair.server.connection
    assert House.seen.peer.address == "the client"


def test_a_context_of_ones_own() -> None:
    """The current call is an ordinary context variable."""
    call = Call(Peer("somewhere"), "connection")  # type: ignore[arg-type]
    context = copy_context()
    context.run(CURRENT_CALL.set, call)
    assert context.run(current_call) is call
