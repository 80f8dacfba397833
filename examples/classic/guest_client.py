"""Guest login: the client, which logs in with a name, fails, then without one. Pass it the port."""

import sys

from broker import defer, pb, reactor
from cred import credentials, error


def refused(failure):
    failure.trap(error.LoginFailed)
    print("guests only: no member is let in")
    return factory.login(credentials.Anonymous())


@defer.inlineCallbacks
def visit():
    member = credentials.UsernamePassword(b"alice", b"sesame")
    avatar = yield factory.login(member).addErrback(refused)
    print((yield avatar.callRemote("enter")))
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
visit()
reactor.run()
