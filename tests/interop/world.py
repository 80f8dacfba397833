"""One program, two worlds: the first argument tells where its names come from.

``twisted`` takes them from Twisted, ``ours`` from this project, by the table that a program is
ported with. It is the only place where the programs of this folder depend on the world.
"""

from __future__ import annotations

import sys

__all__ = [
    "checkers",
    "cred_error",
    "credentials",
    "defer",
    "jelly",
    "pb",
    "portal",
    "reactor",
    "util",
]

if sys.argv[1] == "twisted":
    from twisted.cred import checkers, credentials, portal
    from twisted.cred import error as cred_error
    from twisted.internet import defer, reactor
    from twisted.spread import jelly, pb, util
else:
    import jelly
    from broker import defer, pb, reactor
    from broker import pb as util
    from cred import checkers, credentials, portal
    from cred import error as cred_error
