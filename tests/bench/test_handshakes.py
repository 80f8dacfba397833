"""The measurement of handshakes: each kind is measured as what it is."""

from __future__ import annotations

from bench.handshakes import EC, EC_RESUMED, RSA, RSA_RESUMED, measure


def test_all_kinds() -> None:
    """A round of it has a figure for each kind; that sessions are resumed is checked there."""
    found = measure(rounds=1, handshakes=2)
    assert set(found) == {RSA, RSA_RESUMED, EC, EC_RESUMED}
    assert min(found.values()) > 0
