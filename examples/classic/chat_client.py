"""A chat: the client, with two windows for alice and bob. Pass it the server's port."""

import sys

from broker import defer, pb, reactor
from cred.credentials import UsernamePassword


class Window(pb.Referenceable):
    def __init__(self, user):
        self.user = user

    def remote_show(self, sender, text):
        print(f"[{self.user}] {sender}: {text}")


@defer.inlineCallbacks
def chat():
    members = []
    for name, password, words in ((b"alice", b"1", "is anybody here?"), (b"bob", b"2", "I am!")):
        factory, window = pb.PBClientFactory(), Window(name.decode())
        reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
        members.append((yield factory.login(UsernamePassword(name, password), window)))
        yield members[-1].callRemote("say", words)
    reactor.stop()


chat()
reactor.run()
