"""Rewords errors for the command line: their texts are written for programs, or by peers."""

from __future__ import annotations

from broker.printable import printable, text_of_error

__all__ = ["LONGEST_TEXT", "in_words", "shown"]

LONGEST_TEXT = 4096

# The words of a program's author, and those of the command line.
_OPTIONS = {
    "use pbs:// and pass tls=…, or Policy(insecure_plaintext=True)": (
        "use pbs:// with --tls-cert and --tls-key, or --insecure-plaintext"
    ),
    "Policy(insecure_plaintext=True)": "--insecure-plaintext",
    "Policy(challenge_login=True)": "--challenge-login",
    "pass tls=TLS.server(certificate, key)": "give --tls-cert and --tls-key",
    "pass tls=TLS.client(ca=…)": "give --ca",
    "pass credentials to connect": "log in with --user, --token-file, --cert or --anonymous",
    "tls= is for": "certificates are for",
    "connect without credentials": (
        "omit --user, --token-file and --anonymous, and add --no-login to --cert"
    ),
    "give ca= or pin=": "give --ca or --pin",
    "both certificate= and key=": "both --cert and --key",
}


def in_words(error: BaseException) -> str:
    """Return the text of an error, or else its type, in one printable line."""
    text = shown(text_of_error(error, LONGEST_TEXT))
    for ours, theirs in _OPTIONS.items():
        text = text.replace(ours, theirs)
    return text or type(error).__name__


def shown(text: str, most: int = LONGEST_TEXT) -> str:
    """Return text, which a peer may have sent, as one line that is safe to print at a terminal.

    Args:
        text: any text.
        most: the maximum length of the result in bytes of UTF-8.
    """
    return printable(text, most, is_ascii=False)
