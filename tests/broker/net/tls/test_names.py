"""Whether a certificate is for a host."""

from __future__ import annotations

import pytest

from broker.net.tls.names import describe, is_for_host


@pytest.mark.parametrize(
    ("name", "host", "accepted"),
    [
        ("broker.example", "broker.example", True),
        ("Broker.Example", "bROKER.eXAMPLE", True),
        ("broker.example", "broker.example.", True),
        ("broker.example", "evil.example", False),
        ("broker.example", "a.broker.example", False),
        ("broker.example", "roker.example", False),
        ("*.broker.example", "a.broker.example", True),
        ("*.broker.example", "broker.example", False),
        ("*.broker.example", "a.b.broker.example", False),
        ("*.broker.example", ".broker.example", False),
        ("*.example", "broker.example", False),
        ("*", "localhost", False),
        ("a*.broker.example", "ab.broker.example", False),
        ("b.*.example", "b.c.example", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("fe80::1", "fe80::1%eth0", True),
        ("*.0.0.1", "127.0.0.1", False),
    ],
)
def test_names(authority, name: str, host: str, accepted: bool) -> None:
    """One name matches one host: exactly, by a whole leftmost label, or as an address."""
    assert is_for_host(authority.issue([name]).certificate, host) is accepted


def test_common_name_never_counts(authority) -> None:
    """A certificate without alternative names is for no host, but is named by its subject."""
    certificate = authority.issue([], common_name="broker.example").certificate
    assert not is_for_host(certificate, "broker.example")
    assert describe(certificate) == "broker.example"


def test_describe(authority) -> None:
    """At most three names are returned; long and strange ones are made safe for a log."""
    names = ["a.example", "127.0.0.1", "b.example", "c.example"]
    certificate = authority.issue(names).certificate
    assert describe(certificate) == "a.example, b.example, c.example, …"
    assert describe(certificate, 1) == "a.example"
    strange = authority.issue([], common_name="x\ny\x1b").certificate
    assert describe(strange) == "x\\ny\\x1b"
    long = authority.issue(["a" * 60 + ".example"], common_name="long").certificate
    assert describe(long) == "a" * 60 + ".ex…"
