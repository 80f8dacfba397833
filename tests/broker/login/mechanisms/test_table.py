"""broker.login.mechanisms.table: what both ends look up in the table."""

from __future__ import annotations

from typing import Any

import pytest

from broker.login.mechanisms import MECHANISMS
from broker.login.mechanisms.scram import SCRAM_SHA_256, SCRAM_SHA_256_PLUS
from broker.login.mechanisms.table import MechanismTable
from broker.login.mechanisms.token import TOKEN
from cred.credentials import IBearerToken, ICredentials, IScramProof, IUsernamePassword


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        ([], []),
        ([IBearerToken], ["token"]),
        ([IUsernamePassword, IScramProof], ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "password"]),
        # A checker for a base interface takes every kind that extends it.
        ([ICredentials], [row.name for row in MECHANISMS.rows]),
    ],
)
def test_what_a_portal_checks(kinds: list[Any], names: list[str]) -> None:
    """A mechanism is there if one of its kinds of credentials has a checker, strongest first."""
    assert [row.name for row in MECHANISMS.checked_by(kinds)] == names


def test_mechanisms_that_begin_alike() -> None:
    """Both SCRAM mechanisms begin with one call, which the first of them implements."""
    table = MechanismTable([SCRAM_SHA_256, SCRAM_SHA_256_PLUS, TOKEN])
    assert table.first_calls == {"loginScram": SCRAM_SHA_256, "loginToken": TOKEN}
    assert table.mind_arguments == {"loginScram": None, "finish": 1, "loginToken": 1}


def test_known_names() -> None:
    """Of a peer's names those of the table are known, in its order."""
    assert MECHANISMS.named(("x", "anonymous", "token", "token")) == ["token", "anonymous"]
