"""Tells how a program fixes the cause of an error; the error has the key of the fix.

The text of the error shows the code of a program. The command line shows its own options instead:
``broker.commands.wording`` selects them by the key, and never searches the text.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeVar

__all__ = ["FIXES", "Fix", "fixed_by"]


class Fix(NamedTuple):
    """A way to fix the cause of an error.

    Attributes:
        setting: the name of the argument or setting.
        text: what a program has to do.
    """

    setting: str
    text: str


FIXES: Final = MappingProxyType(
    {
        "tls or plaintext": Fix(
            "insecure_plaintext",
            "use pbs:// and pass tls=…, or Policy(insecure_plaintext=True)",
        ),
        "wss or plaintext": Fix(
            "insecure_plaintext",
            "use wss:// and pass tls=…, or Policy(insecure_plaintext=True)",
        ),
        "plaintext": Fix("insecure_plaintext", "Policy(insecure_plaintext=True)"),
        "challenge login": Fix("challenge_login", "Policy(challenge_login=True)"),
        "server certificate": Fix("tls", "pass tls=TLS.server(certificate, key)"),
        "no certificate": Fix("tls", "tls= is for"),
        "ca": Fix("ca", "pass tls=TLS.client(ca=…)"),
        "ca or pin": Fix("pin", "give ca= or pin="),
        "certificate and key": Fix("key", "both certificate= and key="),
        "credentials": Fix("credentials", "pass credentials to connect"),
        "no credentials": Fix("credentials", "connect without credentials"),
    }
)


class HasFix(Protocol):
    """An error that has a fix.

    Attributes:
        setting: the setting of the `Fix`; empty without a fix.
        fix: the key in `FIXES`; empty without a fix.
        parts: the text of the error before the text of the fix, and after it.
    """

    setting: str
    fix: str
    parts: tuple[str, str]


Fixed = TypeVar("Fixed", bound=HasFix)


def fixed_by(kind: Callable[[str], Fixed], before: str, fix: str, after: str = "") -> Fixed:
    """Return an error of the given class that has a fix.

    Args:
        kind: the class of the error.
        before: the text of the error before the text of the fix.
        fix: a key of `FIXES`.
        after: the text of the error after it.

    Raises:
        KeyError: there is no such fix.
    """
    row = FIXES[fix]
    error = kind(f"{before}{row.text}{after}")
    error.setting, error.fix, error.parts = row.setting, fix, (before, after)
    return error
