"""Guest login: the server, which accepts every guest, and no user name."""

from zope.interface import implementer

from broker import pb, reactor
from cred import checkers, portal


class Guest(pb.Avatar):
    def __init__(self, name):
        self.name = name or "somebody"

    def perspective_enter(self):
        print(self.name, "comes in")
        return f"welcome, {self.name}"


@implementer(portal.IRealm)
class Museum:
    def requestAvatar(self, avatarId, mind, *interfaces):
        return pb.IPerspective, Guest(avatarId), reactor.stop


factory = pb.PBServerFactory(portal.Portal(Museum(), [checkers.AllowAnonymousAccess()]))
print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
reactor.run()
