"""Twisted's own programs on Perspective Broker: which of their tests do not pass here, and why."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["REASONS", "section"]

REASONS: dict[str, dict[str, str]] = {
    "twisted.web.test.test_distrib": {
        "test_connectionLost": (
            "It sends an object that cannot be sent, and looks for the peer's error in Twisted's"
            " log. The call fails before anything is sent, with `CannotJelly`, which is what the"
            " page shows; and errors go to the standard library's `logging`."
        ),
    },
    "twisted.words.test.test_service": {},
}
"""By module, by test; `make field` fails if another test fails, or if one of these passes."""


def section() -> Iterator[str]:
    """Return the section of the page."""
    yield (
        "## Twisted's own programs\n\n"
        "`twisted.web.distrib` and `twisted.words.service`, with their imports of `twisted.spread`,"
        " `twisted.cred`, `defer` and `failure` moved, pass Twisted's tests of them, as"
        " [`make field`](../testing/field.md) shows, but for these.\n\n"
        "| test | why it does not pass |\n|---|---|\n"
    )
    for module, reasons in REASONS.items():
        for test, why in reasons.items():
            yield f"| `{module}`: `{test}` | {why} |\n"
