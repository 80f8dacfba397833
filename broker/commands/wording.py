"""The words of the command line for errors: their texts are made for programs, and by peers."""

from __future__ import annotations

from broker.printable import printable, text_of_error

__all__ = ["LONGEST_TEXT", "in_words", "shown"]

LONGEST_TEXT = 4096

# What a program would write, and what is written on the command line.
_OPTIONS = {
    "use pbs:// and pass tls=…, or Policy(insecure_plaintext=True)": (
        "use pbs:// with --tls-cert and --tls-key, or --insecure-plaintext"
    ),
    "Policy(insecure_plaintext=True)": "--insecure-plaintext",
    "Policy(challenge_login=True)": "--challenge-login",
    "pass tls=TLS.server(certificate, key)": "give --tls-cert and --tls-key",
    "pass tls=TLS.client(ca=…)": "give --ca",
    "pass credentials to connect": "say who you are by --user, --token-file, --cert or --anonymous",
    "tls= is for": "certificates are for",
    "connect without credentials": (
        "leave --user, --token-file and --anonymous out, and add --no-login to --cert"
    ),
    "give ca= or pin=": "give --ca or --pin",
    "both certificate= and key=": "both --cert and --key",
}


def in_words(error: BaseException) -> str:
    """Return what to tell about an error, in one printable line: its text, or else its type."""
    text = shown(text_of_error(error, LONGEST_TEXT))
    for ours, theirs in _OPTIONS.items():
        text = text.replace(ours, theirs)
    return text or type(error).__name__


def shown(text: str, most: int = LONGEST_TEXT) -> str:
    """Return text, which a peer may have made, as one line that is fit for a terminal.

    Args:
        text: any text.
        most: bytes of the result in UTF-8.
    """
    return printable(text, most, is_ascii=False)
