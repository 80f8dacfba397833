"""Login: the client, with a wrong password and then the right one. Pass it the port."""

import sys

from broker import defer, pb, reactor
from cred import credentials, error


def refused(failure):
    failure.trap(error.UnauthorizedLogin)
    print("the bank knows no such password")
    return factory.login(credentials.UsernamePassword(b"alice", b"sesame"))


@defer.inlineCallbacks
def visit():
    wrong = credentials.UsernamePassword(b"alice", b"open")
    account = yield factory.login(wrong).addErrback(refused)
    print((yield account.callRemote("deposit", 100)))
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
visit()
reactor.run()
