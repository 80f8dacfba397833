"""Checks the arguments that serve and connect have in common."""

from __future__ import annotations

from broker.core.policy import Policy
from broker.errors import WrongType
from broker.net.tls.settings import TLS

__all__ = ["check_flags", "check_given"]


def check_given(policy: object, tls: object) -> None:
    """Check that these are a Policy, and a TLS or None.

    Raises:
        WrongType: they are not.
    """
    if not isinstance(policy, Policy):
        raise WrongType(
            f"policy= is a Policy, such as STRICT.but(max_calls=10), not {_kind(policy)}"
        )
    if tls is not None and not isinstance(tls, TLS):
        raise WrongType(
            f"tls= is what TLS.server(certificate, key) or TLS.client() returns, not {_kind(tls)}"
        )


def check_flags(**flags: object) -> None:
    """Check that each of these arguments is True or False.

    Raises:
        WrongType: one is not.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise WrongType(f"{name}= is True or False, not {type(value).__name__}")


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
