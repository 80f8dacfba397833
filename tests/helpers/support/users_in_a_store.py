"""Users in a store, and what a checker answers to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cred.error import UnauthorizedLogin
from cred.passwords import Profile, hash_password
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker

__all__ = ["CHEAP", "HASH", "SCRAM_VERIFIER", "STAFF", "Outcome", "refusal"]

Outcome = Callable[[Any], Any]

CHEAP = Profile(64, 1, 1)
HASH = hash_password("wonderland", CHEAP)
SCRAM_VERIFIER = ScramVerifier.of_password("wonderland", 4096)
STAFF = frozenset({"staff"})


def refusal(outcome: Outcome, checker: StoreChecker, credentials: Any) -> tuple[str, str]:
    """Return what the peer gets to read, and what the log, of a wrong login."""
    with pytest.raises(UnauthorizedLogin) as caught:
        outcome(checker.requestAvatarId(credentials))
    assert type(caught.value) is UnauthorizedLogin
    return str(caught.value), caught.value.reason
