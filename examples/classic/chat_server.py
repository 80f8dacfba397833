"""A chat: the server, a realm whose avatars have references to their users' windows."""

from chat_room import Member
from zope.interface import implementer

from broker import pb, reactor
from cred import checkers, portal


@implementer(portal.IRealm)
class House:
    def requestAvatar(self, avatarId, mind, *interfaces):
        member = Member(avatarId, mind)
        return pb.IPerspective, member, member.leave


checker = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"1", bob=b"2")
factory = pb.PBServerFactory(portal.Portal(House(), [checker]))
print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
reactor.run()
