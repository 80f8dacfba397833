"""Lists the public modules that have a page in the reference of the names."""

from __future__ import annotations

__all__ = ["API"]

TWISTED = (
    "adbapi asyncioreactor base basic components endpoints error interfaces log main process"
    " protocol service ssl stdio strports task threadpool threads typed unix"
)
API = {
    "broker": ["broker", "broker.errors", "broker.blocking", "broker.testing"],
    "cred and jelly": [
        *["cred", "cred.checkers", "cred.credentials", "cred.error", "cred.interfaces"],
        *["cred.portal", "cred.strcred", "cred.users", "jelly", "jelly.banana", "jelly.interfaces"],
    ],
    "Names of Twisted": [
        *["broker.pb", "broker.defer", "broker.failure", "broker.reactor"],
        *[f"broker.reactor.{name}" for name in TWISTED.split()],
    ],
}
"""The modules that have a page, in groups."""
