"""Views: the server, a restaurant where alice pays half. It stops after the last guest."""

from viewpoint_classes import Guest
from zope.interface import implementer

from broker import pb, reactor
from cred import checkers, portal


@implementer(portal.IRealm)
class Restaurant:
    def requestAvatar(self, avatarId, mind, *interfaces):
        guest = Guest(avatarId)
        print(guest.name, "sits down")
        return pb.IPerspective, guest, guest.leave


checker = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"1", bob=b"2")
factory = pb.PBServerFactory(portal.Portal(Restaurant(), [checker]))
print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
reactor.run()
