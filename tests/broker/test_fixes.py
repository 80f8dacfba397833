"""Tests of the fixes of errors, in texts for programs and for the command line."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import broker
from broker.commands.wording import OPTIONS, in_words
from broker.errors import ConfigError, TLSError, WrongType
from broker.fixes import FIXES, fixed_by
from broker.flavors.rebuilt import rebuilt
from cred.error import LoginFailed


def test_each_has_its_option() -> None:
    """The command line has a text for each fix, and no others."""
    assert set(OPTIONS) == set(FIXES)


@pytest.mark.parametrize("kind", [ConfigError, LoginFailed, TLSError])
@pytest.mark.parametrize("fix", FIXES)
def test_both_texts(kind: Any, fix: str) -> None:
    """Both texts of an error have the fix in the same place, and the rest is the same."""
    error = fixed_by(kind, "before ", fix, " after")
    assert type(error) is kind
    assert (error.setting, error.fix) == (FIXES[fix].setting, fix)
    assert str(error) == f"before {FIXES[fix].text} after"
    assert in_words(error) == f"before {OPTIONS[fix]} after"
    again = pickle.loads(pickle.dumps(error))
    assert in_words(again) == in_words(error)


@pytest.mark.parametrize("kind", [ConfigError, WrongType, LoginFailed, TLSError])
def test_a_text_alone(kind: Any) -> None:
    """An error that is made from a text alone is shown unchanged, whatever the text is."""
    error = kind("allow it with Policy(challenge_login=True)")
    assert (error.setting, error.fix) == ("", "")
    assert in_words(error) == str(error)


def test_what_a_peer_says_is_not_changed() -> None:
    """An error that is made from a peer's text has no fix."""
    error = rebuilt(LoginFailed, "pass credentials to connect", {"fix": "credentials"})
    assert error is not None
    assert (error.fix, in_words(error)) == ("", "pass credentials to connect")


@pytest.mark.parametrize(
    ("make", "setting", "told"),
    [
        (
            lambda: broker.serve(broker.Root(), "pb://0.0.0.0:0"),
            "insecure_plaintext",
            "listening on 0.0.0.0 without TLS; use pbs:// with --tls-cert and --tls-key, or"
            " --insecure-plaintext",
        ),
        (
            lambda: broker.serve(broker.Root(), "pbs://127.0.0.1:0"),
            "tls",
            "pbs://127.0.0.1:0 needs a certificate: give --tls-cert and --tls-key",
        ),
        (
            lambda: broker.TLS.client(ca=b"", pin=bytes(32)),
            "pin",
            "give --ca or --pin, not both: a pin replaces the CA",
        ),
        (
            lambda: broker.TLS.client(key=b""),
            "key",
            "a client certificate needs both --cert and --key",
        ),
    ],
)
def test_settings(make: Any, setting: str, told: str) -> None:
    """The command line names its options for settings that are unsafe or contradictory."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.setting == setting
    assert in_words(caught.value) == told
