"""Fixtures of these tests."""

from __future__ import annotations

import pytest
from support.tls_link import Link

from broker.net.tls.settings import TLS


@pytest.fixture
def link(client_tls: TLS, server_tls: TLS) -> Link:
    """Two ends after a handshake."""
    return Link(client_tls.filter("localhost"), server_tls.filter()).carry()
