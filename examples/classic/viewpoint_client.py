"""Views: the client, two users who call the same object. Pass it the server's port."""

import sys

from broker import defer, pb, reactor
from cred.credentials import UsernamePassword


@defer.inlineCallbacks
def dine():
    guests = []
    for name, password in ((b"alice", b"1"), (b"bob", b"2")):
        factory = pb.PBClientFactory()
        reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
        guests.append((yield factory.login(UsernamePassword(name, password))))
        menu = yield guests[-1].callRemote("menu")
        for dish in ("soup", "steak"):
            print((yield menu.callRemote("price", dish)))
    reactor.stop()


dine()
reactor.run()
