"""Login: the server, with an account for each user with a password."""

from zope.interface import implementer

from broker import pb, reactor
from cred import checkers, portal


class Account(pb.Avatar):
    def __init__(self, owner):
        self.owner = owner.decode()

    def perspective_deposit(self, euros):
        print(f"{self.owner} brings {euros} euros")
        return f"thank you, {self.owner}"


@implementer(portal.IRealm)
class Bank:
    def requestAvatar(self, avatarId, mind, *interfaces):
        return pb.IPerspective, Account(avatarId), reactor.stop


checker = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame")
factory = pb.PBServerFactory(portal.Portal(Bank(), [checker]))
print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
reactor.run()
