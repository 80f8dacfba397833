"""The measurements of logins that fail: they run, and measure what they say."""

from __future__ import annotations

from bench.logins import by_password, by_scram, measure_flood, measure_timing

from cred.passwords import Profile, hash_password
from cred.scram_verifier import ScramVerifier


async def test_times_of_refusals() -> None:
    """Each way of failing takes some time, for a user who exists and for one who does not."""
    password = await measure_timing(by_password, hash_password("x", Profile(64, 1, 1)), 3)
    scram = await measure_timing(by_scram, str(ScramVerifier.of_password("x", 10_000)), 3)
    for medians in (password, scram):
        assert set(medians) == {"known", "unknown"}
        assert min(medians.values()) > 0


def test_calls_during_a_flood() -> None:
    """A client that is in has its calls answered while another process guesses passwords."""
    found = measure_flood(2, 0.5, True)
    assert 0 < found["p50"] <= found["p99"] <= found["longest"]
    assert found["rate"] > 0
