"""A client that logs in again automatically, as copied factories do.

Run as ``reconnecting_client.py WORLD WAY PATH``. WAY is ``worker`` or ``proxy``, two styles of such
a factory, or ``wrong`` for the first with a password that is refused. PATH is the UNIX socket of
``recipe_server.py``. It prints one JSON line for each event. After the second login it stops
retrying, closes the connection, and ends.
"""

# ruff: noqa: D102 - the names of published hooks say what they do

from __future__ import annotations

import json
import sys

from world import cred_error, credentials, defer, pb, protocol, reactor

WAY, PATH = sys.argv[2:]
RETRYING = protocol.ReconnectingClientFactory


def say(*words):
    """Print one line."""
    print(json.dumps(words), flush=True)


class Worker(pb.PBClientFactory, RETRYING):
    """Logs in on each connection, by the method that sends the user name.

    A request for the root waits for the next connection; a failed attempt fails it.
    """

    initialDelay = delay = 0.02
    maxDelay = 0.1

    def __init__(self):
        pb.PBClientFactory.__init__(self)
        self.credentials = None

    def clientConnectionFailed(self, connector, reason):
        pb.PBClientFactory.clientConnectionFailed(self, connector, reason)
        RETRYING.clientConnectionFailed(self, connector, reason)

    def clientConnectionLost(self, connector, reason):
        pb.PBClientFactory.clientConnectionLost(self, connector, reason, reconnecting=1)
        say("lost", self._broker, self._root)
        RETRYING.clientConnectionLost(self, connector, reason)
        self.lost(connector)

    def clientConnectionMade(self, broker):
        self.resetDelay()
        pb.PBClientFactory.clientConnectionMade(self, broker)
        self.begin(self._root)

    def login(self, *args):
        raise RuntimeError("logs in by itself: startLogin")

    def startLogin(self, credentials):
        self.credentials = credentials

    def begin(self, root):
        name, password = self.credentials.username, self.credentials.password
        entering = self._cbSendUsername(root, name, password, None)
        entering.addCallbacks(self.entered, self.refused)

    def entered(self, avatar):
        handle(self, avatar)

    def refused(self, why):
        self.stopTrying()
        say("refused", bool(why.check(cred_error.UnauthorizedLogin)))
        self._broker.transport.loseConnection()

    def lost(self, connector):
        if not self.continueTrying:
            rest(self)


class Proxy(pb.PBClientFactory, RETRYING):
    """Logs in with its own ``_cbSendUsername``; requests for a root continue to wait."""

    initialDelay = delay = 0.02
    maxDelay = 0.1

    def clientConnectionFailed(self, connector, reason):
        # Without the inherited one, which would fail waiting requests.
        RETRYING.clientConnectionFailed(self, connector, reason)

    def clientConnectionLost(self, connector, reason):
        pb.PBClientFactory.clientConnectionLost(self, connector, reason, reconnecting=1)
        say("lost", self._broker, self._root)
        RETRYING.clientConnectionLost(self, connector, reason)
        if self.continueTrying:
            self.login(ANN).addCallback(lambda avatar: handle(self, avatar))
            say("waiting", len(self.rootObjectRequests))
        else:
            rest(self)

    def clientConnectionMade(self, broker):
        self.resetDelay()
        pb.PBClientFactory.clientConnectionMade(self, broker)

    def _cbSendUsername(self, root, username, password, client):
        asked = root.callRemote("login", username)
        return asked.addCallback(self._cbResponse, password, client)


ANN = credentials.UsernamePassword(b"ann", b"sesame")
entries = []


@defer.inlineCallbacks
def handle(factory, avatar):
    """Use an avatar: the first until its connection is lost, the second once."""
    entries.append(avatar)
    say("in", (yield avatar.callRemote("whoami")))
    if len(entries) == 2:
        factory.stopTrying()
        factory.disconnect()
        return
    pending = avatar.callRemote("never")
    pending.addErrback(lambda why: say("pending", bool(why.check(pb.PBConnectionLost))))
    say("calling")
    yield pending


def rest(factory):
    """Report remaining events, in the next turn of the loop; this ends the program."""

    def tell():
        waiting = [call for call in reactor.getDelayedCalls() if call.active()]
        say("quiet", len(waiting), factory.continueTrying, factory.rootObjectRequests)
        reactor.stop()

    reactor.callLater(0, tell)


def main():
    """Connect, and run until the end."""
    factory = Proxy() if WAY == "proxy" else Worker()
    if WAY == "proxy":
        factory.login(ANN).addCallback(lambda avatar: handle(factory, avatar))
    elif WAY == "wrong":
        factory.startLogin(credentials.UsernamePassword(b"ann", b"wrong"))
    else:
        factory.startLogin(ANN)
    reactor.connectUNIX(PATH, factory)
    reactor.run()


main()
