"""A Twisted program of which only Perspective Broker and cred have been moved, or nothing.

The first argument is ``moved`` or ``twisted``. Reactor, Deferreds and services are Twisted's.
"""

import sys

__all__ = ["HOST", "SIZE", "checkers", "content", "credentials", "pb", "portal"]

if sys.argv[1] == "moved":
    from broker import pb
    from cred import checkers, credentials, portal
else:
    from twisted.cred import checkers, credentials, portal
    from twisted.spread import pb

HOST = "127.0.0.1"
SIZE = 300_000


def content(seed):
    """Return bytes of which all pieces differ."""
    return b"".join((seed + number).to_bytes(4, "big") for number in range(SIZE // 4))
