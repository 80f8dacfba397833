"""One program, two worlds: the first argument tells where its names come from.

``twisted`` takes them from Twisted, ``ours`` from this project, by the table that a program is
ported with. It is the only place where the programs of this folder depend on the world.
"""

from __future__ import annotations

import sys

__all__ = [
    "call_soon",
    "checkers",
    "cred_error",
    "credentials",
    "defer",
    "jelly",
    "pb",
    "portal",
    "reactor",
    "register",
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


def call_soon(function, *args, **kw):
    """Call the function in the next turn of the loop."""
    reactor.callLater(0, function, *args, **kw)


def register(cls, name=None):
    """Let copies that come in under a class name, that of the class itself unless given, be it."""
    pb.setUnjellyableForClass(name or cls, cls)
