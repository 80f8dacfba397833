"""Rewords errors for the command line: their texts are written for programs, or by peers."""

from __future__ import annotations

from broker.printable import printable, text_of_error

__all__ = ["LONGEST_TEXT", "OPTIONS", "in_words", "shown"]

LONGEST_TEXT = 4096

# The text of each fix for the command line, by the keys of broker.fixes.
OPTIONS = {
    "tls or plaintext": "use pbs:// with --tls-cert and --tls-key, or --insecure-plaintext",
    "wss or plaintext": "use wss:// with --tls-cert and --tls-key, or --insecure-plaintext",
    "plaintext": "--insecure-plaintext",
    "challenge login": "--challenge-login",
    "server certificate": "give --tls-cert and --tls-key",
    "no certificate": "certificates are for",
    "ca": "give --ca",
    "ca or pin": "give --ca or --pin",
    "certificate and key": "both --cert and --key",
    "credentials": "log in with --user, --token-file, --cert or --anonymous",
    "no credentials": ("omit --user, --token-file and --anonymous, and add --no-login to --cert"),
}


def in_words(error: BaseException) -> str:
    """Return the text of an error, or else its type, in one printable line."""
    fix = getattr(error, "fix", "")
    if fix:
        before, after = error.parts  # type: ignore[attr-defined]
        return shown(f"{before}{OPTIONS[fix]}{after}")
    return shown(text_of_error(error, LONGEST_TEXT)) or type(error).__name__


def shown(text: str, most: int = LONGEST_TEXT) -> str:
    """Return text, which a peer may have sent, as one line that is safe to print at a terminal.

    Args:
        text: any text.
        most: the maximum length of the result in bytes of UTF-8.
    """
    return printable(text, most, is_ascii=False)
