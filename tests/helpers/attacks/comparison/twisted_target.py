"""A Twisted server to be attacked: a root, and a portal; prints its ports, logs to a file.

Its arguments are those of this library's server; it can serve only these two.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.cred import checkers, portal
from twisted.internet import reactor
from twisted.python import log
from twisted.spread import pb
from zope.interface import implementer

from attacks.comparison.methods import Methods, State


class Root(Methods, pb.Root):
    """The attacked object."""


class Point(State, pb.Copyable, pb.RemoteCopy):
    """A copy of a peer."""


@implementer(portal.IRealm)
class Realm:
    """Accepts every login."""

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Make an avatar."""
        return pb.IPerspective, pb.Avatar(), lambda: None


log.startLogging(open(sys.argv[1], "w"), setStdout=False)  # noqa: SIM115 - as long as it runs
pb.setUnjellyableForClass("demo.Point", Point)
checker = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret", bob=b"hidden")
factories = {
    "root": pb.PBServerFactory(Root()),
    "portal": pb.PBServerFactory(portal.Portal(Realm(), [checker])),
}
ports = {
    name: reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
    for name, factory in factories.items()
}
print(json.dumps(ports), flush=True)
reactor.run()
