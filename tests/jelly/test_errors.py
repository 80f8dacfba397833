"""The tree of errors: what each is, so that the natural ``except`` catches it."""

from __future__ import annotations

import pytest

from jelly import errors


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (errors.CannotJelly, (errors.EncodeError, TypeError)),
        (errors.TooLarge, (errors.EncodeError, ValueError)),
        (errors.MalformedJelly, (errors.DecodeError, ValueError)),
        (errors.InsecureJelly, (errors.DecodeError,)),
        (errors.BananaError, (errors.ProtocolError,)),
        (errors.LimitExceeded, (errors.BananaError, ValueError)),
    ],
)
def test_leaves(error: type, bases: tuple[type, ...]) -> None:
    """A class without subclasses has a base for the side at fault, and a builtin base."""
    for base in (*bases, errors.JellyError):
        assert issubclass(error, base)


def test_faults_are_kept_apart() -> None:
    """No error belongs to two of the kinds: local value, received value, protocol."""
    kinds = [errors.EncodeError, errors.DecodeError, errors.ProtocolError]
    for one in kinds:
        assert not any(issubclass(one, other) for other in kinds if other is not one)
