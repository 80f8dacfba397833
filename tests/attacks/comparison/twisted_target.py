"""A server of Twisted's to be attacked: a root, and a portal; says its ports, logs into a file."""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.cred import checkers, portal
from twisted.internet import reactor
from twisted.python import log
from twisted.spread import pb
from zope.interface import implementer


class Root(pb.Root):
    """What is attacked."""

    def remote_echo(self, value: Any) -> Any:
        """Give it back."""
        return value

    def remote_pair(self, first: Any, second: Any) -> None:
        """Take two."""

    def remote_whole(self, value: Any) -> int:
        """Make an int of a number."""
        return int(value)

    def remote_kind(self, value: Any) -> bytes:
        """Say what is in the list that was given."""
        return type(value[0]).__name__.encode("ascii")

    def remote_book(self) -> bytes:
        """Give half a megabyte."""
        return bytes(500_000)

    def remote_fall(self) -> None:
        """Raise."""
        raise ValueError("the password of the database is secret")


@implementer(portal.IRealm)
class Realm:
    """Lets in."""

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Make an avatar."""
        return pb.IPerspective, pb.Avatar(), lambda: None


log.startLogging(open(sys.argv[1], "w"), setStdout=False)  # noqa: SIM115 - as long as it runs
checker = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
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
