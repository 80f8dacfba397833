"""One program, several worlds: the first argument says where its names are imported from.

``twisted`` imports them from Twisted, ``ours`` from this project, by the table that a program is
ported with. ``face`` imports the flavors from ``broker`` itself, for the programs of the asyncio
API. This is the only place where the programs of this folder depend on the world.
"""

from __future__ import annotations

import asyncio
import functools
import sys

__all__ = [
    "call_soon",
    "checkers",
    "components",
    "cred_error",
    "credentials",
    "defer",
    "jelly",
    "log",
    "pb",
    "portal",
    "protocol",
    "reactor",
    "register",
    "register_error",
    "util",
]

WORLD = sys.argv[1]

if WORLD == "twisted":
    from twisted.cred import checkers, credentials, portal
    from twisted.cred import error as cred_error
    from twisted.internet import defer, protocol, reactor
    from twisted.python import components, log
    from twisted.spread import jelly, pb, util
elif WORLD == "ours":
    import jelly
    from broker import defer, pb, reactor
    from broker import pb as util
    from broker.reactor import components, log, protocol
    from cred import checkers, credentials, portal
    from cred import error as cred_error
else:
    import broker as pb
    import jelly
    from broker import defer
    from broker import pb as util
    from broker.reactor import log
    from cred import checkers, credentials, portal
    from cred import error as cred_error

    components = protocol = reactor = None


def call_soon(function, *args, **kw):
    """Call the function in the next turn of the loop."""
    if reactor is None:
        asyncio.get_running_loop().call_soon(functools.partial(function, *args, **kw))
    else:
        reactor.callLater(0, function, *args, **kw)


def register(cls, name=None):
    """Register a class of copies under a class name; default: its own name."""
    if WORLD == "face":
        pb.register(cls, name)
    else:
        pb.setUnjellyableForClass(name or cls, cls)


def register_error(cls):
    """Allow an exception class under every policy; Twisted allows all of them."""
    if WORLD == "face":
        pb.register(cls)
    return cls
