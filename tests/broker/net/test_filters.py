"""The interface of a filter: the defaults, and that TLS has it."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import ConnectionLost
from broker.net.filters import Filter
from broker.net.tls.filter import TLSFilter


class Bare(Filter):
    """A filter that defines nothing."""

    name = "bare"
    error = ConnectionLost


def test_defaults() -> None:
    """A filter has no handshake, no close message and no encryption if it does not say so."""
    bare = Bare()  # type: ignore[abstract]
    assert (bare.is_open, bare.peer_closed, bare.failure, bare.is_server) == (
        True,
        False,
        None,
        False,
    )
    assert (bare.has_close, bare.is_secure, bare.purpose) == (False, False, "")
    assert (bare.peer_certificate, bare.verified_chain, bare.channel_binding()) == (None, (), None)
    bare.close()
    bare.shrink()
    for call in (lambda: bare.receive(b""), lambda: bare.send(b""), bare.data_to_send):
        with pytest.raises(NotImplementedError):
            call()


def test_tls(client_tls: Any) -> None:
    """TLS is a filter with a handshake, a close message and encryption."""
    link = client_tls.filter("localhost")
    assert isinstance(link, TLSFilter)
    assert (link.name, link.has_close, link.is_secure) == ("TLS", True, True)
    assert (link.is_open, link.peer_closed, link.failure, link.is_server) == (
        False,
        False,
        None,
        False,
    )
