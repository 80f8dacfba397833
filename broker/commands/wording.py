"""The words of the command line for errors: their texts are made for programs."""

from __future__ import annotations

from broker.printable import printable, text_of_value

__all__ = ["in_words"]

# What a program would write, and what is written on the command line.
_OPTIONS = {
    "use pbs:// and pass tls=…, or Policy(insecure_plaintext=True)": (
        "use pbs:// with --tls-cert and --tls-key, or --insecure-plaintext"
    ),
    "Policy(insecure_plaintext=True)": "--insecure-plaintext",
    "Policy(challenge_login=True)": "--challenge-login",
    "pass tls=TLS.server(certificate, key)": "give --tls-cert and --tls-key",
    "pass credentials to connect": "say who you are by --user, --token-file, --cert or --anonymous",
    "tls= is for": "certificates are for",
    "connect without credentials": (
        "leave --user, --token-file and --anonymous out, and add --no-login to --cert"
    ),
    "give ca= or pin=": "give --ca or --pin",
    "both certificate= and key=": "both --cert and --key",
}


def in_words(error: BaseException) -> str:
    """Return what to tell about an error: its text, or its type where it has none.

    It is one printable line of at most 2,000 bytes: a peer may have had a part in it.
    """
    text = printable(text_of_value(error, 2001), 2000, is_ascii=False)
    for ours, theirs in _OPTIONS.items():
        text = text.replace(ours, theirs)
    return text or type(error).__name__
