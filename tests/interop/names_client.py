"""A client that logs in with user names of both types, with PB's published names.

Run as ``names_client.py WORLD PORTS [LOGIN …]``; PORTS is the line that ``names_server.py`` has
printed. It prints one JSON line: for each portal, the user of each login, or its error.
"""

from __future__ import annotations

import json
import sys

from world import cred_error, credentials, defer, pb, reactor

HOST = "127.0.0.1"
LOGINS = {
    "str": credentials.UsernamePassword("alice", b"sesame"),
    "bytes": credentials.UsernamePassword(b"alice", b"sesame"),
    "capitals": credentials.UsernamePassword(b"ALICE", b"sesame"),
    "wrong": credentials.UsernamePassword("alice", b"guess"),
    "unknown": credentials.UsernamePassword(b"eve", b"sesame"),
    "guest": credentials.Anonymous(),
}


REFUSALS = (cred_error.UnauthorizedLogin, cred_error.UnhandledCredentials, pb.NoSuchMethod)


def log_in(port, shown):
    """Log in on a new connection; return a Deferred of the user, or of the error."""
    factory = pb.PBClientFactory()
    reactor.connectTCP(HOST, port, factory)

    def refused(failure):
        return failure.trap(*REFUSALS, cred_error.LoginFailed).__name__

    def done(outcome):
        factory.disconnect()
        return outcome

    entered = factory.login(shown).addCallback(lambda avatar: avatar.callRemote("whoami"))
    return entered.addErrback(refused).addBoth(done)


@defer.inlineCallbacks
def main():
    """Try all logins at all portals, one after the other."""
    ports = json.loads(sys.argv[2])
    outcomes = {}
    for portal, port in ports.items():
        outcomes[portal] = {}
        for name in sys.argv[3:] or LOGINS:
            outcomes[portal][name] = yield log_in(port, LOGINS[name])
    print(json.dumps(outcomes), flush=True)


def stop(failure):
    """End, whatever the result."""
    if failure is not None:
        failure.printTraceback(sys.stderr)
    reactor.stop()


reactor.callWhenRunning(lambda: main().addBoth(stop))
reactor.run()
